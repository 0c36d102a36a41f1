"""The spool with its disk thread, as bus and link use it."""

import asyncio
import logging
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path

import pytest
from support.files import Files
from support.patience import PATIENCE_S
from support.spools import PERIOD_NS, home_in_ram, rooms

from agent.config import SpoolSettings
from agent.model import Reading, Sample
from agent.spool import ledger
from agent.spool.directories import Directories
from agent.spool.ledger import Entry
from agent.spool.queue import MOST_READY
from agent.spool.spool import Spool
from agent.spool.tier import OpenTier, Tier
from wire import MAX_ID


def reading(number: int) -> Reading:
    return Reading((float(number), 0.0, 0.0, 0.0), number)


def numbers(samples: list[Sample]) -> list[int]:
    """Which readings the samples are, by their time."""
    return [sample.sampled_at_ns for sample in samples]


class Starts:
    """Spools in the same two directories, one after the other."""

    def __init__(self, home: Path, leaving: ExitStack) -> None:
        self.directories = Directories(home / "hot", home / "cold")
        self.directories.hot.mkdir()
        self.directories.cold.mkdir()
        self._leaving = leaving

    def spool(
        self,
        settings: SpoolSettings | None = None,
        *,
        files: OpenTier = Tier,
        max_id: int = MAX_ID,
        join_s: float = 5.0,
    ) -> Spool:
        spool = Spool(
            self.directories,
            settings or SpoolSettings(),
            PERIOD_NS,
            open_tier=files,
            max_id=max_id,
            join_s=join_s,
        )
        return self._leaving.enter_context(closing(spool))

    def sessions(self) -> list[Entry]:
        read = ledger.read(self.directories)
        assert read.balanced
        return read.sessions


@pytest.fixture
def starts() -> Iterator[Starts]:
    with home_in_ram() as home, ExitStack() as leaving:
        yield Starts(home, leaving)


@pytest.fixture
def bus() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


async def read(spool: Spool, limit: int) -> list[Sample]:
    return await asyncio.wait_for(spool.read(limit), PATIENCE_S)


async def read_all(spool: Spool, count: int) -> list[Sample]:
    """The next so many samples."""
    samples: list[Sample] = []
    while len(samples) < count:
        samples += await read(spool, count - len(samples))
    return samples


async def settle_all(spool: Spool, at_once: int = 512) -> list[int]:
    """Until read() gives nothing; which readings were given."""
    given: list[int] = []
    while samples := await read(spool, at_once):
        given += numbers(samples)
        for sample in samples:
            spool.settle(sample, answered=True)
    return given


# Sessions


async def test_a_session_is_32_random_hex_digits_with_cadence_and_start(starts: Starts) -> None:
    sessions = []
    for number in range(5):
        spool = starts.spool()
        assert starts.directories.cold.is_dir()
        spool.append(reading(100 + number))
        sessions.append((await read_all(spool, number + 1))[-1].session)
        spool.close()
    assert len({session.id for session in sessions}) == 5
    assert all(len(session.id) == 32 and int(session.id, 16) >= 0 for session in sessions)
    assert {session.period_ns for session in sessions} == {PERIOD_NS}
    assert [session.started_at_ns for session in sessions] == [100, 101, 102, 103, 104]
    assert [session.sequence for session in sessions] == [1, 2, 3, 4, 5]


async def test_a_start_without_a_sample_is_no_session(starts: Starts) -> None:
    for _ in range(3):
        starts.spool().close()
    assert starts.sessions() == []


async def test_the_id_after_the_highest_starts_a_new_session_at_0(starts: Starts) -> None:
    assert MAX_ID == 2**31 - 1
    spool = starts.spool(max_id=2)
    for number in range(8):
        spool.append(reading(number))
    samples = await read_all(spool, 8)
    assert numbers(samples) == [*range(8)]
    assert [s.id for s in samples] == [0, 1, 2, 0, 1, 2, 0, 1]
    lengths = [len([*g]) for _, g in groupby(samples, key=lambda s: s.session.id)]
    assert lengths == [3, 3, 2]
    assert [s.session.started_at_ns for s in samples[::3]] == [0, 3, 6]
    for sample in samples:  # the same id thrice in flight, of three sessions
        spool.settle(sample, answered=True)
    spool.close()
    assert [(e.sampled, e.answered, e.ended) for e in starts.sessions()] == [
        (3, 3, True),
        (3, 3, True),
        (2, 2, True),
    ]


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


