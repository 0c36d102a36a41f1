"""Folds what a predictor told of each sample into as many points as a picture is wide."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from broker.recorder.reader import Span

# A predictor tells a few numbers. One that makes up a name a sample would fill the memory.
_MOST_CHARTS = 16


class _Peak(NamedTuple):
    at_ns: int
    value: float
    limit: float


class Folds:
    """By name and bucket the highest value, with the limit that it had, and its time."""

    def __init__(self, span: Span, buckets: int) -> None:
        self._span = span
        self._width_ns = max(1, -(-(span.until_ns - span.since_ns) // buckets))
        self._peaks: dict[str, dict[int, _Peak]] = {}

    def add(self, at_ns: int, numbers: Mapping[str, tuple[float, float]]) -> None:
        """Take in what was told of a sample of the span."""
        bucket = (at_ns - self._span.since_ns) // self._width_ns
        for name, (value, limit) in numbers.items():
            if name not in self._peaks and len(self._peaks) >= _MOST_CHARTS:
                continue
            peaks = self._peaks.setdefault(name, {})
            peak = _Peak(at_ns, float(value), float(limit))
            known = peaks.get(bucket)
            if known is None or not known.value >= peak.value:  # whatever is above a NaN
                peaks[bucket] = peak

    def charts(self) -> list[dict[str, Any]]:
        """A chart for each name, by time. Times are Unix ns."""
        charts = []
        for name, peaks in self._peaks.items():
            points = sorted(peaks.values())
            charts.append(
                {
                    "name": name,
                    "t": [each.at_ns for each in points],
                    "value": [each.value for each in points],
                    "limit": [each.limit for each in points],
                }
            )
        return charts
