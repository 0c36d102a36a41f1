"""The spool with its disk thread, as bus and link use it."""

import asyncio
import threading
from itertools import groupby
from pathlib import Path

import pytest
from support.files import Files
from support.patience import PATIENCE_S
from support.spools import PERIOD_NS, rooms
from support.starts import Starts, numbers, read, read_all, reading

from wire import MAX_ID

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
