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
from agent.spool.tier import MIGRATIONS


@contextmanager
def version(device: Device, number: int) -> Iterator[None]:
    """While entered, the device's agent is of the version that knows this number of migrations."""
    more = [f"CREATE TABLE of_version_{n} (x)" for n in range(2, number + 1)]
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
    life(device, 2, killed=killed)
    before = contents(device.directories.cold)
    life(device, 1)
    after = contents(device.directories.cold)
    for suffix in ("", "-wal"):
        content = before.get(f"spool.db{suffix}", b"")
        assert after.get(f"spool.schema-2.db{suffix}", b"") == content
    assert "has schema 2, this version of quartet knows 1" in caplog.text
    assert f"it was renamed to {device.directories.cold / 'spool.schema-2.db'}" in caplog.text
    assert len(waiting(device.directories)) == 2


@pytest.mark.parametrize("killed", [False, True])
async def test_the_newer_version_takes_it_in_again_before_what_came_since(
    killed: bool, device: Device
) -> None:
    samples = life(device, 2) + life(device, 2, killed=killed)
    samples += life(device, 1) + life(device, 1, killed=killed)
    assert names(await drained(device, 2)) == names(samples)
    for directory in (device.directories.hot, device.directories.cold):
        assert [*directory.glob("*schema*")] == []


async def test_a_yet_newer_version_takes_it_in_as_well(device: Device) -> None:
    samples = life(device, 2) + life(device, 1)
    assert names(await drained(device, 3)) == names(samples)


async def test_several_that_were_set_aside_are_taken_in_in_their_order(device: Device) -> None:
    samples = life(device, 2)
    samples += life(device, 1)
    for each in (
        device.directories.hot,
        device.directories.cold,
    ):  # the version after the next is tried
        each.joinpath("spool.schema-2.db").rename(each / "spool.schema-2.db.kept")
    samples += life(device, 2)
    for each in (device.directories.hot, device.directories.cold):
        each.joinpath("spool.schema-2.db.kept").rename(each / "spool.schema-2.db")
    samples += life(device, 1)
    assert len([*device.directories.cold.glob("spool.schema-2*.db")]) == 2
    assert names(await drained(device, 2)) == names(samples)


async def test_a_version_that_is_too_old_leaves_it_where_it_is(device: Device) -> None:
    oldest = life(device, 11)
    samples = life(device, 1) + life(device, 1)
    assert names(await drained(device, 1)) == names(samples)
    assert [path.name for path in device.directories.cold.glob("*schema*.db")] == [
        "spool.schema-11.db"
    ]
    assert names(await drained(device, 11)) == names(oldest)


async def test_what_was_settled_before_it_was_set_aside_is_not_given_again(
    device: Device,
) -> None:
    with version(device, 2):
        device.start()
        samples = device.keep(6)
        for sample in await device.take(3):
            device.queue.settle(sample, answered=True)
        device.step()
        device.kill()
    samples = samples[3:] + life(device, 1)
    assert names(await drained(device, 2)) == names(samples)
    with version(device, 2):
        assert sum(entry.answered for entry in device.ledger().sessions) == 8


async def test_a_damaged_one_stays_where_it_is(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    life(device, 2)
    life(device, 1)
    aside = device.directories.cold / "spool.schema-2.db"
    aside.write_bytes(aside.read_bytes()[:5000])
    caplog.set_level(logging.ERROR)
    caplog.clear()
    samples = life(device, 2)
    assert aside.exists()
    assert "it stays where it is" in caplog.text
    assert names(await drained(device, 2))[-2:] == names(samples)
    assert (device.directories.cold / FILE).exists()


async def test_wherever_an_adoption_is_cut_short_nothing_is_taken_in_twice(
    device: Device,
) -> None:
    samples = [*life(device, 2), *life(device, 1)]
    killed: list[Directories] = []
    with (
        version(device, 2),
        device.files.meanwhile(after_commit=lambda: killed.append(device.snapshot())),
    ):
        device.start()
        device.step()
        device.kill()
    assert len(killed) > 5
    for directories in killed:
        device.directories = directories
        assert {*names(await drained(device, 2))} == {*names(samples)}
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
        file.execute("PRAGMA user_version = 2")  # an upgrade that ended after one of the two
    samples += life(device, 1)
    assert "lost" not in caplog.text
    assert {*names(await drained(device, 2))} == {*names(samples)}
    assert [*device.directories.cold.glob("*damaged*")] == []
    with version(device, 2):
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
        file.execute("PRAGMA user_version = 2")  # an upgrade that ended after one of the two
    with version(device, 1):
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
        with version(device, 2):
            device.start()  # takes it in
            device.kill()
    assert {*names(old)} <= {*names(await drained(device, 2))}
    with version(device, 2):
        entries = device.ledger().sessions
    assert sum(entry.answered for entry in entries) == 7
    assert not any(ids.count for entry in entries for ids in entry.fates.values())
