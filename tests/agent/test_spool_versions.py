"""A spool of a newer version: set aside as it is, and taken in again by that version."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.spools import Device, name, waiting

from agent.model import Sample
from agent.spool.directories import FILE, Directories
from agent.spool.schema import MIGRATIONS

NOW = len(MIGRATIONS)
NEXT, LATER, MUCH_LATER = NOW + 1, NOW + 2, NOW + 10


@contextmanager
def version(device: Device, number: int) -> Iterator[None]:
    """While entered, the device's agent is of the version that knows this number of migrations."""
    more = [f"CREATE TABLE of_version_{n} (x)" for n in range(NEXT, number + 1)]
    device.files.migrations = (*MIGRATIONS, *more)
    yield
    device.files.migrations = MIGRATIONS


def life(device: Device, number: int, *, killed: bool = False) -> list[Sample]:
    """A start of that version in which two samples stay behind; those samples."""
    with version(device, number):
        device.start()
        device.begin_session()
        samples = device.keep(2)
        if killed:
            device.kill()
        else:
            device.close()
    return samples


async def drained(device: Device, number: int) -> list[Sample]:
    with version(device, number):
        device.start()
        samples = await device.drain()
        device.close()
        assert device.ledger().balanced
        device.start()
        assert await device.drain() == []
        device.tiers.close()
    return samples


def names(samples: list[Sample]) -> list[tuple[str, int]]:
    return [name(sample) for sample in samples]


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in directory.iterdir() if path.name[-4:] != "-shm"
    }