# The counters


async def test_the_counters_tell_every_samples_fate(starts: Starts) -> None:
    spool = starts.spool()
    for number in range(10):
        spool.append(reading(number))
    samples = await read_all(spool, 10)
    for sample in samples[:6]:
        spool.settle(sample, answered=sample.id < 4)
    assert (spool.sampled, spool.answered, spool.unanswerable) == (10, 4, 2)
    assert spool.unanswered == 4
    assert spool.latest == samples[-1]
    spool.close()
    (session,) = starts.sessions()
    assert (session.sampled, session.answered, session.waiting) == (10, 4, 4)
    (unanswerable,) = session.fates.values()
    assert unanswerable.runs == [(4, 5)]
    later = starts.spool()
    assert (later.earlier, later.unanswered) == (4, 4)
    assert numbers(await read_all(later, 4)) == [6, 7, 8, 9]


# A full spool


async def test_what_is_in_flight_is_never_dropped(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    spool = starts.spool(rooms(disk=4))
    for number in range(4):
        spool.append(reading(number))
    in_flight = await read_all(spool, 3)
    for number in range(4, 100):
        spool.append(reading(number))
    spool.finish()
    spool.close()
    assert [(e.sampled, e.waiting_ids) for e in starts.sessions()] == [(100, [(0, 2), (99, 99)])]
    assert spool.dropped == 96
    assert spool.unanswered == 4
    assert numbers(in_flight) == [0, 1, 2]
    assert caplog.text.count("the spool is full") == 1
    assert "96 samples were dropped" in caplog.text


async def test_a_refused_sample_takes_an_id(starts: Starts) -> None:
    spool = starts.spool(rooms(disk=4, when_full="refuse_new"))
    for number in range(4):
        spool.append(reading(number))
    samples = await read_all(spool, 4)
    for number in range(4, 10):
        spool.append(reading(number))
    async with asyncio.timeout(PATIENCE_S):
        while spool.dropped < 6:  # noqa: ASYNC110 - the disk thread tells nobody
            await asyncio.sleep(0)
    for sample in samples:
        spool.settle(sample, answered=True)
    spool.append(reading(10))
    (last,) = await read(spool, 9)
    assert (last.id, last.sampled_at_ns) == (10, 10)
    spool.close()
    (session,) = starts.sessions()
    assert [ids.runs for ids in session.fates.values()] == [[(4, 9)]]


# The disk thread


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_disk_thread_that_fails_ends_the_reader(starts: Starts) -> None:
    files = Files()
    spool = starts.spool(files=files)
    waiting = asyncio.create_task(spool.read(1))
    await asyncio.sleep(0)

    def fail(_: Path) -> None:
        raise MemoryError

    files.before_write = fail
    spool.append(reading(0))
    with pytest.raises(RuntimeError, match="the disk thread has ended") as raised:
        await asyncio.wait_for(waiting, PATIENCE_S)
    assert isinstance(raised.value.__cause__, MemoryError)
    with pytest.raises(RuntimeError):
        await read(spool, 1)


async def test_a_stop_waits_for_a_disk_that_hangs_only_so_long(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files()
    spool = starts.spool(files=files, join_s=0.05)
    (disk,) = [thread for thread in threading.enumerate() if thread.name == "disk"]
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_: Path) -> None:
        hanging.set()
        go_on.wait(PATIENCE_S)

    files.before_write = hang
    spool.append(reading(0))
    assert hanging.wait(PATIENCE_S)
    spool.close()
    assert disk.is_alive()
    assert "the disk does not answer" in caplog.text
    go_on.set()
    disk.join(PATIENCE_S)
    assert [session.waiting for session in starts.sessions()] == [1]


async def test_a_stop_ends_the_disk_thread(starts: Starts) -> None:
    before = {thread.name for thread in threading.enumerate()}
    spool = starts.spool()
    assert {thread.name for thread in threading.enumerate()} - before == {"disk"}
    spool.append(reading(0))
    spool.close()
    assert {thread.name for thread in threading.enumerate()} == before
    spool.close()


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
