"""Predictions and their round trips, summed up in bounded memory; and the latest prediction."""

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import pairwise

from agent.model import Prediction

# A bucket is 4.7 % wide, so that a percentile, its middle, is right to within 2.4 %.
_BUCKETS_PER_DECADE = 50
_DECADES = 12
_FIRST_NS = 1000

# In rising order, where a bucket ends and the next begins.
_ENDS_NS = [
    _FIRST_NS * 10 ** (number / _BUCKETS_PER_DECADE)
    for number in range(1, _BUCKETS_PER_DECADE * _DECADES)
]


class Histogram:
    """Durations in ns, by their logarithm; percentiles within 2.4 % from 1 us to 10^6 s."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_ENDS_NS) + 1)
        self.count = 0
        self.sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self._counts[bisect(_ENDS_NS, duration_ns)] += 1
        self.count += 1
        self.sum_ns += duration_ns

    def by_bound(self, bounds_s: Sequence[float]) -> list[int]:
        """How many are within each bound and above the one before; and at last, above all.

        In rising order. A bound is right to within 2.4 %, as a percentile is.
        """
        marks = [round(math.log10(bound_s * 1e6) * _BUCKETS_PER_DECADE) for bound_s in bounds_s]
        edges = [0, *marks, len(self._counts)]
        return [sum(self._counts[low:high]) for low, high in pairwise(edges)]

    def percentile_ms(self, percent: float) -> float:
        """The duration in ms that this share of all durations does not exceed; 0 of none."""
        rank = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return float(10 ** ((bucket + 0.5) / _BUCKETS_PER_DECADE - 3))
        return 0.0


class Metrics:
    """A sink that counts predictions, keeps their round trips, and the latest of them."""

    def __init__(self) -> None:
        self.latest: Prediction | None = None
        self.true_since_ns: int | None = None
        """When the first sample of the present run of True was taken (Unix ns)."""
        self.true = 0
        self.false = 0
        self.round_trips = Histogram()

    def emit(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.latest = prediction
        if not prediction.value:
            self.false += 1
            self.true_since_ns = None
        else:
            self.true += 1
            if self.true_since_ns is None:
                self.true_since_ns = prediction.sample.sampled_at_ns
        self.round_trips.add(prediction.round_trip_ns)

    def close(self) -> None:
        """Nothing is held back."""

    def __str__(self) -> str:
        return "the count of predictions"
