"""What a line is like while it is healthy: learned once, robustly, from its own first rows.

Plain Python on purpose: a fit of 100 rows takes a millisecond, once in the life of a line,
and gives the same bits on every processor that runs the same Python.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from broker.predictors.chart.forms import Matrix, Vector, inverse, is_positive, packed
from broker.predictors.chart.vectors import Quadratic, added, four, scaled
from quartet.channels import CHANNELS, Values

# The share between the first and the last decile of a Gaussian, in standard deviations. These two
# stand firm against one row in ten on each side, and unlike the MAD do not vanish where an ADC
# gives the same code most of the time.
DECILES_APART = 2.563

# A channel that never moved has no spread to learn: a thousandth of its level stands for it; at
# zero, the quietest other channel's spread, as a grounded input flickers by a code of the same
# ADC; and where none moved, what is small against anything in a unit of its own.
_CONSTANT_SPREAD = 1e-3
_SMALLEST_SPREAD = 1e-12

# A code of the ADC comes back so often among the rows that are kept; glitches to a rail do not.
_CODE_ROWS = 5

# Winsorising: what lies farther out counts as lying here, so that no spike carries the average.
# 2.5 leaves 99 % of a Gaussian's rows alone.
_WINSOR = 2.5

# A channel whose rows nearly all lie on one code of the ADC seems quieter than it is.
_LEAST_VARIANCE = 0.25

# Correlations of 100 rows that follow each other are half luck. Shrunk towards independence, none
# of them makes the inverse explode, not even that of two identical channels.
_SHRINKAGE = 0.2

# Load and temperature move the channels of a machine together and in proportion, by a percent or
# so, over hours: more slowly than a warm-up can see. So much is allowed for in that one direction,
# up to some spreads, for a channel far from zero would be blinded (a temperature in kelvin).
_LOAD = 0.01
_MOST_LOAD_SPREADS = 2.0

# How well the level of means is known, in spreads of a row. The warmth of a day moves it, and a
# warm-up of hours does not show that. A step that a faster scale has settled is no more exact.
_WANDER = 0.25

# The average's own variance is that seen in the warm-up, plus this share of a row's: the warm-up
# shows only few swings of a slow process. Where fewer rows than usual could be learned from, it
# shows fewer still.
_AVERAGE_SHARE = 0.2
_USUAL_ROWS = 100


@dataclass(slots=True)
class Baseline:
    """A line's level, spread, and the forms that weigh a deviation from it."""

    level: Values
    """In the unit of the samples: at the end of the warm-up, and wherever it is moved to."""
    spread: Values
    """Of single rows, as a Gaussian's standard deviation; positive."""
    row_form: Quadratic
    """The inverse covariance of rows, in spreads."""
    average_form: Quadratic
    """The inverse covariance of their exponentially weighted average, in spreads."""

    def numbers(self) -> Vector:
        """All of it, as 28 numbers."""
        return [*self.level, *self.spread, *self.row_form, *self.average_form]

    @classmethod
    def of(cls, numbers: Iterator[float]) -> "Baseline":
        """What such numbers say. ValueError for those of no baseline."""
        level, spread = four(numbers), four(numbers)
        forms = tuple(islice(numbers, 10)), tuple(islice(numbers, 10))
        if min(spread) <= 0 or not all(map(is_positive, forms)):
            raise ValueError("a spread or a form that is not positive")
        return cls(level, spread, *forms)


def fit(rows: Sequence[Values], weight: float, row_spread: Values | None = None) -> Baseline:
    """Learn from at least 10 rows, finite and in order.

    `weight` is that of a new row in the average whose covariance is wanted. `row_spread`: these
    are means, of rows with this spread.
    """
    middle, spread = location(rows)
    inside = winsorised(rows, middle, spread, _WINSOR)
    means = _each(lambda j: statistics.fmean(row[j] for row in inside))
    level = _last_level(middle, spread, inside)
    centred = [[row[j] - means[j] for j in range(CHANNELS)] for row in inside]
    of_rows = _shrunk(_scatter(centred))
    for j in range(CHANNELS):
        of_rows[j][j] = max(of_rows[j][j], _LEAST_VARIANCE)
    of_average = _shrunk(_scatter(_averages(centred, weight)))
    wanders = [0.0] * CHANNELS
    unit = [1.0] * CHANNELS
    if row_spread:
        level = added(middle, scaled(means, spread))  # a day has no end that is more like it
        unit = [of_row / of_mean for of_row, of_mean in zip(row_spread, spread, strict=True)]
        wanders = [(_WANDER * each) ** 2 for each in unit]
    load = _each(lambda j: _load(level[j] / spread[j], _MOST_LOAD_SPREADS * unit[j]))

    def form(of_row: float, average: float) -> Quadratic:
        covariance = [
            [
                of_row * of_rows[j][k]
                + average * of_average[j][k]
                + load[j] * load[k]
                + (wanders[j] if j == k else 0.0)
                for k in range(CHANNELS)
            ]
            for j in range(CHANNELS)
        ]
        return packed(inverse(covariance))

    share = _AVERAGE_SHARE * max(1.0, _USUAL_ROWS / len(rows))
    return Baseline(level, spread, form(1.0, 0.0), form(share, 1.0))


