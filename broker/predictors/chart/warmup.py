"""When a line's first rows are fit to learn from, and which of them."""

import math
import statistics
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from broker.predictors.chart.baseline import (
    DECILES_APART,
    Baseline,
    adc_code,
    decile_spread,
    fit,
    location,
    winsorised,
)
from broker.predictors.chart.control import WEIGHT
from broker.predictors.chart.rows import Rows
from quartet.channels import CHANNELS, Values

# Enough for a level, a spread and the correlations of four channels.
ROWS = 300
# How long a level that still moves is waited for: a start or a change of load that lies within the
# first 180 rows has left the window by then.
_WAIT_AT_MOST = 180

# A level moves if its first and last third lie so many spreads of the last third apart: run-in
# does that, load and noise seldom. (A step in the first third would inflate the scatter of both,
# and look small against it.)
_MOVING_SPREADS = 2.0
_NOISE_WINSOR = 3.0
# The last third of a channel that rests on one code of the ADC has no scatter, by luck.
_LEAST_VARIANCE = 0.25

# A third of the rows in which something happens scatters so many times as much as a third in which
# nothing does; by chance, thirds differ less than twofold.
_UNEVEN = 3.0

# A step is clear if it is so many spreads of what lies on one side of it: a start, a stop, a change
# of load.
_CLEAR_SPREADS = 6.0
# All channels step at once where a machine is started, stopped or loaded, and by luck none does. So
# half of that is clear enough, if it is so in all of them, within a few rows.
_CLEAR_IN_ALL_SPREADS = _CLEAR_SPREADS / 2
_AT_ONCE_ROWS = 5
# Fewer rows on a side may be spikes, and so few have no spread.
_LEAST_SIDE = 5
# So many rows before it are compared with so many after it: a dip may be as short as that, and what
# runs in moves less within them.
_NEAR = 9
_LEAST_SPREAD_ROWS = 20
# Another start or stop may lie on the same side, and makes its scatter large. The rows next to the
# step may be free of it; with fewer of them, what only wanders looks like a step.
_BESIDE = 30
# Fewer rows, 90 of the line, teach no correlations.
_LEAST_LEARNED = 30
# A side may rest on one code of the ADC; against the whole it scatters at least so much, and by a
# decile of a code where the rows flicker by one: they change so often. (A step changes them once.)
_LEAST_SHARE = 0.1
_FLICKERS = 10


@dataclass(frozen=True, slots=True)
class Learned:
    """What a warm-up ends with."""

    baseline: Baseline
    rows: int
    """How many of the latest rows it was learned from."""
    moving: list[int]
    """The channels, from 0, whose level still moves."""


class WarmUp:
    """Gathers rows until their level lies still, or no longer than 480 of them."""

    __slots__ = ("rows",)

    def __init__(self, span: int = ROWS) -> None:
        self.rows = Rows(span)

    def add(self, values: Values) -> Learned | None:
        """Take a row; what is learned, once that is possible."""
        if not self.rows.add(values):
            return None
        rows = self.rows.kept()
        is_over = self.rows.seen >= ROWS + _WAIT_AT_MOST
        if not is_over and (clear_step(rows) or uneven(rows) or moving(rows)):
            return None
        rows = undisturbed(rows)
        every = self.rows.every
        baseline = fit(rows, 1 - (1 - WEIGHT) ** every)
        return Learned(baseline, len(rows) * every, moving(rows))

    def progress(self) -> tuple[int, int]:
        """Rows seen, and after how many it looks next."""
        seen, look = self.rows.seen, self.rows.look
        looks = (seen - ROWS) // look + 1 if seen >= ROWS else 0
        return seen, ROWS + looks * look


def undisturbed(rows: list[Values]) -> list[Values]:
    """The rows after the clearest step, and without what it left behind; all if there is none."""
    whole = len(rows)
    while step := clear_step(rows, _LEAST_LEARNED):
        rows = rows[step:]
    if len(rows) < whole:
        while 2 * len(rows) >= 3 * _LEAST_LEARNED and (uneven(rows) or moving(rows)):
            rows = rows[len(rows) // 3 :]
    return rows


def moving(rows: Sequence[Values]) -> list[int]:
    """The channels whose level still moves, from 0, by the first and the last third of rows."""
    inside = winsorised(rows, *location(rows), _NOISE_WINSOR)
    third = len(rows) // 3
    channels = []
    for j in range(CHANNELS):
        last = [row[j] for row in inside[-third:]]
        noise = max(_LEAST_VARIANCE, statistics.pvariance(last))
        step = statistics.fmean(row[j] for row in inside[:third]) - statistics.fmean(last)
        if step * step > _MOVING_SPREADS**2 * noise:
            channels.append(j)
    return channels


def uneven(rows: Sequence[Values]) -> bool:
    """Whether a third of the rows scatters much more than another one."""
    third = len(rows) // 3
    thirds = [rows[:third], rows[third:-third], rows[-third:]]
    for column, *parts in zip(*(zip(*each, strict=True) for each in (rows, *thirds)), strict=True):
        spreads = sorted(map(decile_spread, parts))
        least = max(spreads[0], _least_spread(column))
        if spreads[-1] > _UNEVEN * least:
            return True
    return False


def clear_step(rows: Sequence[Values], least_after: int = _LEAST_SIDE) -> int:
    """The row from which on a channel, or all of them, lie clearly elsewhere; 0: there is none."""
    found = [_clearest(column, least_after) for column in zip(*rows, strict=True)]
    sizes, places = zip(*found, strict=True)
    size, place = max(found)
    are_at_once = max(places) - min(places) <= _AT_ONCE_ROWS
    is_in_all = are_at_once and min(sizes) > _CLEAR_IN_ALL_SPREADS
    return place if size > _CLEAR_SPREADS or is_in_all else 0


def _clearest(column: Sequence[float], least_after: int) -> tuple[float, int]:
    """The size of the clearest step, in spreads, and its place."""
    least = _least_spread(column)
    places = range(_LEAST_SIDE, len(column) - least_after + 1)
    before, after = sorted(column[:_LEAST_SIDE]), sorted(column[_LEAST_SIDE:])
    size, found, low, high = 0.0, 0, 0.0, 0.0
    for place in places:
        left = statistics.median(column[max(0, place - _NEAR) : place])
        right = statistics.median(column[place : place + _NEAR])
        beside = column[max(0, place - _BESIDE) : place], column[place : place + _BESIDE]
        sides = (side for side in (before, after, *beside) if len(side) >= _LEAST_SPREAD_ROWS)
        spread = max(least, min(map(decile_spread, sides), default=math.inf))
        if abs(left - right) > size * spread:
            size = abs(left - right) / spread if spread else math.inf
            found, low, high = place, left, right
        value = column[place]
        insort(before, value)
        del after[bisect_left(after, value)]
    near = range(max(found - _NEAR, places.start), min(found + _NEAR, places.stop))
    return size, _boundary(column, near, low, high)


def _least_spread(column: Sequence[float]) -> float:
    """What a part of the column scatters by, at least."""
    least = decile_spread(column) * _LEAST_SHARE
    if sum(one != other for one, other in pairwise(column)) < _FLICKERS:
        return least
    return max(least, adc_code(column, statistics.median(column)) / DECILES_APART)


def _boundary(column: Sequence[float], places: range, low: float, high: float) -> int:
    """Where a step from one level to another parts the rows best; a few of them are spikes."""
    nearer = (1 if abs(value - low) < abs(value - high) else -1 for value in column)
    balance = list(accumulate(nearer))
    return max(places, key=lambda place: balance[place - 1], default=0)
