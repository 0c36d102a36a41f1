"""The reader of a spool: what it waits for, in which order it reads, and how much."""

import asyncio
import logging
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.patience import PATIENCE_S
from support.spools import PERIOD_NS, home_in_ram
from support.starts import Starts, numbers, read, read_all, reading

from agent.config import SpoolSettings
from agent.model import Reading
from agent.spool import ledger
from agent.spool.directories import Directories
from agent.spool.queue import MOST_READY
from agent.spool.spool import Spool


@pytest.fixture
def bus() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


async def settle_all(spool: Spool, at_once: int = 512) -> list[int]:
    """Until read() gives nothing; which readings were given."""
    given: list[int] = []
    while samples := await read(spool, at_once):
        given += numbers(samples)
        for sample in samples:
            spool.settle(sample, answered=True)
    return given


# The reader


async def test_a_reader_waits_for_a_sample_of_another_thread(
    starts: Starts, bus: list[threading.Thread]
) -> None:
    spool = starts.spool()
    for number in range(20):
        waiting = asyncio.create_task(spool.read(5))
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.append(threading.Thread(target=spool.append, args=(reading(number),), name="bus"))
        bus[-1].start()
        assert numbers(await asyncio.wait_for(waiting, PATIENCE_S)) == [number]


async def test_a_sample_is_given_only_when_it_would_survive_the_process(starts: Starts) -> None:
    spool = starts.spool()
    for number in range(50):
        spool.append(reading(number))
        (sample,) = await read(spool, 5)
        assert ledger.read(starts.directories).sessions[0].waiting_ids[-1][-1] == sample.id


async def test_a_waiting_reader_is_told_that_no_sample_will_come(
    starts: Starts, bus: list[threading.Thread]
) -> None:
    spool = starts.spool()
    waiting = asyncio.create_task(spool.read(5))
    await asyncio.sleep(0)
    bus.append(threading.Thread(target=spool.finish, name="bus"))
    bus[-1].start()
    assert await asyncio.wait_for(waiting, PATIENCE_S) == []


async def test_the_end_comes_after_the_last_sample_that_was_appended(starts: Starts) -> None:
    for _ in range(20):
        spool = starts.spool()
        for number in range(10):
            spool.append(reading(number))
        spool.finish()
        assert await settle_all(spool) == [*range(10)]
        spool.close()


async def test_the_end_comes_after_what_earlier_sessions_left(starts: Starts) -> None:
    former = starts.spool()
    for number in range(10):
        former.append(reading(number))
    former.close()
    spool = starts.spool()
    spool.finish()
    assert spool.earlier == 10
    assert await settle_all(spool, 3) == [*range(10)]
    assert (spool.sampled, spool.answered, spool.unanswered) == (0, 10, 0)


async def test_after_the_end_what_is_unanswered_is_given_again(starts: Starts) -> None:
    spool = starts.spool()
    spool.append(reading(0))
    spool.append(reading(1))
    spool.finish()
    assert numbers(await read(spool, 1)) == [0]
    assert numbers(await read(spool, 9)) == [1]
    assert await read(spool, 9) == []
    spool.rewind()
    assert numbers(await read(spool, 9)) == [0, 1]


async def test_a_reader_that_gave_up_waiting_costs_no_sample(starts: Starts) -> None:
    spool = starts.spool()
    for number in range(5):
        waiting = asyncio.create_task(spool.read(5))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        spool.append(reading(number))
        assert numbers(await read(spool, 5)) == [number]


async def test_readings_of_another_thread_are_read_once_and_in_order(
    starts: Starts, bus: list[threading.Thread]
) -> None:
    spool = starts.spool()

    def sample() -> None:
        for number in range(5_000):
            spool.append(reading(number))
        spool.finish()

    bus.append(threading.Thread(target=sample, name="bus"))
    bus[-1].start()
    assert await settle_all(spool, 7) == [*range(5_000)]
    assert (spool.answered, spool.unanswered, spool.dropped) == (5_000, 0, 0)


def test_a_reading_that_comes_after_the_loop_ended_is_kept(starts: Starts) -> None:
    async def wait_in_vain() -> Spool:
        spool = starts.spool()
        waiting = asyncio.create_task(spool.read(1))
        await asyncio.sleep(0)
        waiting.cancel()
        return spool

    spool = asyncio.run(wait_in_vain())
    spool.append(reading(0))
    spool.close()
    (session,) = starts.sessions()
    assert (session.sampled, session.waiting) == (1, 1)


# Much

BACKLOG = 100_000


@pytest.fixture(scope="module")
def backlog() -> Iterator[Directories]:
    """A spool in which 100,000 samples wait; each reading is its number."""
    with home_in_ram() as home:
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()

        async def fill() -> None:
            with closing(Spool(directories, SpoolSettings(), PERIOD_NS)) as spool:
                for number in range(BACKLOG):
                    spool.append(reading(number))
                    if number % 10_000 == 9_999:  # what is appended faster than it is kept is lost
                        await read_all(spool, 10_000)

        asyncio.run(fill())
        yield directories


def test_a_long_backlog_is_drained_in_order_while_sampling_goes_on_and_memory_is_flat(
    backlog: Directories, bus: list[threading.Thread], caplog: pytest.LogCaptureFixture
) -> None:
    """Its start loads little of it as well."""

    async def drain() -> None:
        tracemalloc.start()
        with closing(Spool(backlog, SpoolSettings(), PERIOD_NS)) as spool:
            assert spool.earlier == BACKLOG
            _, at_start_bytes = tracemalloc.get_traced_memory()
            assert at_start_bytes < 2 * 1024**2

            def sample() -> None:
                for number in range(BACKLOG, BACKLOG + 5_000):
                    spool.append(reading(number))
                spool.finish()

            bus.append(threading.Thread(target=sample, name="bus"))
            bus[-1].start()
            expected = 0
            while samples := await read(spool, 512):
                assert numbers(samples) == [*range(expected, expected + len(samples))]
                expected += len(samples)
                for each in samples:
                    spool.settle(each, answered=True)
            assert expected == BACKLOG + 5_000
            assert spool.unanswered == 0
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 16 * 1024**2  # 105,000 samples would take 40 MB

    caplog.set_level(logging.WARNING)
    asyncio.run(drain())
    assert caplog.text == ""
    first, second = ledger.read(backlog).sessions
    assert (first.answered, second.answered) == (BACKLOG, 5_000)
    assert 3 * MOST_READY < BACKLOG


async def test_values_pass_the_threads_bit_for_bit(starts: Starts) -> None:
    spool = starts.spool()
    values = struct.unpack("<4f", struct.pack("<4I", 0x7FC00001, 0x80000000, 1, 0xFF800000))
    spool.append(Reading(values, -1))
    (sample,) = await read(spool, 1)
    assert struct.pack("<4f", *sample.values) == struct.pack("<4f", *values)
    assert sample.sampled_at_ns == -1
