"""A spool whose repair is cut short, or whose disk goes away in the middle of a backlog."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.spools import Blocked, Clock, Device, empty, home_in_ram, name, rooms

from agent.config import SpoolSettings
from agent.model import Reading, Sample
from agent.spool.places import Places, occupy
from agent.spool.spool import Spool
from agent.spool.tier import FILE, Key, Row, Tier
from quartet.errors import StoreError

PAGE_BYTES = 4096


class Killed(BaseException):
    """The end of the process."""


@contextmanager
def instead(where: str, what: Callable[..., Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, what)
        yield


def kill(*_: object) -> None:
    raise Killed


def tear_a_page(directory: Path) -> None:
    """Spoil one of many pages of samples, which is found when it is read."""
    file = directory / FILE
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(truncate)")
    with file.open("r+b") as content:
        content.seek(20 * PAGE_BYTES)
        content.write(b"x" * PAGE_BYTES)


async def drain(device: Device, clock: Clock) -> list[Sample]:
    """All that comes, also from a disk that is tried again."""
    given: list[Sample] = []
    for _ in range(4):
        clock.now_s += 6
        given += await device.drain()
    return given


# Repairs


async def test_a_salvage_that_is_cut_short_is_done_again(device: Device, clock: Clock) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.places.cold)
    device.start()
    with instead("agent.spool.rescue._salvage", kill), pytest.raises(Killed):
        await drain(device, clock)
    device.kill()
    device.start()
    assert 2900 < len(await drain(device, clock)) < 3000
    device.close()
    assert device.ledger().balanced


async def test_a_salvage_without_room_waits_for_room(device: Device, clock: Clock) -> None:
    def full(_: Path, tier: Tier) -> int:
        raise StoreError(f"{tier.path}: cannot be used: database or disk is full", tier.path)

    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.places.cold)
    device.start()
    with instead("agent.spool.rescue._salvage", full):
        await drain(device, clock)
        assert device.disk_fails
    assert 2900 < len(await drain(device, clock)) < 3000
    device.close()
    assert device.ledger().balanced


@pytest.mark.parametrize("rename", range(5))
async def test_wherever_the_renames_of_a_repair_are_cut_short_all_that_is_sound_is_saved(
    device: Device, clock: Clock, rename: int
) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.places.cold)
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
    device: Device, clock: Clock
) -> None:
    device.start()
    device.keep(3000)
    device.close()
    tear_a_page(device.places.cold)
    empty(device.places.hot)
    late = Blocked(device.places.cold, unreadable=True)
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
def one_read_error() -> Iterator[None]:
    """The next read of the cold tier fails, once."""
    real, left = Tier.read, [1]

    def read(tier: Tier, after: Key, limit: int) -> list[Row]:
        if left and tier.path.parent.name == "cold":
            left.clear()
            raise StoreError(f"{tier.path}: disk I/O error", tier.path)
        return real(tier, after, limit)

    with instead("agent.spool.tier.Tier.read", read):
        yield


async def answer(device: Device, clock: Clock, turns: int) -> list[Sample]:
    """Answer what comes, while one sample more is taken each turn."""
    answered: list[Sample] = []
    for _ in range(turns):
        taken = await device.take(512)
        for sample in taken:
            device.queue.settle(sample, answered=True)
        answered += taken
        clock.now_s += 0.2
        device.keep(1)
    return answered


async def test_no_sample_passes_a_backlog_that_cannot_be_read_for_a_while(
    device: Device, clock: Clock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.now_s += 3
    device.step()
    with one_read_error():
        answered = await answer(device, clock, 80)
    answered += await drain(device, clock)
    assert [sample.id for sample in answered] == [*range(20_080)]
    device.close()
    assert device.ledger().balanced


async def test_a_backlog_on_a_disk_that_went_away_and_came_back_damaged_is_saved(
    device: Device, clock: Clock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.now_s += 3
    device.step()
    with one_read_error():
        answered = await answer(device, clock, 20)
        assert not device.tiers.cold.is_open
    file = device.places.cold / FILE
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


async def test_while_both_tiers_fail_a_sample_is_dropped_once(clock: Clock) -> None:
    with home_in_ram() as home:
        device = Device(home, rooms(ram=1024))
        device.start()
        device.keep(10_000)
        clock.now_s += 3
        device.step()
        cold = Blocked(device.places.cold)
        for _ in range(12):
            device.keep(100)
            clock.now_s += 1
        dropped = device.keeper.dropped
        hot = Blocked(device.places.hot)
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


async def test_answers_make_room_in_ram_before_anything_is_dropped(clock: Clock) -> None:
    with home_in_ram() as home:
        device = Device(home, rooms(ram=1000))
        device.start()
        device.keep(1)
        clock.now_s += 3
        device.step()
        cold = Blocked(device.places.cold)
        clock.now_s += 6
        device.keep(900)
        assert device.disk_fails
        for sample in await device.take(500):
            device.queue.settle(sample, answered=True)
        device.keep(400)
        assert device.keeper.dropped == 0
        cold.close()
        device.close()


async def test_nothing_grows_while_the_disk_fails_and_all_is_answered(
    device: Device, clock: Clock
) -> None:
    device.start()
    device.step()
    cold = Blocked(device.places.cold)
    device.keep(1)
    clock.now_s += 3
    for _ in range(500):
        device.keep(1)
        await device.drain()
        clock.now_s += 0.6
    assert device.disk_fails
    assert len(device.keeper._marks) <= 2  # noqa: SLF001 - what grew
    cold.close()
    device.close()


async def test_what_comes_late_with_its_disk_is_counted_as_earlier(
    tmp_path: Path, clock: Clock
) -> None:
    for tier in ("hot", "cold"):
        (tmp_path / tier).mkdir()
    places = Places(tmp_path / "hot", tmp_path / "cold")
    with closing(Spool(places, SpoolSettings(), 0)) as former:
        for number in range(10):
            former.append(Reading((1.0, 2.0, 3.0, 4.0), number))
    empty(places.hot)
    late = Blocked(places.cold, unreadable=True)
    with closing(Spool(places, SpoolSettings(), 0)) as spool:
        spool.append(Reading((1.0, 2.0, 3.0, 4.0), 10))
        given = await spool.read(512)
        assert (spool.earlier, spool.unanswered) == (0, 1)
        late.close()
        clock.now_s += 6
        while len(given) < 11:
            given += await spool.read(512)
        assert (spool.earlier, spool.unanswered) == (10, 11)
        for sample in given:
            spool.settle(sample, answered=True)
        assert spool.unanswered == 0


async def test_while_a_backlog_cannot_be_read_the_disk_thread_rests(
    device: Device, clock: Clock
) -> None:
    device.start()
    device.step()
    device.keep(20_000)
    clock.now_s += 3
    device.step()
    with one_read_error():
        await answer(device, clock, 20)
    assert not device.tiers.cold.is_open
    device.step()
    assert not device.queue.wants_more()
    clock.now_s += 6
    device.step()
    assert [sample.id for sample in await device.take(3)] == [8192, 8193, 8194]
    device.close()
