"""The two control charts: how unlike the baseline a row and the latest rows are."""

from collections.abc import Iterator, Mapping

from broker.predictors.chart import vectors, words
from broker.predictors.chart.baseline import Baseline
from broker.predictors.chart.forms import shares
from broker.predictors.chart.vectors import quadratic
from quartet.channels import Values

# Weight of a row in the average: it looks back over about 20 rows.
WEIGHT = 0.1
# No row counts for more than so many spreads, in the average or where the level follows.
_MOST_SPREADS = 6.0
# If the squares of all four do not sum up to more than this, none counts for more.
_BOUNDED_SQUARES = _MOST_SPREADS**2

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

    __slots__ = ("_first", "least", "limit", "most", "per_value", "value")

    def __init__(self, limit: float, usual: float) -> None:
        self._first = limit
        self.least = limit
        """The limit never falls below it."""
        self.most = limit * _MOST_STRETCH
        """The limit never rises above it."""
        self.per_value = limit / usual
        """The limit that belongs to a usual value of 1; a larger one is in proportion."""
        self.limit = limit
        """What is above it is hot."""
        self.value = 0.0

    def raise_least(self) -> None:
        """Let the limit be higher from now on, whatever the usual values are."""
        self.least = min(self.most, self.least + _RAISED_BY * self._first)


class ControlCharts:
    """T2 of the latest row, and MEWMA of the latest rows, each against its limit."""

    __slots__ = ("_both", "average", "bounded", "deviation", "mewma", "quiet_rows", "t2")

    def __init__(self, t2_limit: float, mewma_limit: float) -> None:
        # A statistic of four channels has mean 4, if the baseline is that of the line for all
        # time; that of single rows is known less well than that, as their level wanders.
        self.t2 = Statistic(t2_limit, usual=6.0)
        self.mewma = Statistic(mewma_limit, usual=4.0)
        self._both = self.t2, self.mewma
        self.deviation = _ZERO
        """Of the latest row, in spreads."""
        self.bounded = _ZERO
        """The same, without what a spike has beyond some spreads."""
        self.average = _ZERO
        self.quiet_rows = 0
        """How many rows the limits have learned from."""

    def are_hot(self, baseline: Baseline, values: Values) -> bool:
        """Draw a row; whether one of the statistics is above its limit."""
        # Done with each row, and a call takes as long as its arithmetic: so this is written out.
        v1, v2, v3, v4 = values
        l1, l2, l3, l4 = baseline.level
        s1, s2, s3, s4 = baseline.spread
        deviation = (v1 - l1) / s1, (v2 - l2) / s2, (v3 - l3) / s3, (v4 - l4) / s4
        b1, b2, b3, b4 = bounded = deviation
        if not b1 * b1 + b2 * b2 + b3 * b3 + b4 * b4 <= _BOUNDED_SQUARES:
            b1, b2, b3, b4 = bounded = vectors.bounded(deviation, _MOST_SPREADS)
        a1, a2, a3, a4 = self.average
        average = (
            a1 + WEIGHT * (b1 - a1),
            a2 + WEIGHT * (b2 - a2),
            a3 + WEIGHT * (b3 - a3),
            a4 + WEIGHT * (b4 - a4),
        )
        self.deviation, self.bounded, self.average = deviation, bounded, average
        t2, mewma = self.t2, self.mewma
        t2.value = its_t2 = quadratic(baseline.row_form, deviation)
        mewma.value = its_mewma = quadratic(baseline.average_form, average)
        return its_t2 > t2.limit or its_mewma > mewma.limit

    def learn(self) -> None:
        """Take the latest row as a usual one."""
        self.quiet_rows = rows = self.quiet_rows + 1
        weight = _EARLY_WEIGHT if rows <= _EARLY_ROWS else _LATE_WEIGHT
        for chart in self._both:
            limit, least, usual = chart.limit, chart.least, chart.value * chart.per_value
            # Mostly it rests on the least; an infinite one, of a chart that is not wanted, always.
            if usual > limit or limit != least:
                limit += weight * (usual - limit)
                # Compared by hand, as min() and max() take longer than the rest.
                if not limit >= least:
                    limit = least
                elif limit > chart.most:
                    limit = chart.most
                chart.limit = limit
        if rows > _EXPERIENCED_ROWS and self.mewma.value > _NEARLY * self.mewma.limit:
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
