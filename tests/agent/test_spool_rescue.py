"""A file that is torn or overwritten: what can be saved is saved, and the rest is counted."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.damages import PAGE_BYTES, SAMPLES, SESSIONS, Damage, Rescue, Which, original
from support.spools import (
    Blocked,
    Device,
    home_in_ram,
)

from agent.config import Settings, SpoolSettings
from agent.ledger import run as show
from agent.model import Sample
from agent.spool.directories import FILE
from agent.spool.schema import MIGRATIONS
from quartet.errors import StoreError

fuzz = settings(derandomize=True, deadline=None, max_examples=60)


# Damages


def truncated(at: float) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])


def overwritten(at: float, by: bytes) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        place = int(at * len(data))
        data[place : place + len(by)] = by
        path.write_bytes(data)

    return damage


def byte(at: int, by: int) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[at] = by
        path.write_bytes(data)

    return damage


def page(number: int, seed: int) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        at = number * PAGE_BYTES % len(data)
        data[at : at + PAGE_BYTES] = random.Random(seed).randbytes(PAGE_BYTES)  # noqa: S311
        path.write_bytes(data)

    return damage


def replaced(by: bytes) -> Damage:
    return lambda path: path.write_bytes(by)  # type: ignore[return-value]


places_in_file = st.floats(0, 1, exclude_max=True)
bytes_ = st.integers(0, 255)
damages = st.one_of(
    st.builds(truncated, places_in_file),
    st.builds(overwritten, places_in_file, st.binary(min_size=1, max_size=64)),
    st.builds(byte, st.integers(0, 99), bytes_),
    st.builds(byte, st.integers(100, PAGE_BYTES - 1), bytes_),
    st.builds(byte, st.integers(PAGE_BYTES, 7 * PAGE_BYTES - 1), bytes_),
    st.builds(page, st.integers(0, 20), st.integers(0, 9)),
    st.builds(replaced, st.binary(max_size=200)),
)


@pytest.mark.parametrize("which", ["hot", "cold"])
@fuzz
@given(damage=damages)
@example(damage=byte(60, 85))
@example(damage=byte(61, 24))
@example(damage=byte(60, 158))
@example(damage=byte(63, 0))
@example(damage=byte(47, 209))
@example(damage=byte(18, 83))
@example(damage=byte(3773, 141))
@example(damage=byte(3897, 111))
@example(damage=page(1, 7))
@example(damage=page(5, 2))
@example(damage=page(19, 3))
@example(damage=truncated(0.9553))
@example(damage=overwritten(0.566596045207254, b"\0"))  # keys out of order hide rows
@example(damage=overwritten(0.05060984358495225, b"$"))  # the name of a column
@example(damage=byte(3716, 128))  # the same, and it is no text
@example(damage=overwritten(0.5666, b"\0"))  # a key is there twice, once with a damaged row
async def test_whatever_became_of_a_file_what_is_given_is_true_and_the_books_balance(
    which: Which, damage: Damage
) -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = original(which).put_into(home, clock)
        damage({"hot": device.directories.hot, "cold": device.directories.cold}[which] / FILE)
        rescue = Rescue()
        await rescue.run(device, clock)
    rescue.assert_consistent_with(original(which).samples)


class Torn:
    """A device that was killed while both of its files had a log that was not folded in."""

    def __init__(self, home: Path, clock: ManualClock) -> None:
        self.device = Device(home, clock=clock)
        self.device.start()
        self.samples: list[Sample] = []

    async def live(self, clock: ManualClock) -> None:
        for number in range(12):
            if number % 4 == 0:
                self.device.begin_session()
            self.samples += self.device.keep(20)
            for sample in (await self.device.take(30))[:5]:
                self.device.queue.settle(sample, answered=True)
            clock.advance(0.9)
            self.device.step()
        self.device.kill()


@pytest.mark.parametrize("which", ["hot", "cold"])
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    damage=st.one_of(
        st.builds(truncated, places_in_file),
        st.builds(overwritten, places_in_file, st.binary(min_size=1, max_size=64)),
        st.builds(page, st.integers(0, 30), st.integers(0, 9)),
    )
)
async def test_what_a_torn_log_took_along_is_counted(which: Which, damage: Damage) -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        torn = Torn(home, clock)
        await torn.live(clock)
        device = torn.device
        directory = {"hot": device.directories.hot, "cold": device.directories.cold}[which]
        damage(directory / f"{FILE}-wal")
        rescue = Rescue()
        await rescue.run(device, clock)
    rescue.assert_true_and_in_order(torn.samples)
    assert rescue.ledger.balanced
    assert all(0 <= entry.answered <= entry.sampled for entry in rescue.ledger.sessions)


@pytest.mark.parametrize("which", ["hot", "cold"])
async def test_a_sample_whose_row_says_another_session_or_id_is_not_given(
    which: Which, clock: ManualClock
) -> None:
    with home_in_ram() as home:
        device = original(which).put_into(home, clock)
        directory = {"hot": device.directories.hot, "cold": device.directories.cold}[which]
        with closing(sqlite3.connect(directory / FILE)) as file, file:
            file.execute("UPDATE samples SET session = 2, id = 900 WHERE session = 1 AND id = 7")
            file.execute("UPDATE samples SET id = 901 WHERE session = 1 AND id = 8")
            file.execute("DELETE FROM samples WHERE session = 2 AND id = 5")
            file.execute("UPDATE samples SET session = 2 WHERE session = 3 AND id = 5")
        rescue = Rescue()
        await rescue.run(device, clock)
    rescue.assert_true_and_in_order(original(which).samples)
    assert len(rescue.given) == SESSIONS * SAMPLES - 4
    assert rescue.ledger.balanced
    for entry in rescue.ledger.sessions:
        named = (run for ids in entry.fates.values() for run in ids.runs)
        assert all(last < entry.sampled for _, last in named)  # none that never was


async def test_a_directory_in_place_of_a_file_is_refused_with_its_name(clock: ManualClock) -> None:
    with home_in_ram() as home:
        device = Device(home, clock=clock)
        (device.directories.cold / FILE).mkdir()
        with pytest.raises(StoreError, match=r"spool\.directory: .* cannot be written: Is a dir"):
            device.start()
    assert clock.monotonic()


@pytest.mark.parametrize("which", ["hot", "cold"])
async def test_a_damaged_file_is_kept_beside_and_named(
    which: Which, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with home_in_ram() as home:
        device = original(which).put_into(home, clock)
        directory = {"hot": device.directories.hot, "cold": device.directories.cold}[which]
        for name_ in ("spool.damaged.db", "spool.damaged-2.db"):
            garbage = name_.encode() * 99
            (directory / FILE).write_bytes(garbage)
            rescue = Rescue()
            await rescue.run(device, clock)
            assert (directory / name_).read_bytes() == garbage
            assert f"it was renamed to {directory / name_}" in caplog.text


@pytest.mark.parametrize(
    ("which", "known"), [("cold", {"hot": 5, "cold": 0}), ("hot", {"hot": 0, "cold": 3})]
)
async def test_while_a_file_is_damaged_the_ledger_tells_what_the_other_knows(
    which: str, known: dict[str, int], clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with home_in_ram() as home:
        device = Device(home, clock=clock)
        device.start()
        device.keep(3)
        device.close()
        device.start()
        device.begin_session()
        with closing(Blocked(device.directories.cold)):
            device.keep(5)
        device.kill()
        file = {"hot": device.directories.hot, "cold": device.directories.cold}[which] / FILE
        file.write_bytes(b"torn" * 3000)
        for companion in file.parent.glob(f"{FILE}-*"):
            companion.unlink()
        damaged = device.ledger()
        assert not damaged.balanced
        assert sum(entry.waiting for entry in damaged.sessions) == sum(known.values())
        (said,) = damaged.damaged
        assert said.startswith(f"{file}: is damaged")
        spool = SpoolSettings(str(device.directories.cold), str(device.directories.hot))
        assert show(Settings(spool=spool), as_json=False, broker_ledger=None) == 1
        told = capsys.readouterr().out
        assert (
            f"{said}: the agent saves its readable samples when it starts\nNOT BALANCED\n" in told
        )
        device.start()
        await device.drain()
        clock.advance(6)
        device.close()
        assert device.ledger().balanced
        assert device.ledger().damaged == []


async def test_what_is_in_memory_of_a_file_that_is_damaged_meanwhile_is_not_lost(
    clock: ManualClock,
) -> None:
    """In flight, ready, and settled but not yet booked."""
    with home_in_ram() as home:
        device = Device(home, clock=clock)
        device.start()
        samples = device.keep(300)
        device.close()
        device.start()
        device.step()
        taken = await device.take(60)
        path = device.directories.cold / FILE
        with path.open("r+b") as file:
            file.seek(PAGE_BYTES)
            file.write(b"x" * (path.stat().st_size - PAGE_BYTES))
        with closing(sqlite3.connect(path)) as other:  # lest pages be taken from the cache
            other.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        for sample in taken[:10]:
            device.queue.settle(sample, answered=True)
        device.step()
        for sample in taken[10:20]:
            device.queue.settle(sample, answered=True)
        while not [*device.directories.cold.glob("spool.damaged*.db")]:
            clock.advance(6)
            device.tiers.flush()
            assert clock.monotonic() < 2000
        clock.advance(6)
        rest = await device.drain()
        for sample in taken[20:]:
            device.queue.settle(sample, answered=True)
        assert taken + rest == samples
        device.close()
        (entry,) = device.ledger().sessions
        assert (entry.sampled, entry.answered, entry.waiting, entry.fates) == (300, 300, 0, {})
