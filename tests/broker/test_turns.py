"""Who commits: the event loop where that is quick, else the recorder's thread; never both."""

import asyncio
import contextlib
import math
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import header, select

from broker.app import show_health
from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.opened import Opened
from broker.recorder.sqlite.pace import Pace
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch, Claim, Event, EventKind
from broker.transport import Health
from broker.transport.memory import MemoryTransport
from quartet.database import BUSY_S, Synchronous, transaction
from quartet.errors import DamagedError, StoreError

LOOP, THREAD = threading.main_thread().name, "recorder"

many = settings(derandomize=True, deadline=None, max_examples=40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


class Written(list[Sample]):
    """Samples that notice when they are committed, and by whom."""

    def __init__(self, ids: range, by: list[str], meanwhile: Callable[[], object]) -> None:
        super().__init__(Sample(id_, (1.0, 2.0, 3.0, 4.0)) for id_ in ids)
        self._by = by
        self._meanwhile = meanwhile

    def __iter__(self) -> Iterator[Sample]:
        self._by.append(threading.current_thread().name)
        self._meanwhile()
        return super().__iter__()


class Rig:
    """A store, and one agent's line in it."""

    def __init__(self, recorder: SqliteRecorder, claim: Claim, clock: ManualClock) -> None:
        self.recorder = recorder
        self.claim = claim
        self.clock = clock
        self.by: list[str] = []
        """Who has committed."""
        self._next_id = 0
        self._takes_s = 0.0
        connection = recorder._condition.store.tables._connection  # noqa: SLF001
        connection.set_trace_callback(self._trace)

    def slow_down(self, takes_s: float) -> None:
        """Have the next commit take so long at a file that is quick."""
        self._takes_s = takes_s

    def _trace(self, statement: str) -> None:
        if statement == "COMMIT":
            self.clock.advance(self._takes_s)
            self._takes_s = 0.0

    def record(self, count: int = 1, meanwhile: Callable[[], object] = int) -> asyncio.Future[None]:
        """Record samples; `meanwhile` is called while they are committed."""
        ids = range(self._next_id, self._next_id + count)
        self._next_id += count
        samples = Written(ids, self.by, meanwhile)
        batch = Batch(self.claim, samples, [Answer(id_, False) for id_ in ids])
        return asyncio.ensure_future(_awaited(self.recorder, batch))

    async def commit(self, count: int = 1, *, takes_s: float = 0.0, before_s: float = 0.0) -> str:
        """Who commits a sample while the thread rests.

        The file takes so long for it, and so long is what comes before.
        """
        await self.rest()
        before = len(self.by)
        self.slow_down(takes_s)
        await self.record(count, lambda: self.clock.advance(before_s))
        assert len(self.by) == before + 1
        return self.by[-1]

    async def rest(self) -> None:
        """Wait until the thread waits for a call."""
        await until(lambda: is_at_rest(self.recorder))


def is_at_rest(recorder: SqliteRecorder) -> bool:
    """Whether the recorder's thread waits for a call."""
    changed = recorder._intake._changed  # noqa: SLF001 - who is asked must rest
    return bool(changed._waiters)  # type: ignore[attr-defined] # noqa: SLF001


async def _awaited(recorder: SqliteRecorder, batch: Batch) -> None:
    await recorder.record(batch)


@contextlib.asynccontextmanager
async def opened(
    path: Path, synchronous: Synchronous = "normal", tick_s: float = 3600.0
) -> "contextlib.AsyncIterator[Rig]":
    """A rig on a store whose log has begun."""
    clock = ManualClock()
    with SqliteRecorder(path, "d", Keeping(synchronous), clock, tick_s=tick_s) as recorder:
        claim = await recorder.claim(header(), "1.2.3.4:5")
        await until(lambda: is_at_rest(recorder))
        rig = Rig(recorder, claim, clock)
        assert await rig.commit() == THREAD  # which flushes the log that begins
        yield rig


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes to the store."""
    with contextlib.closing(sqlite3.connect(path, 0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def save(path: Path) -> None:
    """Have all commits in the file, so that the next one begins the log again."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        busy, frames, saved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (busy, frames) == (0, saved)


async def fill(rig: Rig) -> None:
    """Record until the log is long, and no more: the thread comes when it can."""
    while not rig.recorder._condition.store.checkpoints.is_due():  # noqa: SLF001
        await rig.record()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - a thread gives no event
            await asyncio.sleep(0.001)


async def turns() -> None:
    """Have the loop come to what it does of itself."""
    for _ in range(3):
        await asyncio.sleep(0)


def ids(path: Path) -> list[object]:
    return [id_ for (id_,) in select(path, "SELECT id FROM samples ORDER BY position")]


async def commit_on(rig: Rig) -> None:
    while True:
        await rig.commit()


def remove(file: str) -> None:
    Path(file).unlink()


def move(path: Path, to: Path) -> Path:
    return path.rename(to)


def size(path: Path) -> int:
    """Of the log of commits."""
    return Path(f"{path}-wal").stat().st_size


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


# Flushes


async def test_the_log_is_saved_and_begun_again_on_the_thread(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        save(path)
        assert [await rig.commit(), await rig.commit()] == [THREAD, LOOP]


async def test_commits_on_the_loop_leave_a_short_log(path: Path) -> None:
    async with opened(path) as rig:
        for _ in range(1500):
            rig.clock.advance(0.01)
            await rig.commit()
        assert rig.by.count(LOOP) > 1400
        assert size(path) < 2000 * 4120  # twice what SQLite itself lets it grow to
    assert ids(path) == list(range(1501))


async def test_the_log_is_saved_also_where_old_samples_cannot_be_deleted(path: Path) -> None:
    def fail(_: int) -> bool:
        raise OSError("no space")

    async with opened(path) as rig:
        rig.recorder._condition.store.retention.step = fail  # type: ignore[method-assign] # noqa: SLF001
        for _ in range(1500):
            rig.clock.advance(0.01)
            await rig.commit()
        assert size(path) < 2000 * 4120


async def test_checkpoints_lie_apart_unless_the_log_is_long(path: Path) -> None:
    async with opened(path) as rig:
        for _ in range(500):
            await rig.commit()
        begun = size(path)
        assert 1000 * 4120 < begun < 2000 * 4120
        for _ in range(500):  # the clock stands still
            await rig.commit()
        assert size(path) > 1.5 * begun
        for _ in range(1500):
            await rig.commit()
        assert size(path) < 6000 * 4120


class Flush:
    """A flush of the log that takes until it is told to end."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._ends = threading.Event()
        self._has_begun = threading.Event()
        rig.recorder._condition.store.checkpoints.flush = self._flush  # type: ignore[method-assign] # noqa: SLF001

    def _flush(self) -> None:
        self._has_begun.set()
        self._ends.wait(PATIENCE_S)

    async def begin(self) -> None:
        """Fill the log until it is flushed."""
        await fill(self._rig)
        await until(self._has_begun.is_set)

    def end(self) -> None:
        self._ends.set()


async def test_the_log_is_flushed_before_the_turn_and_commits_go_on(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        before = len(rig.by)
        await rig.record()
        assert rig.by[before:] == [LOOP]
        assert rig.recorder.trouble == ""
        flush.end()


async def test_a_flush_that_stalls_is_told_and_nothing_is_written_beside_it(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        rig.clock.advance(2.1)
        assert "no sample is recorded or answered" in rig.recorder.trouble
        before = len(rig.by)
        waiting = rig.record()
        await turns()
        assert rig.by[before:] == []
        flush.end()
        await waiting
        assert rig.by[before:] == [THREAD]
        assert await rig.commit() == LOOP
        assert rig.recorder.trouble == ""


async def test_what_came_before_a_flush_does_not_wait_for_its_end(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        store = rig.recorder._condition.store  # noqa: SLF001
        step, is_held, released = store.retention.step, threading.Event(), threading.Event()

        def hold(rows: int) -> bool:
            if store.checkpoints.is_due():
                is_held.set()
                released.wait(PATIENCE_S)
            return step(rows)

        store.retention.step = hold  # type: ignore[method-assign]
        await fill(rig)
        await until(is_held.is_set)
        last = rig.record()
        await turns()
        released.set()
        await last
        assert rig.by[-1] == LOOP
        flush.end()


async def test_a_flush_that_takes_long_lets_the_log_grow_to_a_bound(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        by_loop = len(rig.by) - 1
        while len(rig.by) > by_loop:
            by_loop = len(rig.by)
            waiting = rig.record()
            await turns()
            assert size(path) < 6100 * 4120
        assert size(path) > 5900 * 4120
        flush.end()
        await waiting
        assert await rig.commit() == LOOP


async def test_a_store_that_comes_back_after_a_flush_is_used_again(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        away = move(path, path.with_name("away.db"))
        with pytest.raises(RecordError, match="was moved away"):
            await rig.record()
        flush.end()
        await rig.rest()
        move(away, path)
        rig.claim = await rig.recorder.claim(header(), "1.2.3.4:5")
        await rig.record()


@pytest.mark.parametrize("part", ["flush", "step"])
async def test_a_log_that_cannot_be_saved_grows_and_is_told_once(
    path: Path, part: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("the medium has an error")

    def told(text: str) -> int:
        return sum(text in each.getMessage() for each in caplog.records if each.levelno > 10)

    caplog.set_level("INFO")
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001
        with monkeypatch.context() as broken:
            broken.setattr(checkpoints, part, fail)
            while checkpoints.unsaved() < 1100:
                assert await rig.commit() == LOOP
            await rig.rest()
            assert told("grows, and cannot be brought into the file: the medium has an error") == 1
        assert await rig.commit() == LOOP
        await rig.rest()
        assert checkpoints.unsaved() == 0
        assert told("is brought into the file again") == 1


async def test_damage_that_a_checkpoint_meets_is_told_with_the_turn(path: Path) -> None:
    def fail() -> None:
        raise DamagedError("the log is torn")

    had_turn: list[bool] = []
    async with opened(path) as rig:
        condition = rig.recorder._condition  # noqa: SLF001
        met = condition.met

        def meet(error: Exception) -> bool:
            had_turn.append(rig.recorder._turns._turn.locked())  # noqa: SLF001
            return met(error)

        condition.met = meet  # type: ignore[method-assign]
        condition.store.checkpoints.step = fail  # type: ignore[method-assign]
        with pytest.raises(RecordError, match="the log is torn"):
            await commit_on(rig)
        assert had_turn == [True]


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
