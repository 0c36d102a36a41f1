"""The path of a sample through the two charts."""

import itertools
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping

from broker.model import Sample
from broker.predictors.chart import vectors
from broker.predictors.chart.baseline import Baseline, fit, moving, shares
from broker.predictors.failures import Failures, is_measured
from quartet.channels import CHANNELS, Values
from quartet.plural import counted

# Of three rows one is kept: rows that follow each other say much the same, and 100 of them fit
# into a state below 2 kB.
_KEEP_EVERY = 3
_KEPT = 100

# How often, and how long, a level that still moves is waited for, in rows.
_LOOK_AGAIN = 30
_WAIT_AT_MOST = 180

# Weight of a row in the average: it looks back over about 20 rows.
_WEIGHT = 0.1
# No row counts for more than so many spreads, in the average or where the level follows.
_MOST_SPREADS = 6.0

# The level follows by so much of a row's deviation while all is quiet: it takes up run-in and
# seasons, and a fault of some hundred rows hardly. Where a row is hot it waits, and in an alarm.
_FOLLOW = 1 / 500

# A hot row counts up and a cold one down. A few hot rows are an alarm, which lasts until as many
# more rows were cold than hot.
_ALARM_AT = 4
_ALARM_ENDS_AFTER = 12

# A limit grows with what its statistic usually is, and by no more than this.
_MOST_STRETCH = 2.0
_STRETCH_WEIGHT = 1 / 200

# Points seen, rows failed, counter, alarm, numbers kept, rows of the next point and their mean;
# behind them the numbers kept, or all that was learned.
_HEAD = struct.Struct("<IBBBHI4d")
_LEARNED = struct.Struct("<34d")

# A day, at 100 rows a second.
_MOST_ROWS_A_POINT = 8_640_000

_ZERO: Values = (0.0, 0.0, 0.0, 0.0)


class Statistic:
    """One chart: its statistic's latest value, and the limit, which stretches with usual values."""

    __slots__ = ("_least", "_most", "_per_value", "limit", "value")

    def __init__(self, limit: float, usual: float) -> None:
        self._least = limit
        self._most = limit * _MOST_STRETCH
        self._per_value = limit / usual
        self.limit = limit
        """What is above it is hot."""
        self.value = 0.0

    def learn(self) -> None:
        """Take the latest value as a usual one."""
        limit = self.limit
        limit += _STRETCH_WEIGHT * (self.value * self._per_value - limit)
        self.limit = max(self._least, min(self._most, limit))


