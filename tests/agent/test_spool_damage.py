"""Flipped bytes and swapped pages between two starts: each id keeps exactly one fate."""

import random
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.damages import PAGE_BYTES, Damage, Rescue, Which, original
from support.spools import Device, home_in_ram

from agent.config import Settings, SpoolSettings
from agent.ledger import run as show
from agent.spool.account import EARLIER
from agent.spool.directories import FILE
from agent.spool.ledger import Ledger
from agent.spool.row import pack
from quartet.errors import StoreError


def flipped(seed: int) -> Damage:
    def damage(path: Path) -> None:
        chance = random.Random(seed)  # noqa: S311 - repeatable
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        path.write_bytes(data)

    return damage


def swapped(seed: int) -> Damage:
    def damage(path: Path) -> None:
        chance = random.Random(seed)  # noqa: S311 - repeatable
        data = path.read_bytes()
        pages = [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
        one, other = chance.sample(range(len(pages)), 2)
        pages[one], pages[other] = pages[other], pages[one]
        path.write_bytes(b"".join(pages))

    return damage


def assert_one_fate_each(ledger: Ledger, rescue: Rescue) -> None:
    for entry in ledger.sessions:
        if entry.session_id == EARLIER:  # nobody can tell whose these are
            continue
        named = [id_ for ids in entry.fates.values() for run in ids.runs for id_ in span(run)]
        given = {s.id for s in rescue.given if s.session.id == entry.session_id}
        assert len(named) == len(set(named)) == sum(ids.count for ids in entry.fates.values())
        assert all(0 <= id_ < entry.sampled for id_ in named)
        assert not given & set(named)


def span(run: tuple[int, int]) -> range:
    return range(run[0], run[1] + 1)


async def start_after(damage: Damage, which: Which) -> None:
    """Two starts after a damage. `Rescue` sees that new samples are never lost."""
    samples = original(which).samples
    with home_in_ram() as home:
        clock = ManualClock()
        device = original(which).put_into(home, clock)
        damage({"hot": device.directories.hot, "cold": device.directories.cold}[which] / FILE)
        before = None
        try:
            before = device.ledger()
        except StoreError as error:
            assert "is damaged" in str(error)  # noqa: PT017 - the other outcome is fine as well
        rescue = Rescue()
        await rescue.run(device, clock)
    rescue.assert_consistent_with(samples)
    assert_one_fate_each(rescue.ledger, rescue)
    if before and before.balanced:
        assert len(rescue.given) == len(samples)


# Twenty at a time, or their names alone would fill the screen.
@pytest.mark.parametrize("which", ["cold", "hot"])
@pytest.mark.parametrize("seeds", [range(at, at + 20) for at in range(0, 100, 20)])
async def test_after_a_flipped_byte_each_id_has_one_fate(seeds: range, which: Which) -> None:
    for seed in seeds:
        await start_after(flipped(seed), which)


@pytest.mark.parametrize("which", ["cold", "hot"])
@pytest.mark.parametrize("seeds", [range(at, at + 20) for at in range(0, 60, 20)])
async def test_after_swapped_pages_each_id_has_one_fate(seeds: range, which: Which) -> None:
    for seed in seeds:
        await start_after(swapped(seed), which)


async def test_a_row_that_is_not_what_was_written_is_named_by_the_ledger(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.start()
    samples = device.keep(300)
    device.close()
    path = device.directories.cold / FILE
    data = bytearray(path.read_bytes())
    for sample in samples[137:139]:
        data[data.index(pack(sample).reading) + 9] ^= 1
    path.write_bytes(data)
    (entry,) = device.ledger().sessions
    assert entry.damaged_ids == [(137, 138)]
    spool = SpoolSettings(str(device.directories.cold), str(device.directories.hot))
    assert show(Settings(spool=spool), as_json=False, broker_ledger=None) == 1
    told = capsys.readouterr().out
    assert "NOT BALANCED: 2 samples are damaged: 137..138\n" in told
    assert "NOT BALANCED by +2: samples are unaccounted for, among ids 137..138\n" in told