@pytest.mark.parametrize("killed", [False, True])
async def test_a_newer_spool_is_set_aside_untouched_and_a_fresh_one_used(
    killed: bool, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    life(device, NEXT, killed=killed)
    before = contents(device.directories.cold)
    life(device, NOW)
    after = contents(device.directories.cold)
    for suffix in ("", "-wal"):
        content = before.get(f"spool.db{suffix}", b"")
        assert after.get(f"spool.schema-{NEXT}.db{suffix}", b"") == content
    assert f"has schema {NEXT}, this version of quartet knows {NOW}" in caplog.text
    assert f"was renamed to {device.directories.cold / f'spool.schema-{NEXT}.db'}" in caplog.text
    assert len(waiting(device.directories)) == 2


@pytest.mark.parametrize("killed", [False, True])
async def test_the_newer_version_takes_it_in_again_before_what_came_since(
    killed: bool, device: Device
) -> None:
    samples = life(device, NEXT) + life(device, NEXT, killed=killed)
    samples += life(device, NOW) + life(device, NOW, killed=killed)
    assert names(await drained(device, NEXT)) == names(samples)
    for directory in (device.directories.hot, device.directories.cold):
        assert [*directory.glob("*schema*")] == []


async def test_a_yet_newer_version_takes_it_in_as_well(device: Device) -> None:
    samples = life(device, NEXT) + life(device, NOW)
    assert names(await drained(device, LATER)) == names(samples)


async def test_several_that_were_set_aside_are_taken_in_in_their_order(device: Device) -> None:
    samples = life(device, NEXT)
    samples += life(device, NOW)
    for each in (
        device.directories.hot,
        device.directories.cold,
    ):  # the version after the next is tried
        each.joinpath(f"spool.schema-{NEXT}.db").rename(each / f"spool.schema-{NEXT}.db.kept")
    samples += life(device, NEXT)
    for each in (device.directories.hot, device.directories.cold):
        each.joinpath(f"spool.schema-{NEXT}.db.kept").rename(each / f"spool.schema-{NEXT}.db")
    samples += life(device, NOW)
    assert len([*device.directories.cold.glob(f"spool.schema-{NEXT}*.db")]) == 2
    assert names(await drained(device, NEXT)) == names(samples)


async def test_a_version_that_is_too_old_leaves_it_where_it_is(device: Device) -> None:
    oldest = life(device, MUCH_LATER)
    samples = life(device, NOW) + life(device, NOW)
    assert names(await drained(device, NOW)) == names(samples)
    assert [path.name for path in device.directories.cold.glob("*schema*.db")] == [
        f"spool.schema-{MUCH_LATER}.db"
    ]
    assert names(await drained(device, MUCH_LATER)) == names(oldest)


async def test_what_was_settled_before_it_was_set_aside_is_not_given_again(
    device: Device,
) -> None:
    with version(device, NEXT):
        device.start()
        samples = device.keep(6)
        for sample in await device.take(3):
            device.queue.settle(sample, answered=True)
        device.step()
        device.kill()
    samples = samples[3:] + life(device, NOW)
    assert names(await drained(device, NEXT)) == names(samples)
    with version(device, NEXT):
        assert sum(entry.answered for entry in device.ledger().sessions) == 8


async def test_a_damaged_one_stays_where_it_is(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    life(device, NEXT)
    life(device, NOW)
    aside = device.directories.cold / f"spool.schema-{NEXT}.db"
    aside.write_bytes(aside.read_bytes()[:5000])
    caplog.set_level(logging.ERROR)
    caplog.clear()
    samples = life(device, NEXT)
    assert aside.exists()
    assert "it stays where it is" in caplog.text
    assert names(await drained(device, NEXT))[-2:] == names(samples)
    assert (device.directories.cold / FILE).exists()


async def test_wherever_an_adoption_is_cut_short_nothing_is_taken_in_twice(
    device: Device,
) -> None:
    samples = [*life(device, NEXT), *life(device, NOW)]
    killed: list[Directories] = []
    with (
        version(device, NEXT),
        device.files.meanwhile(after_commit=lambda: killed.append(device.snapshot())),
    ):
        device.start()
        device.step()
        device.kill()
    assert len(killed) > 5
    for directories in killed:
        device.directories = directories
        assert {*names(await drained(device, NEXT))} == {*names(samples)}
        assert [*directories.cold.glob("*damaged*")] == []
        assert [*directories.cold.glob("*schema*")] == []


async def test_a_session_of_which_one_tier_alone_was_set_aside_is_joined_again(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    samples = device.keep(3)
    device.close()
    device.start()
    device.begin_session()
    samples += device.keep(4)
    device.step()
    device.tiers.flush()
    samples += device.keep(2)
    device.kill()
    with closing(sqlite3.connect(device.directories.cold / FILE)) as file:
        file.execute(f"PRAGMA user_version = {NEXT}")  # an upgrade that ended after one of the two
    samples += life(device, NOW)
    assert "lost" not in caplog.text
    assert {*names(await drained(device, NEXT))} == {*names(samples)}
    assert [*device.directories.cold.glob("*damaged*")] == []
    with version(device, NEXT):
        entries = device.ledger().sessions
    assert sum(entry.answered for entry in entries) == len(samples)


@pytest.mark.parametrize("killed", [False, True])
async def test_rows_that_come_back_are_sent_also_where_newer_ones_of_their_session_were_answered(
    device: Device, killed: bool
) -> None:
    device.start()
    device.begin_session()
    old = device.keep(4)
    device.step()
    device.tiers.flush()
    new = device.keep(2)
    device.kill()
    with closing(sqlite3.connect(device.directories.cold / FILE)) as file:
        file.execute(f"PRAGMA user_version = {NEXT}")  # an upgrade that ended after one of the two
    with version(device, NOW):
        device.start()
        device.step()
        taken = await device.take(9)
        assert names(taken) == names(new)
        for sample in taken:
            device.queue.settle(sample, answered=True)
        device.append(1)
        device.step()
        device.cut_power()
    if killed:
        with version(device, NEXT):
            device.start()  # takes it in
            device.kill()
    assert {*names(old)} <= {*names(await drained(device, NEXT))}
    with version(device, NEXT):
        entries = device.ledger().sessions
    assert sum(entry.answered for entry in entries) == 7
    assert not any(ids.count for entry in entries for ids in entry.fates.values())
