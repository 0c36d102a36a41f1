"""Who commits: the event loop where that is quick, else the recorder's thread; never both."""

import asyncio
import contextlib
import math
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import header
from support.turns import LOOP, THREAD, Rig, Written, ids, opened, save, turns, until

from broker.app import show_health
from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.sqlite.opened import Opened
from broker.recorder.sqlite.pace import Pace
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch, Event, EventKind
from broker.transport import Health
from broker.transport.memory import MemoryTransport
from quartet.database import BUSY_S, transaction
from quartet.errors import StoreError

many = settings(derandomize=True, deadline=None, max_examples=40)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes to the store."""
    with contextlib.closing(sqlite3.connect(path, 0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def remove(file: str) -> None:
    Path(file).unlink()


# Where commits are made


async def test_a_quick_commit_is_made_on_the_loop(path: Path) -> None:
    async with opened(path) as rig:
        assert [await rig.commit(), await rig.commit(100)] == [LOOP, LOOP]


async def test_a_backlog_is_committed_beside_the_loop(path: Path) -> None:
    async with opened(path) as rig:
        assert [await rig.commit(256), await rig.commit(257)] == [LOOP, THREAD]
        await rig.rest()
        before = len(rig.by)
        await asyncio.gather(rig.record(200), rig.record(200))
        assert rig.by[before:] == [THREAD, THREAD]
        assert await rig.commit() == LOOP


@pytest.mark.parametrize("count", [1, 300])
async def test_a_stream_keeps_its_latest_commit_and_none_of_its_samples(
    path: Path, count: int
) -> None:
    async with opened(path) as rig:
        samples = Written(range(1, 1 + count), rig.by, int)
        answers = [Answer(each.id, False) for each in list.__iter__(samples)]
        kept = weakref.ref(samples)
        commit = rig.recorder.record(Batch(rig.claim, samples, answers))
        del samples
        await commit
        await rig.rest()
        assert kept() is None


async def test_all_that_one_turn_brings_is_one_commit_at_its_end(path: Path) -> None:
    async with opened(path) as rig:
        await rig.rest()
        before = rig.by.copy()
        commits = [rig.record() for _ in range(20)]
        await asyncio.sleep(0)  # they are recorded
        assert rig.by == before
        await asyncio.sleep(0)  # the end of that turn
        assert rig.by == [*before, *[LOOP] * 20]
        assert ids(path) == list(range(21))
        await asyncio.gather(*commits)


async def test_nothing_that_needs_power_to_stay_is_committed_on_the_loop(path: Path) -> None:
    async with opened(path, "full") as rig:
        for _ in range(3):
            rig.clock.advance(11)
            assert await rig.commit() == THREAD


async def test_a_slow_commit_moves_the_next_ones_until_ten_seconds_were_quick(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit(takes_s=0.019) == LOOP
        assert await rig.commit(takes_s=0.021) == LOOP
        assert await rig.commit() == THREAD
        rig.clock.advance(9.9)
        assert await rig.commit(takes_s=0.021) == THREAD  # begins the ten seconds again
        rig.clock.advance(9.9)
        assert [await rig.commit(), await rig.commit()] == [THREAD, THREAD]
        rig.clock.advance(0.1)
        assert [await rig.commit(), await rig.commit()] == [THREAD, LOOP]


async def test_a_commit_on_the_loop_is_judged_by_all_of_its_time(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit(before_s=0.021) == LOOP
        assert await rig.commit() == THREAD


async def test_the_thread_may_wait_for_the_loop_and_the_file_counts_as_quick(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit(takes_s=0.021) == LOOP
        rig.clock.advance(10)
        assert await rig.commit(before_s=0.021) == THREAD
        assert await rig.commit() == LOOP


async def test_a_slow_flush_which_is_never_the_loops_moves_no_commit(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        save(path)
        assert await rig.commit(takes_s=0.021) == THREAD
        assert await rig.commit() == LOOP


async def test_a_lock_of_another_program_moves_commits_and_holds_no_loop(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        rig.by.clear()
        with locked(path):
            async with asyncio.timeout(BUSY_S / 2):  # the loop does not wait for the lock
                waiting = [rig.record(), rig.record()]
                assert not (await asyncio.wait(waiting, timeout=0.1))[0]
            waiting.append(rig.record())
        await asyncio.gather(*waiting)
        assert set(rig.by) == {THREAD}
        assert await rig.commit() == THREAD
        rig.clock.advance(10)
        assert [await rig.commit(), await rig.commit()] == [THREAD, LOOP]
    assert ids(path) == list(range(8))


async def test_the_thread_waits_for_a_lock_also_where_commits_are_made_on_the_loop(
    path: Path,
) -> None:
    def keep_house(tables: Tables) -> None:
        with transaction(tables._connection):  # noqa: SLF001 - as all that deletes does
            pass

    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        with locked(path):
            keeping = asyncio.ensure_future(rig.recorder._ask(keep_house))  # noqa: SLF001
            assert not (await asyncio.wait([keeping], timeout=0.1))[0]
        await keeping


async def test_a_store_that_cannot_be_opened_again_fails_commits_and_ends_no_thread(
    path: Path,
) -> None:
    def fail() -> Opened:
        raise StoreError("no file may be opened")

    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        condition = rig.recorder._condition  # noqa: SLF001 - no file makes this of itself
        condition._open_store, reopen = fail, condition._open_store  # noqa: SLF001
        remove(f"{path}-shm")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RecordError):
                await rig.record()
            await rig.rest()
            for _ in range(3):
                rig.claim = await rig.recorder.claim(None, "1.2.3.4:5")
                with pytest.raises(RecordError):
                    await rig.record()
            condition._open_store = reopen  # noqa: SLF001
            await rig.recorder.claim(header(), "1.2.3.4:5")


async def test_a_failed_commit_on_the_loop_ends_its_streams_alone(path: Path) -> None:
    async with opened(path) as rig:
        other = await rig.recorder.claim(header(agent="other"), "1.2.3.4:5")

        def fail() -> None:
            raise OSError("no space")

        await rig.rest()
        failing = rig.record(meanwhile=fail)
        with pytest.raises(RecordError, match="the broker cannot record samples: no space"):
            await failing
        assert rig.by[-1] == LOOP
        await rig.recorder.record(Batch(other, [Sample(7, (0.0,) * 4)], [Answer(7, True)]))
        with pytest.raises(RecordError):
            await rig.record()
    assert ids(path) == [0, 7]


async def test_who_waits_and_leaves_takes_nobody_along(path: Path) -> None:
    async with opened(path) as rig:
        leaving, staying = rig.record(), rig.record()
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
        assert leaving.cancelled()
    assert ids(path) == [0, 1, 2]


# Order


async def test_what_comes_while_the_thread_commits_waits_for_the_thread(path: Path) -> None:
    goes_on = threading.Event()
    async with opened(path) as rig:
        await rig.rest()
        before = len(rig.by)
        asking = asyncio.ensure_future(rig.recorder.answers(rig.claim, 0, 9))
        first = rig.record(meanwhile=lambda: goes_on.wait(PATIENCE_S))
        await until(lambda: len(rig.by) > before)
        second = rig.record()
        await asyncio.sleep(0.01)
        goes_on.set()
        await asyncio.gather(first, second)
        assert [answer.id for answer in await asking] == [0, 1]
        assert rig.by[before:] == [THREAD, THREAD]
    assert ids(path) == [0, 1, 2]


class Script:
    """What may happen to a store between two commits, each by its name."""

    def __init__(self, path: Path, rig: Rig) -> None:
        self._path = path
        self._rig = rig
        self._lock = contextlib.ExitStack()
        self.waiting: list[asyncio.Future[None]] = []
        self.asking: list[asyncio.Future[None]] = []
        self.settled: list[int] = []

    async def record(self) -> None:
        number = len(self.waiting)
        each = self._rig.record()
        each.add_done_callback(lambda _: self.settled.append(number))
        self.waiting.append(each)

    async def slow(self) -> None:
        self._rig.slow_down(0.03)
        await self.record()

    async def turn(self) -> None:
        await turns()

    async def pause(self) -> None:
        """Let the thread come to its turn."""
        await asyncio.sleep(0.001)

    async def lock(self) -> None:
        await self.unlock()
        with contextlib.suppress(sqlite3.OperationalError):  # a commit is being made
            self._lock.enter_context(locked(self._path))

    async def unlock(self) -> None:
        self._lock.close()

    async def late(self) -> None:
        self._rig.clock.advance(11)

    async def ask(self) -> None:
        """Ask beside what follows; the question sees all that was recorded before."""
        recorded = 1 + len(self.waiting)

        async def asked() -> None:
            answers = await self._rig.recorder.answers(self._rig.claim, 0, 1 << 20)
            assert len(answers) >= recorded

        self.asking.append(asyncio.ensure_future(asked()))

    async def end(self) -> None:
        await self.unlock()
        other = await self._rig.recorder.claim(header(agent="b"), "1.2.3.4:5")
        self._rig.recorder.release(other, Event(EventKind.ENDED, "x"))


FREQUENT = ["record", "turn", "ask", "pause"]
RARE = ["lock", "unlock", "slow", "late", "end"]


@many
@given(st.lists(st.sampled_from([*FREQUENT, *FREQUENT, *FREQUENT, *RARE]), max_size=60))
async def test_no_commit_overtakes_another_wherever_they_are_made(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.db")
        async with opened(path, tick_s=0.01) as rig:
            script = Script(path, rig)
            for step in steps:
                await getattr(script, step)()
            await script.unlock()
            await asyncio.gather(*script.waiting, *script.asking)
        assert script.settled == sorted(script.settled)
        assert ids(path) == list(range(1 + len(script.waiting)))


# A disk that does not answer


async def test_a_stalled_disk_holds_no_loop_and_is_told(path: Path) -> None:
    transport = MemoryTransport()
    answers = threading.Event()
    async with opened(path) as rig:
        await rig.commit(takes_s=0.021)
        telling = asyncio.create_task(show_health(transport, rig.recorder))
        stalled = rig.record(meanwhile=lambda: answers.wait(PATIENCE_S))
        await until(lambda: rig.by[-1] == THREAD)
        behind = rig.record()
        rig.clock.advance(1.9)
        assert rig.recorder.trouble == ""
        rig.clock.advance(13.1)
        assert "the disk does not answer, or another program has locked" in rig.recorder.trouble
        await until(lambda: transport.health is Health.NOT_SERVING)
        assert not any(each.done() for each in (stalled, behind))
        answers.set()
        await asyncio.gather(stalled, behind)
        await until(lambda: transport.health is Health.SERVING)
        assert rig.by[-1] == THREAD
        telling.cancel()
    assert ids(path) == list(range(4))


def test_the_pace_begins_as_quick_and_never_where_nothing_is() -> None:
    clock = ManualClock()
    assert Pace(clock).is_quick
    assert Pace(clock, math.inf).is_quick
    never = Pace(clock, 0.0)
    clock.advance(100)
    never.took(0.0)
    assert not never.is_quick
