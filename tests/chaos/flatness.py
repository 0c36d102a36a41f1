"""Whether figures of a process stay where they are, after a while in which they may grow.

The rule: what came in the first fifth is warm-up, and left out. Of the rest, the median of the
last third may be above that of the first third by the allowance of the figure: a part of it, and
an amount that a cache, an allocator or a pool takes once. What leaks takes it every hour.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_WARM_UP = 5  # the first of so many parts


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a figure may grow from the first to the last third."""

    part: float
    amount: float


ALLOWED = {
    "RSS MB": Allowance(0.03, 2.0),
    "descriptors": Allowance(0.0, 2.0),
    "threads": Allowance(0.0, 1.0),
    "store MB": Allowance(0.1, 0.5),
    "WAL MB": Allowance(0.1, 4.0),
    "spool MB": Allowance(0.1, 1.0),
}
"""By the names of figures. Latency is not among them: a shared machine judges nobody."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure in the first and in the last third of a run."""

    first: float
    last: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Trend":
        """Of figures that were taken at even intervals; five at least."""
        warm = figures[len(figures) // _WARM_UP :]
        third = max(1, len(warm) // 3)
        return cls(statistics.median(warm[:third]), statistics.median(warm[-third:]))

    def grows(self, allowed: Allowance) -> bool:
        """Whether it is above what is allowed."""
        return self.last > self.first * (1 + allowed.part) + allowed.amount
