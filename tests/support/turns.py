"""A store whose commits tell who makes them, and how long they take."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import header, select

from broker.model import Answer, Sample
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch, Claim
from quartet.database import Synchronous

LOOP, THREAD = threading.main_thread().name, "recorder"


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


def save(path: Path) -> None:
    """Have all commits in the file, so that the next one begins the log again."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        busy, frames, saved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (busy, frames) == (0, saved)


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
