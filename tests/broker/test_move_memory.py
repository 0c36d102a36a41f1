"""A move holds a few states of predictors in memory, however many there are."""

import io
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.moves import moved
from support.postgres import Server

from broker.move import Progress, move
from broker.recorder.moving import MovedLine, MovedSample, MovedSession, MovedSnapshot, Row
from broker.recorder.postgres.move_target import open_target

COUNT = 60
STATE = 1 << 20
BOUND = 30 * STATE
SESSION = "0" * 32
AT_NS = 1_700_000_000_000_000_000


class Large:
    """A MoveSource: a line with many snapshots."""

    async def rows(self, kind: type[Row]) -> AsyncIterator[Row]:
        """All rows of a kind."""
        if kind is MovedLine:
            yield MovedLine(1, "a", "", False, COUNT, COUNT, SESSION, AT_NS)
        if kind is MovedSession:
            counts = COUNT, COUNT, 0, 0, 0
            yield MovedSession(1, 1, SESSION, 0, COUNT - 1, *counts, "d", AT_NS)
        for number in range(COUNT):
            if kind is MovedSample:
                yield MovedSample(1, 1, number, (0.0,) * 4, AT_NS, AT_NS, False)
            if kind is MovedSnapshot:
                yield MovedSnapshot(1, number + 1, "d", bytes(STATE), AT_NS, 1)


@contextmanager
def bounded() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < BOUND
    finally:
        tracemalloc.stop()


async def test_a_move_holds_few_states_at_once(postgres: Server, tmp_path: Path) -> None:
    database = await postgres.create()
    with bounded():
        async with open_target(database.url) as target:
            await move(Large(), target, Progress(io.StringIO()))
    with bounded():
        progress = await moved(database.url, tmp_path / "new.db")
    assert progress.counts[MovedSnapshot] == COUNT
    await database.drop()
