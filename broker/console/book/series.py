"""An agent's samples of a span as a picture: of the level that fits, never behind, no peak lost."""

import asyncio
import sqlite3
from dataclasses import dataclass
from math import isfinite

from broker.console.book import tables
from broker.console.book.feed import Feed
from broker.console.book.model import Series
from broker.console.book.rollups import FINEST, LEVELS, Buckets, Level, Stats, coarser, fold, merge
from broker.recorder.reader import Reader, Span, Strip
from quartet.channels import CHANNELS
from quartet.errors import StoreError

# Samples that are read for one picture: 0.15 s on a laptop.
MOST_RAW = 100_000

# A browser draws no more pixels, and is sent no more buckets.
MOST_PIXELS = 4000

# Buckets of a picture: more cost a browser and this process more than anybody sees.
MOST_BUCKETS = 2000

_MS = 10**6
_WIDTHS_MS = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the console has of a span."""

    level: Level
    width_ns: int
    """Of its buckets."""
    buckets: Buckets
    cursor: str
    """Behind the samples that are in them."""

    def known(self, span: Span) -> tuple[Span, int]:
        """The part of a span in which buckets lie wholly, and how many samples they have."""
        width_ns = self.width_ns
        first, end = -(-span.since_ns // width_ns), span.until_ns // width_ns
        count = sum(stats.n for number, stats in self.buckets.items() if first <= number < end)
        return Span(first * width_ns, end * width_ns), count


async def series(feed: Feed, reader: Reader, agent_id: str, span: Span, most: int) -> Series:
    """At most `most` buckets, and one that both ends share; or the samples, if they are few.

    StoreError; ValueError for a span or a number that is none.
    """
    if not 1 <= most <= MOST_PIXELS:
        raise ValueError(f"most: 1 to {MOST_PIXELS}, not {most}")
    if span.since_ns >= span.until_ns:
        raise ValueError("the span ends before it begins")
    found = await feed.database.read(lambda rows: _look(rows, feed, agent_id, span, most))
    if span.until_ns - span.since_ns < most * FINEST.width_ns:
        strip = await _raw(reader, agent_id, span, found)
        if strip:
            return await asyncio.to_thread(_of_strip, strip, span, most)
    await _add_newest(reader, agent_id, span, found)
    return await asyncio.to_thread(_of_buckets, agent_id, found, min(most, MOST_BUCKETS))


def _look(rows: sqlite3.Connection, feed: Feed, agent_id: str, span: Span, most: int) -> _Found:
    level = _level(rows, agent_id, span, most)
    first, last = span.since_ns // level.width_ns, (span.until_ns - 1) // level.width_ns
    pending: Buckets = {}
    if feed.is_pending(rows):
        of_agent = feed.pending.buckets.get(agent_id, {}).items()
        pending = coarser(of_agent, level.width_s // FINEST.width_s, FINEST.width_ns)
    some = {number: stats for number, stats in pending.items() if first <= number <= last}
    edges = [*some, *(tables.extent(rows, agent_id, level, first, last) or ())]
    slots = max(edges) - min(edges) + 1 if edges else 1
    ratio = -(-slots // min(most, MOST_BUCKETS))
    # Folded as they come: those of years are very many.
    buckets = coarser(tables.buckets(rows, agent_id, level, first, last), ratio, level.width_ns)
    merge(buckets, coarser(some.items(), ratio, level.width_ns).items())
    return _Found(level, ratio * level.width_ns, buckets, feed.cursor(rows))


def _level(rows: sqlite3.Connection, agent_id: str, span: Span, most: int) -> Level:
    """The coarsest that has enough buckets; a coarser one where it does not reach back so far."""
    enough = [
        number
        for number, level in enumerate(LEVELS)
        if (span.until_ns - span.since_ns) // level.width_ns >= most
    ]
    chosen = max(enough, default=0)
    begins_ns = [_beginning_ns(rows, agent_id, level) for level in LEVELS]
    while (
        chosen + 1 < len(LEVELS)
        and begins_ns[chosen] > span.since_ns
        and begins_ns[chosen + 1] + LEVELS[chosen + 1].width_ns <= begins_ns[chosen]
    ):
        chosen += 1
    return LEVELS[chosen]


def _beginning_ns(rows: sqlite3.Connection, agent_id: str, level: Level) -> int:
    number = tables.beginning(rows, agent_id, level)
    return 2**63 if number is None else number * level.width_ns


async def _raw(reader: Reader, agent_id: str, span: Span, found: _Found) -> Strip | None:
    """The samples themselves; None where they are too many, or no more all there."""
    if sum(stats.n for stats in found.buckets.values()) > MOST_RAW:
        return None
    try:
        strip = await reader.strip(agent_id, span, MOST_RAW)
    except StoreError:
        if found.buckets:  # the history is there while the store is not
            return None
        raise
    if strip is None:
        return None
    within, count = found.known(span)
    if sum(at_ns in within for at_ns in strip.sampled_at_ns) < count:
        return None
    return strip if strip.values or not found.buckets else None


async def _add_newest(reader: Reader, agent_id: str, span: Span, found: _Found) -> None:
    """Add what the feed has not read yet."""
    width_ns = found.level.width_ns
    whole = Span(span.since_ns // width_ns * width_ns, -(-span.until_ns // width_ns) * width_ns)
    try:
        strip = await reader.strip(agent_id, whole, MOST_RAW, found.cursor)
    except StoreError:
        if found.buckets:
            return
        raise
    if strip:  # else they are very many, and behind() says so
        await asyncio.to_thread(fold, strip, found.buckets, found.width_ns)


def _of_buckets(agent_id: str, found: _Found, most: int) -> Series:
    buckets, width_ns = found.buckets, found.width_ns
    slots = max(buckets) - min(buckets) + 1 if buckets else 0
    if slots > most + 1:  # by what is not read yet
        ratio = -(-slots // most)
        buckets = coarser(buckets.items(), ratio, width_ns)
        width_ns *= ratio
    return _of(agent_id, found.level.name, width_ns, buckets)


def _of(agent_id: str, level: str, width_ns: int, buckets: Buckets) -> Series:
    series = Series(agent_id, level, width_ns)
    for number in sorted(buckets):
        _append(series, number * width_ns, buckets[number])
    return series


def _append(series: Series, begin_ns: int, stats: Stats) -> None:
    series.begin_ns.append(begin_ns)
    series.n.append(stats.n)
    series.trues.append(stats.trues)
    for channel in range(CHANNELS):
        measured = stats.measured(channel)
        mean = stats.total[channel] / measured if measured else 0.0
        series.failed[channel].append(stats.failed[channel])
        series.least[channel].append(stats.least[channel] if measured else None)
        series.most[channel].append(stats.most[channel] if measured else None)
        series.mean[channel].append(mean if measured and isfinite(mean) else None)


def _of_strip(strip: Strip, span: Span, most: int) -> Series:
    if len(strip.values) > 2 * most:
        width_ns = _width_ns(span, most)
        buckets: Buckets = {}
        fold(strip, buckets, width_ns)
        return _of(strip.agent_id, f"{width_ns / 1e9:g} s", width_ns, buckets)
    order = sorted(range(len(strip.values)), key=strip.sampled_at_ns.__getitem__)
    values = [strip.values[number] for number in order]
    channels = [[value[channel] for value in values] for channel in range(CHANNELS)]
    least = [[_number(value) for value in channel] for channel in channels]
    return Series(
        strip.agent_id,
        "raw",
        0,
        [strip.sampled_at_ns[number] for number in order],
        [1] * len(order),
        [int(strip.predictions[number]) for number in order],
        [[int(value is None) for value in channel] for channel in least],
        least,
        [[*channel] for channel in least],
        [[*channel] for channel in least],
    )


def _number(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - NaN


def _width_ns(span: Span, most: int) -> int:
    """A round width, of which a span has at most `most`."""
    least_ns = -(-(span.until_ns - span.since_ns) // most)
    return next((width * _MS for width in _WIDTHS_MS if width * _MS >= least_ns), FINEST.width_ns)


def beginning(rows: sqlite3.Connection, feed: Feed, agent_id: str) -> int | None:
    """When the first sample of an agent was taken that is in its history, in Unix ns."""
    pending = feed.pending.buckets.get(agent_id, {})
    found = [number * FINEST.width_ns + pending[number].first_ms * _MS for number in pending]
    for level in LEVELS:
        if (number := tables.beginning(rows, agent_id, level)) is not None:
            stats = dict(tables.buckets(rows, agent_id, level, number, number))[number]
            found.append(number * level.width_ns + stats.first_ms * _MS)
    return min(found, default=None)
