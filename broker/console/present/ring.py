"""The last minute of one agent's samples, in few points that keep every extreme."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from broker.console.present.rounding import figure, ms
from broker.recorder.reader import RecordedSample
from quartet.channels import CHANNELS

WINDOW_NS = 60 * 10**9

MOST_POINTS = 240
"""Of a minute."""
MOST_AT_ONCE = 10
"""Of what came since the last tick, half a second ago."""

# Of one bucket: least and most of four channels, an alarm, a failed reading.
_POINTS_A_BUCKET = 2 * CHANNELS + 2


class Point(NamedTuple):
    """A sample as a page draws it."""

    t_ms: float
    values: tuple[float | None, ...]
    prediction: bool
    arrived_at_ns: int
    turn: int
    """In which look it came."""


class Ring:
    """The points of the last minute by arrival. It never holds more than twice MOST_POINTS."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._filled: set[tuple[str, int]] = set()

    def fill(self, samples: Sequence[RecordedSample], turn: int) -> None:
        """Begin with what is on record. The next add() may bring some of it again."""
        self._points = thinned([_point(each, turn) for each in samples], MOST_POINTS)
        self._filled = {(each.session_id, each.id) for each in samples}

    def add(self, samples: Sequence[RecordedSample], turn: int) -> None:
        """Take in what came since the look before."""
        known, self._filled = self._filled, set()
        self._points += [
            _point(each, turn) for each in samples if (each.session_id, each.id) not in known
        ]
        if len(self._points) > 2 * MOST_POINTS:
            self._points = thinned(self._points, MOST_POINTS)

    def forget(self, now_ns: int) -> None:
        """Drop what is older than a minute; a stamp of the future is not old."""
        since_ns = now_ns - WINDOW_NS
        if self._points and self._points[0].arrived_at_ns < since_ns:
            self._points = [each for each in self._points if each.arrived_at_ns >= since_ns]

    def between(self, turn: int, last: int) -> Sequence[Point]:
        """The points of the looks behind one of them, up to the last."""
        points = self._points
        if not points or points[-1].turn <= turn:
            return ()
        return [each for each in points if turn < each.turn <= last]


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of the points: of each stretch the extremes of each channel.

    Also one in alarm and one with a failed reading, where there is such. In their order.
    """
    if len(points) <= most:
        return [*points]
    buckets = max(1, most // _POINTS_A_BUCKET)
    kept: list[Point] = []
    for number in range(buckets):
        begin, end = (len(points) * edge // buckets for edge in (number, number + 1))
        kept += [points[index] for index in sorted(_telling(points, begin, end))]
    return kept


def columns(points: Sequence[Point]) -> dict[str, Any]:
    """As a page takes them."""
    return {
        "t": [each.t_ms for each in points],
        "v": [[each.values[channel] for each in points] for channel in range(CHANNELS)],
        "p": [int(each.prediction) for each in points],
    }


def _telling(points: Sequence[Point], begin: int, end: int) -> set[int]:
    """The indices that must be kept of a stretch."""
    found: set[int] = set()
    for channel in range(CHANNELS):
        measured = [n for n in range(begin, end) if points[n].values[channel] is not None]
        if measured:
            found.add(min(measured, key=lambda n: points[n].values[channel] or 0.0))
            found.add(max(measured, key=lambda n: points[n].values[channel] or 0.0))
    for is_told in (_is_alarm, _has_failed):
        found.update([n for n in range(begin, end) if is_told(points[n])][:1])
    return found or {begin}


def _is_alarm(point: Point) -> bool:
    return point.prediction


def _has_failed(point: Point) -> bool:
    return None in point.values


def _point(sample: RecordedSample, turn: int) -> Point:
    values = tuple(map(figure, sample.values))
    return Point(ms(sample.sampled_at_ns), values, sample.prediction, sample.arrived_at_ns, turn)
