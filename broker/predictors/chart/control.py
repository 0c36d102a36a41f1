"""The two control charts: how unlike the baseline a row and the latest rows are."""

from collections.abc import Iterator, Mapping

from broker.predictors.chart import vectors, words
from broker.predictors.chart.baseline import Baseline
from broker.predictors.chart.forms import shares
from quartet.channels import Values

# Weight of a row in the average: it looks back over about 20 rows.
WEIGHT = 0.1
# No row counts for more than so many spreads, in the average or where the level follows.
_MOST_SPREADS = 6.0

# A limit grows with what its statistic usually is, and by no more than this.
_MOST_STRETCH = 2.0
# At first with a memory of 200 rows, as a warm-up shows only few swings of a slow process. After
# 1000 quiet rows it has seen them. Faults grow within some hundred rows, and a limit must not grow
# with them: from there on its memory is several times that long. It does not end, because a level
# that drifts lies behind the rows, and would be an alarm in the end.
_EARLY_WEIGHT = 1 / 200
_LATE_WEIGHT = 1 / 1250
_EARLY_ROWS = 1000

# A limit that an average nearly reaches time and again is too low for a machine that runs for days:
# each such row raises it for good, by a hundredth. A fault passes by within a dozen rows or two;
# and one that comes early shall find the limit as it was.
_NEARLY = 0.6
_RAISED_BY = 1 / 100
_EXPERIENCED_ROWS = 3000

_ZERO: Values = (0.0, 0.0, 0.0, 0.0)


class Statistic:
    """One chart: its statistic's latest value, and the limit, which stretches with usual values."""

    __slots__ = ("_first", "_most", "_per_value", "least", "limit", "value")

    def __init__(self, limit: float, usual: float) -> None:
        self._first = limit
        self.least = limit
        """The limit never falls below it."""
        self._most = limit * _MOST_STRETCH
        self._per_value = limit / usual
        self.limit = limit
        """What is above it is hot."""
        self.value = 0.0

    def raise_least(self) -> None:
        """Let the limit be higher from now on, whatever the usual values are."""
        self.least = min(self._most, self.least + _RAISED_BY * self._first)

    def learn(self, weight: float) -> None:
        """Take the latest value as a usual one."""
        limit = self.limit
        limit += weight * (self.value * self._per_value - limit)
        # Compared by hand: this is done twice a row, and min() and max() take longer than the rest.
        # An infinite limit, of a chart that is not wanted, gives NaN here, and stays infinite.
        if not limit >= self.least:
            limit = self.least
        elif limit > self._most:
            limit = self._most
        self.limit = limit


class ControlCharts:
    """T2 of the latest row, and MEWMA of the latest rows, each against its limit."""

    __slots__ = ("average", "bounded", "deviation", "mewma", "quiet_rows", "t2")

    def __init__(self, t2_limit: float, mewma_limit: float) -> None:
        # A statistic of four channels has mean 4, if the baseline is that of the line for all
        # time; that of single rows is known less well than that, as their level wanders.
        self.t2 = Statistic(t2_limit, usual=6.0)
        self.mewma = Statistic(mewma_limit, usual=4.0)
        self.deviation = _ZERO
        """Of the latest row, in spreads."""
        self.bounded = _ZERO
        """The same, without what a spike has beyond some spreads."""
        self.average = _ZERO
        self.quiet_rows = 0
        """How many rows the limits have learned from."""

    def are_hot(self, baseline: Baseline, values: Values) -> bool:
        """Draw a row; whether one of the statistics is above its limit."""
        deviation = vectors.deviation(values, baseline.level, baseline.spread)
        bounded = vectors.bounded(deviation, _MOST_SPREADS)
        average = vectors.average(self.average, bounded, WEIGHT)
        self.deviation, self.bounded, self.average = deviation, bounded, average
        t2, mewma = self.t2, self.mewma
        t2.value = vectors.quadratic(baseline.row_form, deviation)
        mewma.value = vectors.quadratic(baseline.average_form, average)
        return t2.value > t2.limit or mewma.value > mewma.limit

    def learn(self) -> None:
        """Take the latest row as a usual one."""
        self.quiet_rows += 1
        weight = _EARLY_WEIGHT if self.quiet_rows <= _EARLY_ROWS else _LATE_WEIGHT
        self.t2.learn(weight)
        self.mewma.learn(weight)
        if self.quiet_rows > _EXPERIENCED_ROWS and self.mewma.value > _NEARLY * self.mewma.limit:
            self.mewma.raise_least()

    def restart(self) -> None:
        """Forget the average: the level is another one."""
        self.average = _ZERO

    def reason(self, baseline: Baseline) -> str:
        """Which chart is the farther above its limit, and what each channel adds to it."""
        t2, mewma = self.t2, self.mewma
        if t2.value / t2.limit >= mewma.value / mewma.limit:
            name, chart, parts = "T2", t2, shares(baseline.row_form, self.deviation)
        else:
            name, chart, parts = "MEWMA", mewma, shares(baseline.average_form, self.average)
        return words.alarm(name, chart.value, chart.limit, parts)

    def numbers(self) -> list[float]:
        """What a snapshot has to keep besides the rows counted: 9 numbers."""
        t2, mewma = self.t2, self.mewma
        return [*self.average, t2.value, t2.limit, mewma.value, mewma.limit, mewma.least]

    def take(self, numbers: Iterator[float]) -> None:
        """Be as such numbers say. ValueError for a limit that is none."""
        self.average = vectors.four(numbers)
        for chart in (self.t2, self.mewma):
            chart.value, chart.limit = next(numbers), next(numbers)
        self.mewma.least = next(numbers)
        if min(self.t2.limit, self.mewma.limit, self.mewma.least) <= 0:
            raise ValueError("a limit that is not above 0")

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The latest value of each, with its limit."""
        return {
            "T2": (self.t2.value, self.t2.limit),
            "MEWMA": (self.mewma.value, self.mewma.limit),
        }
