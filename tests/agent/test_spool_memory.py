"""Samples that no tier takes: sent from memory, in order, counted, and booked later."""

import asyncio
import logging
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.files import Files
from support.patience import PATIENCE_S
from support.spools import Blocked, Device, count, home_in_ram, name, rooms

from agent.config import SpoolSettings
from agent.model import Reading, Sample, Session
from agent.spool.account import Fate
from agent.spool.coming import Coming
from agent.spool.condition import ColdState
from agent.spool.directories import Directories
from agent.spool.row import Key
from agent.spool.spool import Spool
from quartet.errors import StoreError

READING = Reading((1.0, 2.0, 3.0, 4.0), 7)


def settle(device: Device, samples: list[Sample]) -> None:
    for sample in samples:
        device.queue.settle(sample, answered=True)


def block_both(device: Device) -> list[Blocked]:
    return [Blocked(device.directories.hot), Blocked(device.directories.cold)]


async def test_while_both_tiers_fail_samples_are_sent_from_memory_and_booked_later(
    device: Device, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")
    device.start()
    device.step()
    samples = device.keep(3)
    settle(device, await device.take(9))
    device.step()
    blocks = block_both(device)
    first = device.keep(2)
    assert await device.take(9) == []  # the tiers may take them yet
    clock.advance(1.1)
    given = await device.take(9)
    assert given == first
    settle(device, given)
    for _ in range(20):  # and from now on at once
        samples = device.append(1)
        assert await device.take(9) == samples
        settle(device, samples)
        clock.advance(0.6)
        device.step()
    assert device.queue.is_alone
    assert device.queue.from_memory == 22
    for block in blocks:
        block.close()
    clock.advance(10)
    device.step()
    device.step()
    assert not device.queue.is_alone
    said = [each.getMessage() for each in caplog.records if "memory alone" in each.getMessage()]
    assert any("no directory of the spool has taken a sample for 1 s" in each for each in said)
    assert (
        "the spool stores samples again; 22 samples were sent from memory alone, after " in said[-1]
    )
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.waiting, entry.fates) == (25, 25, 0, {})


