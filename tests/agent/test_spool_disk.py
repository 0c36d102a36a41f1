"""What the disk does to a spool, and what a spool does to its disk."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Blocked, Device, content, count, name, rooms, said

from agent.model import Sample
from agent.spool.queue import MOST_READY, Queue
from quartet.errors import StoreError


def refuse(directory: Path) -> Callable[[Path], None]:
    """No file of a directory is written."""

    def before(path: Path) -> None:
        if path.parent == directory:
            raise StoreError(f"{path}: cannot be used: disk I/O error", path)

    return before


async def test_a_disk_that_comes_back_is_read_soon_also_when_nothing_is_sampled(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(5)
    device.close()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    device.step()
    assert await device.take(9) == []
    block.close()
    clock.advance(6)
    assert await device.drain() == samples
    device.close()


async def test_samples_in_ram_wait_for_older_ones_of_their_session_on_a_disk_that_is_away(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(5)
    assert count(device.directories.cold) == 5
    samples += device.keep(5)
    assert count(device.directories.hot) == 5
    device.kill()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    new = device.keep(3)
    assert await device.take(99) == new  # the broker refuses ids that come after higher ones
    block.close()
    clock.advance(6)
    assert await device.drain() == samples
    for sample in new:
        device.queue.settle(sample, answered=True)
    device.close()
    assert device.ledger().balanced


async def test_a_session_that_is_in_ram_alone_does_not_wait_for_a_disk_that_is_away(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    with device.files.meanwhile(before_write=refuse(device.directories.cold)):
        samples = device.keep(5)
    device.kill()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    assert await device.drain() == samples
    block.close()
    clock.advance(6)
    device.close()
    assert device.ledger().balanced


async def test_a_session_that_begins_after_the_disk_came_back_has_a_place_of_its_own(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    old = device.keep(5)
    device.cut_power()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    device.step()
    block.close()
    clock.advance(4000)
    device.step()
    new = device.keep(3)
    assert [*map(content, await device.drain())] == [*map(content, old + new)]
    device.close()
    assert [entry.answered for entry in device.ledger().sessions] == [5, 3]


async def test_earlier_sessions_that_come_late_go_first_also_after_a_broken_link(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    old = device.keep(4)
    device.kill()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    new = device.keep(2)
    taken = await device.take(9)
    assert [*map(content, taken)] == [*map(content, new)]
    block.close()
    clock.advance(6)
    device.step()
    device.queue.rewind()
    assert [*map(content, await device.drain())] == [*map(content, old + new)]
    device.close()


async def test_the_ledger_balances_while_two_sessions_have_the_same_place(
    device: Device,
) -> None:
    device.start()
    device.keep(2)
    device.cut_power()
    block = Blocked(device.directories.cold, unreadable=True)
    device.start()
    device.keep(3)
    block.close()
    ledger = device.ledger()
    assert [entry.waiting for entry in ledger.sessions] == [2, 3]
    assert ledger.balanced
    device.tiers.close()


async def test_what_a_disk_that_cannot_delete_still_holds_is_not_given_again(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(9)
    device.close()
    device.start()
    device.step()
    for sample in (await device.take(9))[2:5]:
        device.queue.settle(sample, answered=True)
    device.step()
    device.kill()
    block = Blocked(device.directories.cold)
    device.start()
    assert await device.drain() == samples[:2] + samples[5:]
    block.close()
    clock.advance(6)
    device.step()
    device.close()
    assert [(entry.answered, entry.waiting) for entry in device.ledger().sessions] == [(9, 0)]


async def test_a_spool_that_stays_full_says_so_once_and_then_how_much_it_dropped(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")
    device.settings = rooms(disk=100)
    device.start()
    device.keep(100)
    for _ in range(50):
        device.keep(1)
    assert len(said(caplog, logging.INFO)) == 1
    for sample in await device.take(60):
        device.queue.settle(sample, answered=True)
    device.keep(1)
    assert "50 samples were dropped" in said(caplog, logging.INFO)[1]
    device.keep(100)
    assert len(said(caplog, logging.ERROR)) == 2
    device.close()


async def test_what_is_ready_in_memory_is_bounded_and_the_rest_is_read_as_it_is_needed(
    device: Device,
) -> None:
    device.start()
    device.step()
    samples = device.keep(3 * MOST_READY)
    taken = await device.take(3 * MOST_READY)
    assert len(taken) <= MOST_READY
    for sample in taken:
        device.queue.settle(sample, answered=True)
    assert taken + await device.drain() == samples
    device.close()


async def test_the_end_is_not_told_while_the_tiers_hold_more(
    tmp_path: Path, clock: ManualClock
) -> None:
    device = Device(tmp_path, clock=clock, most_ready=8)
    device.start()
    device.keep(20)
    device.queue.finish()
    given: list[Sample] = []
    while len(given) < 20:
        reading = asyncio.create_task(device.queue.read(5))
        while not reading.done():
            device.step()
            await asyncio.sleep(0)
        assert reading.result()
        given += reading.result()
        waiting_in_vain = asyncio.create_task(device.queue.read(50))
        await asyncio.sleep(0)
        if waiting_in_vain.done():
            given += waiting_in_vain.result()
        elif len(given) < 20:
            device.step()
            given += await waiting_in_vain
    assert len(given) == 20
    assert await device.queue.read(5) == []
    device.tiers.close()


async def test_the_end_is_not_told_while_older_samples_are_to_be_read() -> None:
    queue = Queue()
    queue.deliver([], behind=False, blocked=False, well=True)
    queue.finish()
    queue.start_over()
    reading = asyncio.create_task(queue.read(5))
    await asyncio.sleep(0)
    assert not reading.done()
    queue.deliver([], behind=False, blocked=False, well=True)
    assert await reading == []


async def test_a_disk_that_is_written_and_not_read_is_said_once(
    device: Device, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")

    def fail(path: Path) -> None:
        if path.parent.name == "cold":
            raise StoreError(f"{path}: cannot be used: disk I/O error", path)

    device.start()
    samples = device.keep(9)
    device.close()
    with device.files.meanwhile(before_read=fail):
        device.start()
        for _ in range(30):
            samples += device.keep(1)
            clock.advance(2)
    said = [each.getMessage() for each in caplog.records if "cold" in each.getMessage()]
    (only,) = said
    assert "disk I/O error; no sample is sent until those in it can be read" in only
    assert [*map(name, await device.drain())] == [*map(name, samples)]
    assert "can be read again, after " in caplog.text
    device.close()
