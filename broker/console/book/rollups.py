"""Samples folded into buckets of time, which can be merged in any order. Pure."""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from broker.recorder.reader import Strip
from quartet.channels import CHANNELS, Values

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Level:
    """Buckets of one width, kept for some time. The finer, the shorter."""

    name: str
    width_s: int
    kept_s: int

    @property
    def width_ns(self) -> int:
        """Of a bucket."""
        return self.width_s * 10**9


LEVELS = (
    Level("10 s", 10, 7 * _DAY_S),
    Level("1 min", 60, 90 * _DAY_S),
    Level("10 min", 600, 5 * 366 * _DAY_S),
    Level("2 h", 7200, 5 * 366 * _DAY_S),  # for a picture of years
)
"""From fine to coarse; each width is a multiple of the one before."""

FINEST = LEVELS[0]

# Flags of a packed bucket: channels with a value (bits 0 to 3), and these.
_SOME_FAILED = 1 << 4
_WIDE = 1 << 5

# Flags, samples, Trues, first and last sample in ms of the bucket. Wide where a number does not
# fit: many samples, or a bucket of more than 65 s.
_NARROW_HEAD = struct.Struct("<BHHHH")
_WIDE_HEAD = struct.Struct("<BIIII")
_NARROW_FAILED = struct.Struct("<HHHH")
_WIDE_FAILED = struct.Struct("<IIII")
_NARROWEST = 1 << 16

# Least, most, mean. Values are float32, so that the first two are exact.
_CHANNEL = struct.Struct("<fff")

_MS = 10**6


class Stats:
    """What a bucket says of its samples. Merged in any order, it says the same.

    But for the last digits of a sum: packed, the mean has seven of them.
    """

    __slots__ = ("failed", "first_ms", "last_ms", "least", "most", "n", "total", "trues")

    def __init__(self) -> None:
        self.n = 0
        self.trues = 0
        self.first_ms = (1 << 32) - 1
        """When its first sample was taken, in ms of the bucket."""
        self.last_ms = 0
        self.failed = [0] * CHANNELS
        """By channel, how many values are NaN: these are in none of the following."""
        self.least = [math.inf] * CHANNELS
        self.most = [-math.inf] * CHANNELS
        self.total = [0.0] * CHANNELS

    def add(self, predictions: Sequence[int], values: Sequence[Values]) -> None:
        """Take in samples."""
        self.n += len(values)
        self.trues += sum(predictions)
        for channel, found in enumerate(zip(*values, strict=True)):
            column: Sequence[float] = found
            total = sum(column)
            if total != total:  # noqa: PLR0124 - a NaN in it, or infinities of both signs
                column = [value for value in found if value == value]  # noqa: PLR0124
                self.failed[channel] += len(values) - len(column)
                if not column:
                    continue
                total = sum(column)
            self.total[channel] += total
            self.least[channel] = min(self.least[channel], *column)
            self.most[channel] = max(self.most[channel], *column)

    def seen(self, first_ms: int, last_ms: int) -> None:
        """Note when its samples were taken."""
        self.first_ms = min(self.first_ms, first_ms)
        self.last_ms = max(self.last_ms, last_ms)

    def merge(self, other: "Stats") -> None:
        """Take in another one's samples. When these were taken, seen() must be told."""
        self.n += other.n
        self.trues += other.trues
        for channel in range(CHANNELS):
            self.failed[channel] += other.failed[channel]
            self.total[channel] += other.total[channel]
            self.least[channel] = min(self.least[channel], other.least[channel])
            self.most[channel] = max(self.most[channel], other.most[channel])

    def measured(self, channel: int) -> int:
        """How many values of a channel are numbers."""
        return self.n - self.failed[channel]

    def pack(self) -> bytes:
        """As few bytes as hold it."""
        is_wide = max(self.n, self.last_ms) >= _NARROWEST
        flags = _WIDE if is_wide else 0
        parts = [b""]
        if any(self.failed):
            flags |= _SOME_FAILED
            parts.append((_WIDE_FAILED if is_wide else _NARROW_FAILED).pack(*self.failed))
        for channel in range(CHANNELS):
            if measured := self.measured(channel):
                flags |= 1 << channel
                mean = self.total[channel] / measured
                parts.append(_CHANNEL.pack(self.least[channel], self.most[channel], mean))
        head = _WIDE_HEAD if is_wide else _NARROW_HEAD
        parts[0] = head.pack(flags, self.n, self.trues, self.first_ms, self.last_ms)
        return b"".join(parts)

    @classmethod
    def unpack(cls, packed: bytes) -> "Stats":
        """The same again. struct.error for what is damaged."""
        stats = cls()
        flags = packed[0] if packed else 0
        head = _WIDE_HEAD if flags & _WIDE else _NARROW_HEAD
        _, stats.n, stats.trues, stats.first_ms, stats.last_ms = head.unpack_from(packed)
        at = head.size
        if flags & _SOME_FAILED:
            failed = _WIDE_FAILED if flags & _WIDE else _NARROW_FAILED
            stats.failed = [*failed.unpack_from(packed, at)]
            at += failed.size
        for channel in range(CHANNELS):
            if flags & 1 << channel:
                least, most, mean = _CHANNEL.unpack_from(packed, at)
                stats.least[channel], stats.most[channel] = least, most
                stats.total[channel] = mean * stats.measured(channel)
                at += _CHANNEL.size
        return stats


Buckets = dict[int, Stats]
"""By their number, counted from 1970 in widths of their level."""


def fold(strip: Strip, buckets: Buckets, width_ns: int) -> None:
    """Add a strip to buckets of a width, in whatever order its samples were taken."""
    times = strip.sampled_at_ns
    begin = 0
    for number, run in groupby([at_ns // width_ns for at_ns in times]):
        end = begin + len([*run])
        stats = buckets.get(number)
        if stats is None:
            stats = buckets[number] = Stats()
        stats.add(strip.predictions[begin:end], strip.values[begin:end])
        some, zero_ns = times[begin:end], number * width_ns
        stats.seen((min(some) - zero_ns) // _MS, (max(some) - zero_ns) // _MS)
        begin = end


def coarser(buckets: Iterable[tuple[int, Stats]], ratio: int, width_ns: int) -> Buckets:
    """The same samples in buckets that are `ratio` times as wide as these, of `width_ns`."""
    found: Buckets = {}
    width_ms = width_ns // _MS
    for number, stats in buckets:
        into = number // ratio
        if into not in found:
            found[into] = Stats()
        found[into].merge(stats)
        shift_ms = number % ratio * width_ms
        found[into].seen(shift_ms + stats.first_ms, shift_ms + stats.last_ms)
    return found


def merge(into: Buckets, others: Iterable[tuple[int, Stats]]) -> None:
    """Add other buckets of the same width."""
    for number, stats in others:
        if number in into:
            into[number].merge(stats)
            into[number].seen(stats.first_ms, stats.last_ms)
        else:
            into[number] = stats
