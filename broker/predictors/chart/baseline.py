"""What a line is like while it is healthy: learned once, robustly, from its own first rows.

Plain Python on purpose: a fit of 100 rows takes a millisecond, once in the life of a line,
and gives the same bits on every processor that runs the same Python.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from broker.predictors.chart.vectors import Quadratic
from quartet.channels import CHANNELS, Values

Vector = list[float]
Matrix = list[Vector]

# The share between the first and the last decile of a Gaussian, in standard deviations. These two
# stand firm against one row in ten on each side, and unlike the MAD do not vanish where an ADC
# gives the same code most of the time.
_DECILES_APART = 2.563

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

# The average's own variance is that seen in the warm-up, plus this share of a row's: the warm-up
# shows only few swings of a slow process.
_AVERAGE_SHARE = 0.2

# A level moves if its first and last third lie so many spreads of a row apart: run-in does that,
# load and noise seldom.
_MOVING_SPREADS = 2.0
_NOISE_WINSOR = 3.0


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


def fit(rows: Sequence[Values], weight: float) -> Baseline:
    """Learn from at least 10 rows, finite and in order.

    `weight` is that of a new row in the average whose covariance is wanted.
    """
    middle, spread = _location(rows)
    inside = _winsorised(rows, middle, spread, _WINSOR)
    last = inside[-(len(inside) // 3) :]  # where run-in has brought it
    level = _each(lambda j: middle[j] + spread[j] * statistics.fmean(row[j] for row in last))
    means = _each(lambda j: statistics.fmean(row[j] for row in inside))
    centred = [[row[j] - means[j] for j in range(CHANNELS)] for row in inside]
    of_rows = _shrunk(_scatter(centred))
    for j in range(CHANNELS):
        of_rows[j][j] = max(of_rows[j][j], _LEAST_VARIANCE)
    of_average = _shrunk(_scatter(_averages(centred, weight)))
    load = _each(lambda j: _load(level[j] / spread[j]))

    def form(of_row: float, average: float) -> Quadratic:
        covariance = [
            [
                of_row * of_rows[j][k] + average * of_average[j][k] + load[j] * load[k]
                for k in range(CHANNELS)
            ]
            for j in range(CHANNELS)
        ]
        return _packed(_inverse(covariance))

    return Baseline(level, spread, form(1.0, 0.0), form(_AVERAGE_SHARE, 1.0))


def moving(rows: Sequence[Values]) -> list[int]:
    """The channels whose level still moves, from 0, by the first and the last third of rows."""
    middle, spread = _location(rows)
    inside = _winsorised(rows, middle, spread, _NOISE_WINSOR)
    third = len(rows) // 3
    channels = []
    for j in range(CHANNELS):
        first = [row[j] for row in inside[:third]]
        last = [row[j] for row in inside[-third:]]
        noise = (statistics.pvariance(first) + statistics.pvariance(last)) / 2
        step = statistics.fmean(first) - statistics.fmean(last)
        if step * step > _MOVING_SPREADS**2 * noise:
            channels.append(j)
    return channels


def shares(form: Quadratic, vector: Sequence[float]) -> Vector:
    """What each channel adds to the value of a form, as shares of 1; none is negative."""
    full: Matrix = [[0.0] * CHANNELS for _ in range(CHANNELS)]
    for value, (j, k) in zip(form, _places(), strict=True):
        full[j][k] = full[k][j] = value if j == k else value / 2
    added = [
        max(0.0, vector[j] * sum(full[j][k] * vector[k] for k in range(CHANNELS)))
        for j in range(CHANNELS)
    ]
    return [each / sum(added) for each in added]


def _location(rows: Sequence[Values]) -> tuple[Values, Values]:
    """The median and the spread of each channel."""
    columns = list(zip(*rows, strict=True))
    middle = _each(lambda j: statistics.median(columns[j]))
    seen = _each(lambda j: _seen_spread(columns[j], middle[j]))
    least = min(filter(None, seen), default=_SMALLEST_SPREAD)
    return middle, _each(lambda j: seen[j] or abs(middle[j]) * _CONSTANT_SPREAD or least)


def _seen_spread(column: Sequence[float], middle: float) -> float:
    """By the deciles, and at least one code of the ADC; 0 for a channel that never moved."""
    deciles = statistics.quantiles(column, n=10, method="inclusive")
    apart = deciles[-1] - deciles[0]
    deviations = Counter(abs(value - middle) for value in column if value != middle)
    codes = (each for each, times in deviations.items() if times >= _CODE_ROWS)
    code = min(codes, default=0.0)
    return max(apart / _DECILES_APART, code if code <= apart or not apart else 0.0)


def _winsorised(
    rows: Sequence[Values], middle: Values, spread: Values, most: float
) -> list[list[float]]:
    """Deviations from the median, in spreads and none beyond `most`."""
    return [
        [max(-most, min(most, (row[j] - middle[j]) / spread[j])) for j in range(CHANNELS)]
        for row in rows
    ]


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


def _load(level_spreads: float) -> float:
    """How far load is allowed to move a channel, in spreads."""
    return max(-_MOST_LOAD_SPREADS, min(_MOST_LOAD_SPREADS, _LOAD * level_spreads))


def _inverse(matrix: Matrix) -> Matrix:
    """Of a positive definite matrix, by Gauss and Jordan; such a one needs no pivoting."""
    size = len(matrix)
    work = [[*row, *(float(j == k) for k in range(size))] for j, row in enumerate(matrix)]
    for j, pivot_row in enumerate(work):
        pivot = pivot_row[j]
        pivot_row[:] = [value / pivot for value in pivot_row]
        for k, row in enumerate(work):
            if k != j:
                factor = row[j]
                row[:] = [x - factor * y for x, y in zip(row, pivot_row, strict=True)]
    return [row[size:] for row in work]


def _places() -> list[tuple[int, int]]:
    """Where the numbers of a packed form belong."""
    upper = [(j, k) for j in range(CHANNELS) for k in range(j + 1, CHANNELS)]
    return [(j, j) for j in range(CHANNELS)] + upper


def _packed(matrix: Matrix) -> Quadratic:
    return tuple(matrix[j][k] * (1 if j == k else 2) for j, k in _places())


def _each(of_channel: Callable[[int], float]) -> Values:
    first, second, third, fourth = map(of_channel, range(CHANNELS))
    return first, second, third, fourth
