"""A spool whose repair is cut short, or whose disk goes away in the middle of a backlog."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from support.files import Files
from support.spools import Blocked, Device, empty, home_in_ram, name, rooms

from agent.config import SpoolSettings
from agent.model import Reading, Sample
from agent.spool.directories import FILE, Directories, occupy
from agent.spool.spool import Spool
from quartet.errors import StoreError

PAGE_BYTES = 4096


class Killed(BaseException):
    """The end of the process."""


@contextmanager
def instead(where: str, what: Callable[..., Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, what)
        yield


def kill_at_salvage(path: Path) -> None:
    if ".saving." in path.name:
        raise Killed


def tear_a_page(directory: Path) -> None:
    """Spoil one of many pages of samples, which is found when it is read."""
    file = directory / FILE
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(truncate)")
    with file.open("r+b") as content:
        content.seek(20 * PAGE_BYTES)
        content.write(b"x" * PAGE_BYTES)


async def drain(device: Device, clock: ManualClock) -> list[Sample]:
    """All that comes, also from a disk that is tried again."""
    given: list[Sample] = []
    for _ in range(4):
        clock.advance(6)
        given += await device.drain()
    return given


# Repairs


async def test_a_salvage_that_is_cut_short_is_done_again(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.directories.cold)
    device.start()
    with device.files.meanwhile(before_write=kill_at_salvage), pytest.raises(Killed):
        await drain(device, clock)
    device.kill()
    device.start()
    assert 2900 < len(await drain(device, clock)) < 3000
    device.close()
    assert device.ledger().balanced


async def test_a_salvage_without_room_waits_for_room(device: Device, clock: ManualClock) -> None:
    def full(path: Path) -> None:
        if ".saving." in path.name:
            raise StoreError(f"{path}: cannot be used: database or disk is full", path)

    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.directories.cold)
    device.start()
    with device.files.meanwhile(before_write=full):
        await drain(device, clock)
        assert device.disk_fails
    assert 2900 < len(await drain(device, clock)) < 3000
    device.close()
    assert device.ledger().balanced


@pytest.mark.parametrize("rename", range(5))
async def test_wherever_the_renames_of_a_repair_are_cut_short_all_that_is_sound_is_saved(
    device: Device, clock: ManualClock, rename: int
) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.directories.cold)
    device.start()
    real, calls = Path.rename, iter(range(100))

    def cut(path: Path, target: str | Path) -> Path:
        if next(calls) == rename:
            raise Killed
        return real(path, target)

    with instead("pathlib.Path.rename", cut):
        try:
            given = await drain(device, clock)
        except Killed:
            given = []
    device.kill()
    device.start()
    given += await drain(device, clock)
    assert 2900 < len({name(sample) for sample in given}) < 3000
    device.close()
    assert device.ledger().balanced


async def test_a_torn_page_met_while_sessions_are_shifted_costs_that_page_alone(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.directories.cold)
    empty(device.directories.hot)
    late = Blocked(device.directories.cold, unreadable=True)
    device.start()
    new = device.keep(3)
    late.close()
    given = await drain(device, clock)
    assert 2900 < len(given) < 3003
    assert {*map(name, new)} <= {*map(name, given)}
    device.close()
    assert device.ledger().balanced
    assert len({entry.sequence for entry in device.ledger().sessions}) == 2


def test_a_lock_that_could_not_be_signed_or_used_is_free_again(tmp_path: Path) -> None:
    def quota(*_: object) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / FILE).touch()
    for where, what in (("os.pwrite", quota), ("pathlib.Path.open", broken)):
        with instead(where, what):
            assert occupy(tmp_path, "spool.directory") is None
        lock = occupy(tmp_path, "spool.directory")
        assert lock
        lock.close()


# A disk that goes away


@contextmanager
def one_read_error(device: Device) -> Iterator[None]:
    """The next read of the cold tier fails, once."""
    left = [1]

    def fail(path: Path) -> None:
        if left and path.parent.name == "cold":
            left.clear()
            raise StoreError(f"{path}: disk I/O error", path)

    with device.files.meanwhile(before_read=fail):
        yield
    assert not left


async def answer(device: Device, clock: ManualClock, turns: int) -> list[Sample]:
    """Answer what comes, while one sample more is taken each turn."""
    answered: list[Sample] = []
    for _ in range(turns):
        taken = await device.take(512)
        for sample in taken:
            device.queue.settle(sample, answered=True)
        answered += taken
        clock.advance(0.2)
        device.keep(1)
    return answered


async def test_no_sample_passes_a_backlog_that_cannot_be_read_for_a_while(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.advance(3)
    device.step()
    with one_read_error(device):
        answered = await answer(device, clock, 80)
    answered += await drain(device, clock)
    assert [sample.id for sample in answered] == [*range(20_080)]
    device.close()
    assert device.ledger().balanced


async def test_a_backlog_on_a_disk_that_went_away_and_came_back_damaged_is_saved(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.advance(3)
    device.step()
    with one_read_error(device):
        answered = await answer(device, clock, 20)
        assert not device.tiers.cold_state.is_open
    file = device.directories.cold / FILE
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(truncate)")
    with file.open("r+b") as content:
        content.seek(60)  # the schema's version
        content.write(b"\xff" * 4)
    answered += await drain(device, clock)
    assert {sample.id for sample in answered} == {*range(20_020)}
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.fates) == (20_020, 20_020, {})


async def test_while_both_tiers_fail_a_sample_is_dropped_once(clock: ManualClock) -> None:
    with home_in_ram() as home:
        device = Device(home, rooms(ram=1024), clock=clock)
        device.start()
        device.keep(10_000)
        clock.advance(3)
        device.step()
        cold = Blocked(device.directories.cold)
        for _ in range(12):
            device.keep(100)
            clock.advance(1)
        dropped = device.keeper.dropped
        hot = Blocked(device.directories.hot)
        for _ in range(10):
            device.keep(5)
        for _ in range(20):
            device.step()
        assert device.keeper.dropped - dropped == 50
        hot.close()
        cold.close()
        given = await drain(device, clock)
        assert len(given) == 11_250 - device.keeper.dropped
        device.close()
        assert device.ledger().balanced


async def test_answers_make_room_in_ram_before_anything_is_dropped(clock: ManualClock) -> None:
    with home_in_ram() as home:
        device = Device(home, rooms(ram=1000), clock=clock)
        device.start()
        device.keep(1)
        clock.advance(3)
        device.step()
        cold = Blocked(device.directories.cold)
        clock.advance(6)
        device.keep(900)
        assert device.disk_fails
        for sample in await device.take(500):
            device.queue.settle(sample, answered=True)
        device.keep(400)
        assert device.keeper.dropped == 0
        cold.close()
        device.close()


async def test_nothing_grows_while_the_disk_fails_and_all_is_answered(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    cold = Blocked(device.directories.cold)
    device.keep(1)
    clock.advance(3)
    for _ in range(500):
        device.keep(1)
        await device.drain()
        clock.advance(0.6)
    assert device.disk_fails
    assert len(device.schedule._marks) <= 2  # noqa: SLF001 - what grew
    cold.close()
    device.close()


async def test_what_comes_late_with_its_disk_is_counted_as_earlier(
    tmp_path: Path, clock: ManualClock
) -> None:
    for tier in ("hot", "cold"):
        (tmp_path / tier).mkdir()
    directories = Directories(tmp_path / "hot", tmp_path / "cold")
    with closing(Spool(directories, SpoolSettings(), 0)) as former:
        for number in range(10):
            former.append(Reading((1.0, 2.0, 3.0, 4.0), number))
    empty(directories.hot)
    late = Blocked(directories.cold, unreadable=True)
    files = Files()
    with closing(Spool(directories, SpoolSettings(), 0, clock=clock, open_tier=files)) as spool:
        spool.append(Reading((1.0, 2.0, 3.0, 4.0), 10))
        given = await spool.read(512)
        assert (spool.earlier, spool.unanswered) == (0, 1)
        late.close()
        clock.advance(6)
        while len(given) < 11:
            given += await spool.read(512)
        assert (spool.earlier, spool.unanswered) == (10, 11)
        for sample in given:
            spool.settle(sample, answered=True)
        assert spool.unanswered == 0


async def test_while_a_backlog_cannot_be_read_the_disk_thread_rests(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.advance(3)
    device.step()
    with one_read_error(device):
        await answer(device, clock, 20)
    assert not device.tiers.cold_state.is_open
    device.step()
    assert not device.queue.wants_more
    clock.advance(6)
    device.step()
    assert [sample.id for sample in await device.take(3)] == [8192, 8193, 8194]
    device.close()


# A hot tier that failed between the two writes of a move


async def test_a_hot_tier_that_missed_a_move_is_not_taken_for_an_older_one(
    device: Device, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_hot(path: Path) -> None:
        if path.parent.name == "hot":
            raise StoreError(f"{path}: cannot be used: disk I/O error", path)

    device.start()
    samples = device.keep(11)
    with device.files.meanwhile(before_commit=fail_hot):
        device.tiers.flush()  # the disk has all, and the hot tier is not told
    clock.advance(11)
    device.step()
    samples += device.keep(4)
    for sample in await device.take(3):
        device.queue.settle(sample, answered=True)
    clock.advance(1.1)
    killed: list[Directories] = []
    with device.files.meanwhile(after_commit=lambda: killed.append(device.snapshot())):
        device.step()  # deletes the answered ones from the disk
    device.kill()
    assert len(killed) > 1
    for directories in killed:
        device.directories = directories
        assert device.ledger().balanced
        device.start()
        assert [*map(name, await device.drain())] == [*map(name, samples[3:])]
        device.close()
        (entry,) = device.ledger().sessions
        assert (entry.answered, entry.fates) == (15, {})
    assert "is older than" not in caplog.text