async def test_what_was_answered_before_its_commit_needs_no_row(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    blocks = block_both(device)
    device.keep(4)
    clock.advance(1.1)
    taken = await device.take(9)
    settle(device, taken[:2])
    for block in blocks:
        block.close()
    clock.advance(10)
    device.step()
    rows = count(device.directories.cold)
    rows += count(device.directories.hot) if (device.directories.hot / "spool.db").exists() else 0
    assert rows == 2
    settle(device, taken[2:])
    assert await device.drain() == []
    device.close()
    assert device.ledger().balanced
    assert device.ledger().sessions[0].answered == 4


async def test_a_broken_link_gets_samples_from_memory_again_in_their_order(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    blocks = block_both(device)
    samples = device.keep(5)
    clock.advance(1.1)
    assert await device.take(3) == samples[:3]
    device.queue.rewind()
    assert await device.take(9) == samples
    device.queue.rewind()
    for block in blocks:
        block.close()
    clock.advance(10)
    assert await device.drain() == samples
    device.close()
    assert device.ledger().sessions[0].answered == 5


async def test_no_sample_from_memory_passes_an_older_one_in_the_tiers(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(5)
    device.close()
    device.start()
    new = device.append(2)
    clock.advance(5)
    assert await device.take(9) == []  # the disk thread has not looked yet
    device.step()
    assert [*map(name, await device.take(9))] == [*map(name, samples + new)]
    device.close()


async def test_samples_sent_from_memory_are_not_dropped_as_well(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = rooms(disk=10, when_full="refuse_new")
    device = Device(tmp_path, settings, clock=clock, most_ready=8)
    device.start()
    device.step()
    blocks = block_both(device)
    device.append(5)
    clock.advance(1.1)
    taken = await device.take(3)
    device.append(15)
    device.step()
    for block in blocks:
        block.close()
    clock.advance(10)
    device.step()
    settle(device, taken)
    await device.drain()
    device.close()
    (entry,) = device.ledger().sessions
    assert entry.difference == 0
    assert entry.answered + entry.fates[Fate.REFUSED].count == 20


def test_what_is_appended_while_the_disk_thread_hangs_is_bounded(clock: ManualClock) -> None:
    coming = Coming(most_appended=10, clock=clock)
    session = Session(1, "0" * 32, 0, 0)
    samples = [Sample(session, id_, (1.0, 2.0, 3.0, 4.0), 0) for id_ in range(15)]
    for sample in samples:
        coming.append(sample)
    clock.advance(1)
    assert coming.take_early(4) == samples[:4]
    for sample in samples[:2]:
        assert coming.settle(Key.of(sample), answered=True)
    coming.take_back(samples[:4])
    assert coming.refuse(samples[:2]) == []
    assert coming.take_early(2) == samples[2:4]
    appended, passed = coming.gather()
    assert appended == samples[2:10]
    told = [(run.first, run.last, run.fate) for run in passed]
    assert told == [(10, 14, Fate.STALLED), (0, 1, None)]
    assert coming.take_over(samples[2:10]) == [False] * 2 + [True] * 6


async def test_a_disk_that_hangs_does_not_keep_predictions_back(tmp_path: Path) -> None:
    directories = Directories(tmp_path / "hot", tmp_path / "cold")
    directories.hot.mkdir()
    directories.cold.mkdir()
    files, let_go, hangs = Files(), threading.Event(), threading.Event()

    def hang(path: Path) -> None:
        if path.parent.name == "cold":
            hangs.set()
            let_go.wait()

    settings = SpoolSettings(durability="disk")
    with closing(Spool(directories, settings, 0, open_tier=files, patience_s=0.05)) as spool:
        spool.append(READING)
        (first,) = await spool.read(9)
        spool.settle(first, answered=True)
        files.before_write = hang
        for _ in range(20):
            spool.append(READING)
            (sample,) = await asyncio.wait_for(spool.read(9), PATIENCE_S)
            spool.settle(sample, answered=True)
        assert hangs.is_set()
        assert spool.from_memory == 20
        assert spool.trouble
        beat_ns = spool.beat_ns
        assert spool.beat_ns > beat_ns
        let_go.set()
        files.before_write = lambda _: None
        spool.append(READING)
        (sample,) = await spool.read(9)
        spool.settle(sample, answered=True)
    assert Key.of(sample).id == 21


async def test_what_is_settled_while_no_tier_takes_it_is_not_read_again_from_a_disk_that_returns(
    clock: ManualClock,
) -> None:
    def fail(path: Path) -> None:
        raise StoreError(f"{path}: cannot be used: disk I/O error", path)

    def fail_on_disk(path: Path) -> None:
        if path.parent.name == "cold":
            fail(path)

    with home_in_ram() as home:
        device = Device(home, clock=clock, most_ready=2, few_ready=2)
        device.start()
        samples = device.keep(6)
        settle(device, await device.take(2))
        with device.files.meanwhile(before_write=fail, before_read=fail_on_disk):
            device.step()
            assert device.tiers.cold_state is ColdState.AWAY
        with device.files.meanwhile(before_write=fail):
            clock.advance(6)
            device.step()
            assert device.tiers.cold_state is ColdState.READABLE
            device.step()
            assert await device.take(2) == samples[2:4]
        device.queue.rewind()
        clock.advance(6)
        assert await device.drain() == samples[2:]
        device.close()
        assert device.ledger().balanced
        assert device.ledger().sessions[0].answered == 6


async def test_no_restart_is_asked_for_while_it_would_lose_what_a_hanging_disk_has_not_taken(
    tmp_path: Path, clock: ManualClock
) -> None:
    directories = Directories(tmp_path / "hot", tmp_path / "cold")
    directories.hot.mkdir()
    directories.cold.mkdir()
    files, let_go, hangs = Files(), threading.Event(), threading.Event()

    def hang(_: Path) -> None:
        hangs.set()
        let_go.wait()

    with closing(Spool(directories, SpoolSettings(), 0, clock=clock, open_tier=files)) as spool:
        files.before_write = hang
        spool.append(READING)
        assert hangs.wait(PATIENCE_S)
        clock.advance(60)
        # Whether older samples wait on the disk is not known yet: this one is not sent.
        assert not spool.trouble
        assert spool.beat_ns == clock.monotonic_ns()
        let_go.set()
        assert len(await spool.read(9)) == 1


async def test_no_restart_is_asked_for_while_samples_go_past_a_disk_that_hangs(
    tmp_path: Path, clock: ManualClock
) -> None:
    directories = Directories(tmp_path / "hot", tmp_path / "cold")
    directories.hot.mkdir()
    directories.cold.mkdir()
    files, let_go, hangs = Files(), threading.Event(), threading.Event()

    def hang(_: Path) -> None:
        hangs.set()
        let_go.wait()

    with closing(Spool(directories, SpoolSettings(), 0, clock=clock, open_tier=files)) as spool:
        spool.append(READING)
        (first,) = await spool.read(9)
        spool.settle(first, answered=True)
        files.before_write = hang
        while not hangs.is_set():
            await passes(spool)
        await passes(spool)
        assert not spool.trouble
        clock.advance(60)
        assert spool.beat_ns == clock.monotonic_ns()
        let_go.set()


async def passes(spool: Spool) -> None:
    """A sample comes while the reader waits, and is answered."""
    reading = asyncio.create_task(spool.read(9))
    await asyncio.sleep(0)
    spool.append(READING)
    for sample in await reading:
        spool.settle(sample, answered=True)