def present_level(rows: Sequence[Values]) -> Values:
    """Where the last third of rows lies; no spike carries it away."""
    middle, spread = location(rows)
    return _last_level(middle, spread, winsorised(rows, middle, spread, _WINSOR))


def location(rows: Sequence[Values]) -> tuple[Values, Values]:
    """The median and the spread of each channel."""
    columns = list(zip(*rows, strict=True))
    middle = _each(lambda j: statistics.median(columns[j]))
    seen = _each(lambda j: _seen_spread(columns[j], middle[j]))
    least = min(filter(None, seen), default=_SMALLEST_SPREAD)
    return middle, _each(lambda j: seen[j] or abs(middle[j]) * _CONSTANT_SPREAD or least)


def winsorised(
    rows: Sequence[Values], middle: Values, spread: Values, most: float
) -> list[list[float]]:
    """Deviations from the median, in spreads and none beyond `most`."""
    return [
        [max(-most, min(most, (row[j] - middle[j]) / spread[j])) for j in range(CHANNELS)]
        for row in rows
    ]


def decile_spread(column: Sequence[float]) -> float:
    """A Gaussian's standard deviation, by the distance of the first and the last decile."""
    ordered = sorted(column)
    return (_decile(ordered, 9) - _decile(ordered, 1)) / DECILES_APART


def _decile(ordered: Sequence[float], number: int) -> float:
    """As statistics.quantiles() has it by "inclusive", which computes all nine."""
    at, tenths = divmod(number * (len(ordered) - 1), 10)
    return (ordered[at] * (10 - tenths) + ordered[at + 1] * tenths) / 10


def adc_code(column: Sequence[float], middle: float) -> float:
    """The smallest step from the median that comes back; 0: none does."""
    deviations = Counter(abs(value - middle) for value in column if value != middle)
    return min((each for each, times in deviations.items() if times >= _CODE_ROWS), default=0.0)


def _last_level(middle: Values, spread: Values, inside: Sequence[Sequence[float]]) -> Values:
    last = inside[-(len(inside) // 3) :]  # where run-in has brought it
    return _each(lambda j: middle[j] + spread[j] * statistics.fmean(row[j] for row in last))


def _seen_spread(column: Sequence[float], middle: float) -> float:
    """By the deciles, and at least one code of the ADC; 0 for a channel that never moved."""
    spread, code = decile_spread(column), adc_code(column, middle)
    return max(spread, code if code <= spread * DECILES_APART or not spread else 0.0)


def _averages(rows: Iterable[Sequence[float]], weight: float) -> list[Vector]:
    """The exponentially weighted average after each row but the first eighth, as it starts at 0."""
    average = [0.0] * CHANNELS
    averages = []
    for row in rows:
        average = [old + weight * (new - old) for old, new in zip(average, row, strict=True)]
        averages.append(average)
    return averages[len(averages) // 8 :]


def _scatter(rows: Sequence[Sequence[float]]) -> Matrix:
    """The covariance about zero."""
    return [
        [sum(row[j] * row[k] for row in rows) / len(rows) for k in range(CHANNELS)]
        for j in range(CHANNELS)
    ]


def _shrunk(covariance: Matrix) -> Matrix:
    return [
        [value * (1.0 if j == k else 1.0 - _SHRINKAGE) for k, value in enumerate(row)]
        for j, row in enumerate(covariance)
    ]


def _load(level_spreads: float, most: float) -> float:
    """How far load is allowed to move a channel, in spreads."""
    return max(-most, min(most, _LOAD * level_spreads))


def _each(of_channel: Callable[[int], float]) -> Values:
    first, second, third, fourth = map(of_channel, range(CHANNELS))
    return first, second, third, fourth
