"""A store as the broker runs it, in process, and what a test asks of it."""

import contextlib
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from broker.errors import RefusalError
from broker.lines import Lines
from broker.model import Answer, Sample
from broker.predictors import BlackBox, Predictor
from broker.recorder.clock import Clock
from broker.recorder.store import Keeping, Store
from broker.workers import Threads
from wire.metadata import StreamHeader


class ManualClock:
    """Time that a test moves. Wall time begins at `wall_s`."""

    def __init__(self, wall_s: float = 1.8e9) -> None:
        self.now_s = 1000.0
        self.ahead_s = wall_s - self.now_s

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return int((self.now_s + self.ahead_s) * 1e9)


@contextlib.contextmanager
def lines_in(
    path: Path,
    make: Callable[[], Predictor],
    *,
    keeping: Keeping | None = None,
    digest: str = "d1",
    clock: Clock | None = None,
    threads: Threads | None = None,
) -> Iterator[Lines]:
    """What a broker with a store has between its start and its stop."""
    store = Store(path, digest, keeping or Keeping(), *([clock] if clock else []))
    with store:
        yield Lines(BlackBox(make, digest), store, threads)


def header(
    first_id: int = 0, session: int = 0, agent: str = "a", *, at_ns: int = 0, period_ns: int = 0
) -> StreamHeader:
    return StreamHeader(agent, f"{session:032x}", first_id, at_ns, period_ns)


def sample(id_: int) -> Sample:
    return Sample(id_, (id_ / 2, -1.0, 0.25, 2.0**100))  # each a float32


async def send(
    lines: Lines, ids: Sequence[int], session: int = 0, agent: str = "a"
) -> tuple[list[Answer], RefusalError | None]:
    """Open a stream, send the ids at once, and close it."""
    with await lines.open(header(ids[0], session, agent)) as stream:
        answers: list[Answer] = []
        refusal: RefusalError | None = None
        while refusal is None and len(answers) < len(ids):
            more, refusal = await stream.answer([sample(id_) for id_ in ids[len(answers) :]])
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


@contextlib.contextmanager
def full_disk(path: Path, pid: int = 0) -> Iterator[None]:
    """No file of the process grows beyond what the store's log has now: writes fail."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = Path(f"{path}-wal").stat().st_size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
