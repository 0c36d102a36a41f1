"""A book beside a store that a test fills, and what its pictures must be."""

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from support.clock import ManualClock
from support.past import S_NS, Past, Taken

from broker.console.book import Book
from broker.console.book.database import Database
from broker.console.book.model import AlarmQuery, RecordedAlarm, Series
from broker.recorder.reader import Reader
from quartet.channels import CHANNELS

# By the clock of these tests it is now, and a bucket of each level begins.
NOW_NS = 1_750_003_200 * S_NS
HOUR_NS = 3600 * S_NS


class Stored(Protocol):
    """A store of any kind that a test fills: see support.past."""

    @property
    def reader(self) -> Reader: ...

    def add(self, agent: str | None, samples: Iterable[Taken]) -> None: ...

    def prune(self, agent: str, before_ns: int) -> None: ...

    def lose_newest(self, count: int) -> None: ...

    def forget(self, agent: str) -> None: ...


@contextmanager
def stored(folder: Path) -> Iterator[Past]:
    past = Past(folder / "broker.db")
    yield past
    past.close()


@asynccontextmanager
async def opened(
    folder: Path, clock: ManualClock | None = None, chunk: int = 20_000
) -> AsyncIterator[Book]:
    clock = clock or ManualClock(wall_s=NOW_NS / 1e9)
    book = Book(await Database.open(folder / "console.db", clock), clock, chunk)
    try:
        yield book
    finally:
        await book.close()


async def fed(book: Book, past: Stored) -> Book:
    while await book.feed(past.reader):
        pass
    return book


async def alarms(book: Book) -> Sequence[RecordedAlarm]:
    return await book.alarms(AlarmQuery(most=1000))


def each_s(count: int, since_ns: int, *, step_ns: int = S_NS, **more: object) -> list[Taken]:
    return [Taken(since_ns + n * step_ns, **more) for n in range(count)]  # type: ignore[arg-type]


def is_picture(series: Series, taken: Sequence[Taken]) -> None:
    """Check that it is of these samples: none is left out, no peak is lost."""
    assert sum(series.n) == len(taken)
    assert sum(series.trues) == sum(each.prediction for each in taken)
    for channel in range(CHANNELS):
        column = [each.values[channel] for each in taken if not math.isnan(each.values[channel])]
        least = [each for each in series.least[channel] if each is not None]
        most = [each for each in series.most[channel] if each is not None]
        assert sum(series.failed[channel]) == len(taken) - len(column)
        assert (min(least, default=0), max(most, default=0)) == (
            *(min(column, default=0), max(column, default=0)),
        )
    assert series.begin_ns == sorted(series.begin_ns)
