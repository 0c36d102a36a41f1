"""The durable recorder: an SQLite file, and the one thread that it belongs to."""

import itertools
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder import Basis, Batch, Found, History
from broker.recorder.clock import Clock
from broker.recorder.intake import Intake, Question
from broker.recorder.plain import PlainLines
from broker.recorder.retention import Limits, Retention
from broker.recorder.schema import MIGRATIONS, check_kind
from broker.recorder.tables import Tables
from broker.recorder.thread import RecorderThread
from quartet.database import Synchronous, connect, store_error
from quartet.errors import DamagedError, StoreError
from quartet.lock import FileLock
from wire.metadata import StreamHeader

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How, and how much, a store keeps."""

    synchronous: Synchronous = "normal"
    """normal: a commit survives the broker's death; full: also that of the machine."""
    replay: int = 10_000
    """The latest samples of a line, from which a black box without a snapshot is rebuilt."""
    limits: Limits = field(default_factory=Limits)


class Store:
    """A Recorder and its History in a file. Entered by its owner; the coroutines are the loop's.

    Each commit takes all that gathered during the one before: nothing is delayed when there
    is little to do, and little is spent when there is much. Streams wait for their commit
    before they read on, so that at most an inbox (1024 samples) of each gathers.
    """

    history: History | None

    def __init__(self, path: Path, digest: str, keeping: Keeping, clock: Clock = time) -> None:
        self._path = path
        self._digest = digest
        self._keeping = keeping
        self._clock = clock
        self._intake = Intake()
        self.history = self

    def __enter__(self) -> Self:
        """Take the file, and begin. StoreError where it cannot be used."""
        with ExitStack() as undo:
            self._lock = _lock(self._path)
            undo.callback(self._lock.close)
            self._connection = _open(self._path, self._keeping.synchronous)
            undo.callback(self._connection.close)
            try:
                self._begin(self._connection)
            except sqlite3.Error as error:
                raise store_error(self._path, error) from error
            undo.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit what gathered, and let the file go."""
        self._intake.close()
        if self._thread.join():
            self._connection.close()
        self._lock.close()

    def _begin(self, connection: sqlite3.Connection) -> None:
        keeping = self._keeping
        tables = Tables(connection, self._digest, keeping.replay)
        line, session = tables.greatest()
        self._lines, self._sessions = itertools.count(line + 1), itertools.count(session + 1)
        retention = Retention(connection, keeping.limits, self._clock, tables.replayed_from)
        self._thread = RecorderThread(
            self._path, self._intake, tables, retention, PlainLines(connection)
        )

    async def find(self, header: StreamHeader | None) -> Found:
        """The numbers of a stream's line and session. Raises RecordError."""
        if header is None:
            return Found(next(self._lines), next(self._sessions), None)
        known = await self._ask(lambda tables: tables.find(header))
        return Found(
            next(self._lines) if known.line is None else known.line,
            next(self._sessions) if known.session is None else known.session,
            known.last_id,
        )

    async def record(self, batch: Batch) -> None:
        """Return when the batch is committed. RecordError: its lease failed."""
        batch.arrived_at_ns = self._clock.time_ns()
        await self._intake.record(batch).wait()
        if failure := batch.origin.lease.failure:
            raise RecordError(failure)

    async def answers(self, session: int, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers to `count` ids from `first_id` on. Raises RecordError."""
        return await self._ask(lambda tables: tables.answers(session, first_id, count))

    async def basis(self, line: int, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from. Raises RecordError."""
        return await self._ask(lambda tables: tables.basis(line, with_snapshot=with_snapshot))

    async def samples(self, line: int, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples behind a position, with theirs. Raises RecordError."""
        return await self._ask(lambda tables: tables.samples(line, after))

    def rebase(self, agent_id: str) -> int:
        """The newest command to begin anew that is not applied yet, or 0."""
        return self._thread.rebases.get(agent_id, 0)

    def end(self, line: int) -> None:
        """A plain peer's stream has ended: its line may go when there are too many."""
        self._intake.end(line)

    async def _ask(self, ask: Callable[[Tables], Result]) -> Result:
        question = Question(ask)
        self._intake.ask(question)
        return await question.answer


def _lock(path: Path) -> FileLock:
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no directory {path.parent}: make it, or name another")
    try:
        file = path.resolve()  # two names of one file are one store
        return FileLock(file.with_name(f"{file.name}.lock"))
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written beside: {error.strerror}: give the broker's user"
            f" {path.parent}, or name another place"
        ) from error


def _open(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    try:
        check_kind(path)
        return connect(path, MIGRATIONS, synchronous)
    except DamagedError as error:
        raise StoreError(f"{error}: move it aside, and the broker begins a new one") from error