class Chart:
    """True while the line is unlike its own first few hundred rows, or a sensor has failed.

    The first 300 rows, up to 480 while a level still moves, are False and become the baseline. A
    row whose values are not all finite is no part of anything: it repeats the last answer, from
    the third in a row on it is True. The limits are in squared standard deviations of a healthy
    machine; smaller ones alarm earlier, and more often for nothing. With `average` above 1, the
    mean of so many rows is one point on the charts: all that is counted in rows here is then as
    many times longer. Not thread-safe.
    """

    def __init__(self, t2_limit: float = 22.0, mewma_limit: float = 18.0, average: int = 1) -> None:
        if isinstance(average, bool) or not (
            isinstance(average, int) and 1 <= average <= _MOST_ROWS_A_POINT
        ):
            raise ValueError(
                f"average must be a whole number from 1 to {_MOST_ROWS_A_POINT}, got {average!r}"
            )
        for name, limit in (("t2_limit", t2_limit), ("mewma_limit", mewma_limit)):
            if isinstance(limit, bool) or not (isinstance(limit, int | float) and limit > 0):
                raise ValueError(f"{name} must be a number above 0, got {limit!r}")
        # A statistic of four channels has mean 4, if the baseline is that of the line for all
        # time; that of single rows is known less well than that, as their level wanders.
        self._t2 = Statistic(t2_limit, usual=6.0)
        self._mewma = Statistic(mewma_limit, usual=4.0)
        self._rows_a_point = average
        self._gathered = 0
        self._point = _ZERO
        self._seen = 0
        self._failures = Failures()
        self._kept = array("f")
        self._baseline: Baseline | None = None
        self._average = _ZERO
        self._deviation = _ZERO
        self._count = 0
        self._alarm = False
        self._news: str | None = None

    def predict(self, sample: Sample) -> bool:
        """Whether the line is in alarm after this row, or a sensor has failed."""
        values = sample.values
        self._news = None
        if not is_measured(values):
            self._news = self._failures.add(values)
            return self._failures.are_news or self._alarm
        if self._failures.count:
            self._news = self._failures.end()
        if self._rows_a_point > 1:
            self._gathered += 1
            self._point = vectors.average(self._point, values, 1 / self._gathered)
            if self._gathered < self._rows_a_point:
                return self._alarm
            values, self._point, self._gathered = self._point, _ZERO, 0
        baseline = self._baseline
        if baseline is None:
            self._warm_up(values)
            return False
        deviation = vectors.deviation(values, baseline.level, baseline.spread)
        bounded = vectors.bounded(deviation, _MOST_SPREADS)
        average = vectors.average(self._average, bounded, _WEIGHT)
        self._deviation, self._average = deviation, average
        t2, mewma = self._t2, self._mewma
        t2.value = vectors.quadratic(baseline.row_form, deviation)
        mewma.value = vectors.quadratic(baseline.average_form, average)
        if t2.value > t2.limit or mewma.value > mewma.limit:
            self._heat(baseline)
        elif self._count:
            self._cool()
        else:
            t2.learn()
            mewma.learn()
            baseline.level = vectors.moved(baseline.level, baseline.spread, bounded, _FOLLOW)
        return self._alarm

    def explain(self) -> str | None:
        """What is new with the latest row: a baseline, an alarm and whose, its end."""
        return self._news

    def learning(self) -> tuple[int, int] | None:
        """Rows seen, and rows after which it looks whether it has learned; None: it has."""
        if self._baseline is not None:
            return None
        rows, least = self._rows_a_point, _KEEP_EVERY * _KEPT
        looks = (self._seen - least) // _LOOK_AGAIN + 1 if self._seen >= least else 0
        return self._seen * rows + self._gathered, (least + looks * _LOOK_AGAIN) * rows

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The charts' latest values, each with its limit; none before there is a baseline."""
        if self._baseline is None:
            return {}
        return {
            name: (statistic.value, statistic.limit)
            for name, statistic in (("T2", self._t2), ("MEWMA", self._mewma))
        }

    def snapshot(self) -> bytes:
        """The whole state, below 2 kB."""
        kept, baseline = self._kept, self._baseline
        head = _HEAD.pack(
            *(self._seen, self._failures.count, self._count, self._alarm, len(kept)),
            *(self._gathered, *self._point),
        )
        if baseline is None:
            return head + struct.pack(f"<{len(kept)}f", *kept)
        return head + _LEARNED.pack(
            *(*baseline.level, *baseline.spread, *baseline.row_form, *baseline.average_form),
            *(*self._average, self._t2.limit, self._mewma.limit),
        )

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot. struct.error for what is none."""
        head = iter(_HEAD.unpack_from(state))
        self._seen, self._failures.count, self._count = next(head), next(head), next(head)
        self._alarm, kept = bool(next(head)), next(head)
        self._gathered, self._point = next(head), _four(head)
        rest = state[_HEAD.size :]
        if kept or not self._seen:
            self._kept = array("f", struct.unpack(f"<{kept}f", rest))
            return
        numbers = iter(_LEARNED.unpack(rest))
        self._baseline = Baseline(
            level=_four(numbers),
            spread=_four(numbers),
            row_form=tuple(itertools.islice(numbers, 10)),
            average_form=tuple(itertools.islice(numbers, 10)),
        )
        self._average = _four(numbers)
        self._t2.limit, self._mewma.limit = numbers

    def _warm_up(self, values: Values) -> None:
        """Keep a row to learn from; learn, once there are enough and the level has settled."""
        if self._seen % _KEEP_EVERY == 0:
            self._kept.extend(values)
            del self._kept[: -_KEPT * CHANNELS]
        self._seen += 1
        waited = self._seen - _KEEP_EVERY * _KEPT
        if waited < 0 or waited % _LOOK_AGAIN:
            return
        kept = iter(self._kept)
        rows = list(zip(kept, kept, kept, kept, strict=True))
        unsettled = moving(rows)
        if unsettled and waited < _WAIT_AT_MOST:
            return
        self._baseline = fit(rows, 1 - (1 - _WEIGHT) ** _KEEP_EVERY)
        self._kept = array("f")
        self._news = f"baseline learned, after {counted(self._seen * self._rows_a_point, 'row')}"
        if unsettled:
            self._news += f", though the level of {_names(unsettled)} still moves"

    def _heat(self, baseline: Baseline) -> None:
        """Count a hot row."""
        self._count = min(self._count + 1, _ALARM_ENDS_AFTER)
        if not self._alarm and self._count >= _ALARM_AT:
            self._alarm = True
            self._count = _ALARM_ENDS_AFTER
            self._news = self._reason(baseline)

    def _cool(self) -> None:
        """Count a cold row."""
        self._count -= 1
        if self._alarm and self._count == 0:
            self._alarm = False
            self._news = "alarm is over"

    def _reason(self, baseline: Baseline) -> str:
        t2, mewma = self._t2, self._mewma
        if t2.value / t2.limit >= mewma.value / mewma.limit:
            name, chart, parts = "T2", t2, shares(baseline.row_form, self._deviation)
        else:
            name, chart, parts = "MEWMA", mewma, shares(baseline.average_form, self._average)
        ranked = sorted(enumerate(parts), key=lambda part: -part[1])
        told = ", ".join(f"{_names([j])} {part:.0%}" for j, part in ranked)
        return f"alarm: {name} is {chart.value:.3g}, its limit {chart.limit:.3g}: {told}"


def _four(numbers: Iterator[float]) -> Values:
    return next(numbers), next(numbers), next(numbers), next(numbers)


def _names(channels: Iterable[int]) -> str:
    return ", ".join(f"sensor{channel + 1}" for channel in channels)
