"""A store as the broker runs it, in process, and what a test asks of it."""

import contextlib
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from broker.line import Bounds
from broker.lines import Lines
from broker.model import Answer, Ending, Refusal, Sample
from broker.predictors import BlackBox, Predictor
from broker.recorder import Recorder
from broker.recorder.memory import MemoryRecorder
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.stream import Stream
from broker.workers import Workers
from quartet.clock import Clock
from wire.metadata import StreamHeader

# A slice that no machine is too slow for.
LONG_S = 600.0


class OpenLines(Lines):
    """Lines whose streams a test opens by itself; what each is told to end with is kept."""

    def __init__(
        self,
        make: Callable[[], Predictor],
        recorder: Recorder | None = None,
        workers: Workers | None = None,
        *,
        digest: str = "d1",
        slice_s: float = LONG_S,
        **bounds: int,
    ) -> None:
        self.recorder = recorder or MemoryRecorder()
        super().__init__(
            BlackBox(make, digest),
            self.recorder,
            workers,
            bounds=Bounds(slice_s=slice_s, **bounds),
        )
        self.endings: dict[Stream, list[Ending]] = {}

    async def open(  # type: ignore[override] # a test says no more than it is about
        self, header: StreamHeader | None, peer: str = "1.2.3.4:5"
    ) -> Stream:
        endings: list[Ending] = []
        stream = await super().open(header, peer, endings.append)
        self.endings[stream] = endings
        return stream

    def superseded_by(self, stream: Stream) -> str | None:
        """The session whose stream took the line over."""
        for ending in self.endings[stream]:
            return dict(ending.trailing).get("superseded-by")
        return None


@contextlib.contextmanager
def lines_in(
    path: Path,
    make: Callable[[], Predictor],
    *,
    keeping: Keeping | None = None,
    digest: str = "d1",
    clock: Clock | None = None,
    workers: Workers | None = None,
    tick_s: float = 0.01,
    **bounds: float,
) -> Iterator[OpenLines]:
    """What a broker with a store has between its start and its stop."""
    recorder = SqliteRecorder(path, digest, keeping or Keeping(), clock or time, tick_s=tick_s)
    with recorder:
        yield OpenLines(make, recorder, workers, digest=digest, **bounds)


def header(
    first_id: int = 0, session: int = 0, agent: str = "a", *, at_ns: int = 0, period_ns: int = 0
) -> StreamHeader:
    return StreamHeader(agent, f"{session:032x}", first_id, at_ns, period_ns)


def sample(id_: int) -> Sample:
    return Sample(id_, (id_ / 2, -1.0, 0.25, 2.0**100))  # each a float32


async def send(
    lines: OpenLines, ids: Sequence[int], session: int = 0, agent: str = "a"
) -> tuple[list[Answer], Refusal | None]:
    """Open a stream, send the ids, and close it."""
    with await lines.open(header(ids[0], session, agent)) as stream:
        return await send_on(stream, [sample(id_) for id_ in ids])


async def send_on(stream: Stream, samples: Sequence[Sample]) -> tuple[list[Answer], Refusal | None]:
    """Send samples on an open stream, as many times as that takes."""
    answers: list[Answer] = []
    refusal: Refusal | None = None
    while refusal is None and len(answers) < len(samples):
        more, refusal = await stream.answer(samples[len(answers) :])
        answers += more
    return answers, refusal


def expected(box: Predictor, ids: Sequence[int]) -> list[Answer]:
    """What a black box that is never interrupted answers."""
    return [Answer(id_, box.predict(sample(id_))) for id_ in ids]


def killed_copy(path: Path, to: Path) -> Path:
    """The store as kill -9 would leave it at this moment, between two commits."""
    for companion in ("", "-wal"):
        shutil.copy(f"{path}{companion}", f"{to}{companion}")
    return to


def select(path: Path, query: str, *parameters: object) -> list[tuple[object, ...]]:
    """Ask a store, beside its owner."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query, parameters).fetchall()


def samples(path: Path) -> list[tuple[object, ...]]:
    return select(path, "SELECT * FROM samples ORDER BY position")


def change(path: Path, query: str, *parameters: object) -> int:
    """Change a store beside its owner; how many rows."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query, parameters).rowcount


@contextlib.contextmanager
def full_disk(path: Path, pid: int = 0, *, size: int | None = None) -> Iterator[None]:
    """No file of the process grows beyond this, or what the store's log has now: writes fail."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = Path(f"{path}-wal").stat().st_size if size is None else size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
