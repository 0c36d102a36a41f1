"""Recorders of every kind, for the suite that all of them must pass."""

import math
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path
from typing import Any

import pytest
from support.postgres import Database, Server, full_server
from support.store import full_disk, header, select

from broker.metering import Meter, MeteredRecorder
from broker.model import Answer, Sample
from broker.recorder import Recorder
from broker.recorder.memory import Memory, MemoryRecorder
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch, Claim

REHEARSALS = 3


class InMemory:
    """Recorders that share one memory."""

    def __init__(self, _: Path) -> None:
        self._memory = Memory(rehearsals=REHEARSALS)

    def opened(self, _: str = "") -> AbstractAsyncContextManager[Recorder]:
        """One owner's recorder, of this predictor; another call is another owner's."""
        return nullcontext(MemoryRecorder(self._memory))


class Metered(InMemory):
    """The same, whose commits are counted and timed."""

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        async with super().opened(digest) as recorder:
            yield MeteredRecorder(recorder, Meter())


class OnDisk:
    """The recorder of a file, which has one owner. Made as one of those below."""

    QUICK_S: float

    def __init__(self, folder: Path) -> None:
        self.path = folder / "broker.db"

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        keeping = Keeping(rehearsals=REHEARSALS)
        with SqliteRecorder(
            *(self.path, digest, keeping), tick_s=0.01, quick_s=self.QUICK_S
        ) as recorder:
            yield recorder

    async def lose(self) -> None:
        """Have the records where no broker finds them."""
        self.path.rename(self.path.with_name("lost"))

    async def find(self) -> None:
        """Have them back."""
        self.path.with_name("lost").rename(self.path)

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """No sample can be recorded while entered."""
        with full_disk(self.path):
            yield

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return select(self.path, query)

    def bytes(self) -> list[bytes]:
        """What is on the disk: the file, and the log of its commits."""
        return [Path(f"{self.path}{log}").read_bytes() for log in ("", "-wal")]


class OnLoop(OnDisk):
    """The same, whose event loop commits whatever it can, however long that takes."""

    QUICK_S = math.inf


class OnThread(OnDisk):
    """The same, whose thread makes all commits."""

    QUICK_S = 0.0


class InDatabase:
    """The recorders of brokers that share a database."""

    def __init__(self, server: Server, _: Path) -> None:
        self._server = server
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        assert self._database
        return self._database

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        self._database = self._database or await self._server.emptied()
        keeping = FleetKeeping(rehearsals=REHEARSALS)
        short = {"tick_s": 0.01, "house_s": 0.01, "trouble_s": 0.0}
        async with PostgresRecorder(self.database.url, digest, keeping, **short) as recorder:
            yield recorder

    async def lose(self) -> None:
        """Have the records where no broker finds them."""
        await self.database.lose()

    async def find(self) -> None:
        """Have them back."""
        await self.database.find()

    def full(self) -> AbstractAsyncContextManager[None]:
        """No sample can be recorded while entered."""
        return full_server(self.database)

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return await self.database.select(query)


Store = InMemory | OnDisk | InDatabase
Backend = Callable[[Path], Any]

BACKENDS = [InMemory, Metered, OnLoop, OnThread, InDatabase]


def of(kinds: list[type[Store]]) -> pytest.MarkDecorator:
    """For each of these backends."""
    return pytest.mark.parametrize("backend", kinds, indirect=True)


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Recorder]:
    with tempfile.TemporaryDirectory() as folder:
        async with backend(Path(folder)).opened() as recorder:
            yield recorder


def batch(claim: Claim, *ids: int, **more: object) -> Batch:
    """Samples of these ids; an odd one is predicted True."""
    return Batch(
        claim,
        [Sample(id_, (0.0, 1.0, 2.0, 3.0)) for id_ in ids],
        [Answer(id_, id_ % 2 == 1) for id_ in ids],
        **more,
    )


def answers(*ids: int) -> list[Answer]:
    return [Answer(id_, id_ % 2 == 1) for id_ in ids]


async def last_id(recorder: Recorder, agent: str) -> int | None:
    claim = await recorder.claim(header(agent=agent), "")
    recorder.release(claim)
    return claim.last_id
