"""A broker whose records are read, and what was streamed to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st
from support.chain import Chain
from support.clock import ManualClock
from support.postgres import Database, full_server
from support.store import (
    OpenLines,
    change,
    full_disk,
    header,
    killed_copy,
    lines_in,
    sample,
    select,
    send_on,
)

from broker.model import Sample
from broker.predictors import Predictor
from broker.recorder import Recorder
from broker.recorder.opening import open_reader
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.reader import Reader, RecordedSample, Span
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder

Make = Callable[[], Predictor]


class Even(Chain):
    """True for an even id, and says so every tenth time."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        self._id = sample.id
        return sample.id % 2 == 0

    def explain(self) -> str | None:
        return f"as {self._id} says" if self._id % 10 == 0 else None


_SNAPSHOTS = """
    SELECT position, state IS NOT NULL, {kept} FROM snapshots JOIN lines USING (line)
    WHERE agent_id = '{agent}' ORDER BY position
"""


class Place(Protocol):
    """Where records are, while a broker runs or not."""

    reader: Reader

    def recorder(
        self, clock: ManualClock | None = None, tick_s: float = 0.01, **keeping: int
    ) -> AbstractAsyncContextManager[Recorder]:
        """The recorder of a broker, while entered."""
        ...

    def full(self) -> AbstractAsyncContextManager[None]:
        """No sample can be recorded, while entered."""
        ...

    def lines(self, make: Make, *, digest: str = "d1", replay: int = 10_000, **more: Any) -> Any:
        """The lines of a broker with this predictor, while entered."""
        ...

    def running(self, **keeping: int) -> Any:
        """A site while entered: its broker writes here."""
        ...

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the tables."""
        ...

    async def close(self) -> None:
        """Nobody asks any more."""
        ...

    async def snapshots(self, agent: str = "a") -> list[tuple[Any, ...]]:
        """Of an agent: the position of each, whether it has a state, and how it is kept."""
        ...

    async def as_killed(self) -> "Place":
        """The records as kill -9 would leave them at this moment."""
        ...

    async def shorten(self, position: int) -> None:
        """Have the records end there, as a backup does; of a single line."""
        ...

    async def behead(self, position: int) -> None:
        """Have the samples up to a position deleted; of a single line."""
        ...


@dataclass
class Site:
    """A broker and its reader, with what was streamed."""

    lines: OpenLines
    place: Any
    clock: ManualClock
    sent: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Agent, session, id, and when it was taken."""

    @property
    def reader(self) -> Reader:
        """Of the place."""
        reader: Reader = self.place.reader
        return reader

    async def stream(self, agent: str, session: int, first_id: int, count: int, at_ns: int) -> None:
        """Samples of which one is taken each 10 ns."""
        opened = header(first_id, session, agent, at_ns=at_ns, period_ns=10)
        ids = range(first_id, first_id + count)
        with await self.lines.open(opened, "1.2.3.4:5") as stream:
            await send_on(stream, [sample(id_) for id_ in ids])
        self.sent += [(agent, session, id_, at_ns + 10 * (id_ - first_id)) for id_ in ids]

    async def found(self, agent: str, span: Span = Span()) -> list[RecordedSample]:  # noqa: B008
        return [each async for some in self.reader.samples(agent, span) for each in some]


@asynccontextmanager
async def _full(path: Path) -> AsyncIterator[None]:
    with full_disk(path):
        yield


class File:
    """A store that is a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "broker.db"
        self.reader = open_reader(self.path)

    @asynccontextmanager
    async def running(self, **keeping: int) -> AsyncIterator[Site]:
        clock = ManualClock()
        with lines_in(self.path, Even, clock=clock, keeping=Keeping(**keeping)) as lines:
            yield Site(lines, self, clock)

    @asynccontextmanager
    async def recorder(
        self, clock: ManualClock | None = None, tick_s: float = 0.01, **keeping: int
    ) -> AsyncIterator[Recorder]:
        kept = Keeping(**keeping)
        with SqliteRecorder(self.path, "d", kept, clock or time, tick_s=tick_s) as recorder:
            yield recorder

    def full(self) -> AbstractAsyncContextManager[None]:
        return _full(self.path)

    @asynccontextmanager
    async def lines(
        self, make: Make, *, digest: str = "d1", replay: int = 10_000, **more: Any
    ) -> AsyncIterator[OpenLines]:
        keeping = Keeping(replay=replay)
        with lines_in(self.path, make, digest=digest, keeping=keeping, **more) as lines:
            yield lines

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return select(self.path, query)

    async def close(self) -> None:
        pass

    async def snapshots(self, agent: str = "a") -> list[tuple[Any, ...]]:
        return await self.select(_SNAPSHOTS.format(kept="is_kept", agent=agent))

    async def as_killed(self) -> "File":
        folder = self.path.parent / "killed"
        folder.mkdir()
        killed_copy(self.path, folder / "broker.db")
        return File(folder)

    async def shorten(self, position: int) -> None:
        for table in ("samples", "explanations"):
            change(self.path, f"DELETE FROM {table} WHERE position > {position}")  # noqa: S608

    async def behead(self, position: int) -> None:
        change(self.path, f"DELETE FROM samples WHERE position <= {position}")  # noqa: S608


class Tables:
    """A store that is a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reader = PostgresReader(database.url)

    @asynccontextmanager
    async def running(self, **keeping: int) -> AsyncIterator[Site]:
        clock = ManualClock()
        recorder = PostgresRecorder(
            self.database.url, "d1", FleetKeeping(**keeping), clock, tick_s=0.01, house_s=0.01
        )
        async with recorder:
            yield Site(OpenLines(Even, recorder), self, clock)
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        self.reader.close()
        await asyncio.sleep(0)  # the loop closes their sockets

    def recorder(
        self, clock: ManualClock | None = None, tick_s: float = 0.01, **keeping: int
    ) -> AbstractAsyncContextManager[Recorder]:
        kept, short = FleetKeeping(**keeping), {"tick_s": tick_s, "house_s": tick_s}
        return PostgresRecorder(self.database.url, "d", kept, clock, **short)

    def full(self) -> AbstractAsyncContextManager[None]:
        return full_server(self.database)

    @asynccontextmanager
    async def lines(
        self,
        make: Make,
        *,
        digest: str = "d1",
        replay: int = 10_000,
        clock: ManualClock | None = None,
        **bounds: Any,
    ) -> AsyncIterator[OpenLines]:
        keeping = FleetKeeping(replay=replay)
        url = self.database.url
        async with PostgresRecorder(url, digest, keeping, clock, tick_s=0.01) as recorder:
            yield OpenLines(make, recorder, digest=digest, **bounds)

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return await self.database.select(query)

    async def snapshots(self, agent: str = "a") -> list[tuple[Any, ...]]:
        return await self.select(_SNAPSHOTS.format(kept="kept", agent=agent))

    async def as_killed(self) -> "Tables":
        # The server lives, and nothing is left with the broker: it is cut off at once.
        await self.database.lose()
        await self.database.find()
        return self

    async def shorten(self, position: int) -> None:
        for table in ("samples", "explanations"):
            await self.select(f"DELETE FROM {table} WHERE position > {position}")  # noqa: S608
        await self.select(f"UPDATE lines SET head = {position}")  # noqa: S608

    async def behead(self, position: int) -> None:
        await self.select(f"DELETE FROM samples WHERE position <= {position}")  # noqa: S608


runs = st.tuples(st.sampled_from("ab"), st.integers(1, 30), st.integers(0, 5), st.integers(1, 500))
spans = st.tuples(st.integers(0, 6000), st.integers(0, 6000)).map(sorted)
