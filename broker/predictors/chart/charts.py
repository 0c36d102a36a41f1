"""The default black box: what a line's rows, failed sensors and sessions are to the charts."""

import struct
from collections.abc import Mapping
from typing import ClassVar

from broker.model import Sample
from broker.predictors.chart.scale import Phase
from broker.predictors.chart.scales import Scales
from broker.predictors.failures import Failures, is_measured
from quartet.channels import Values

# The format of a snapshot. A later one reads this one, too.
_VERSION = 2

# Version, rows failed, id of the latest sample; behind them the state of the scales.
_HEAD = struct.Struct("<BBq")

# Thirds of ten rows: fewer do not show whether a level lies still. And a day at 100 rows a second.
_LEAST_SETTLE, _MOST_SETTLE = 30, 8_640_000


class Chart:
    """True while the line is unlike the level it runs at, or too far from where it was learned.

    The first 300 rows, up to 480 while a level still moves, are False and become the baseline. An
    alarm ends when the line is back, or has been steady at another level for `settle` points (0:
    never by that). A row whose values are not all finite is no part of anything: it repeats the
    last answer, from the third in a row on it is True. The limits are in squared standard
    deviations of a healthy machine; smaller ones alarm earlier, and more often for nothing. Slower
    scales, whose points are means of 30 rows and more, see what takes longer. Not thread-safe.
    """

    algorithm = 3
    """Another number for other answers to the same samples: what was learned is then of no use."""

    former_options: ClassVar = {
        "average": "remove it, as chart watches means of 30, 900 and 27,000 rows besides"
    }
    """Options that are gone, and what to do instead."""

    def __init__(
        self,
        t2_limit: float = 22.0,
        mewma_limit: float = 18.0,
        settle: int = 300,
    ) -> None:
        for name, limit in (("t2_limit", t2_limit), ("mewma_limit", mewma_limit)):
            if isinstance(limit, bool) or not (isinstance(limit, int | float) and limit > 0):
                raise ValueError(f"{name} must be a number above 0, got {limit!r}")
        if not (_is_whole(settle, 0, 0) or _is_whole(settle, _LEAST_SETTLE, _MOST_SETTLE)):
            raise ValueError(
                f"settle must be 0 or a whole number from {_LEAST_SETTLE} to {_MOST_SETTLE},"
                f" got {settle!r}"
            )
        self._scales = Scales(t2_limit, mewma_limit, settle)
        self._failures = Failures()
        self._last_id = 0
        self._news: str | None = None

    def predict(self, sample: Sample) -> bool:
        """Whether the line is in alarm after this row, or a sensor has failed."""
        values, failures = sample.values, self._failures
        if is_measured(values):
            news = self._scales.add(values)
            if failures.count:
                news = _both(failures.end(), news)
        else:
            news = failures.add(values)
        if sample.id < self._last_id:
            news = _both(news, self._reminder())
        self._last_id, self._news = sample.id, news
        return self._scales.is_alarm or (failures.count > 0 and failures.are_news)

    def explain(self) -> str | None:
        """What is new with the latest row: a baseline, an alarm and whose, its end, a shift."""
        return self._news

    def shift(self) -> str | None:
        """How far off the line runs steadily, which nobody has accepted; None: it does not."""
        return self._scales.first.shift()

    @property
    def spread(self) -> Values | None:
        """The learned standard deviation of points, channel by channel; None: still learning."""
        return self._scales.first.spread

    def learning(self) -> tuple[int, int] | None:
        """Rows seen, and rows after which it looks whether it has learned; None: it has."""
        return self._scales.first.learning()

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The latest numbers, each with its limit; none before there is a baseline."""
        return self._scales.statistics()

    def snapshot(self) -> bytes:
        """The whole state, at most 3 kB a scale."""
        head = _HEAD.pack(_VERSION, self._failures.count, self._last_id)
        return head + self._scales.snapshot()

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot. struct.error or ValueError for what is none."""
        version, failed, last_id = _HEAD.unpack_from(state)
        if version != _VERSION:
            raise struct.error(f"a state of version {version}, not {_VERSION}")
        self._failures.restore(failed)
        self._last_id = last_id
        self._scales.restore(state[_HEAD.size :])

    def _reminder(self) -> str | None:
        """At the begin of a session: what runs on without a person's consent."""
        shift, scales = self.shift(), self._scales
        is_steady = scales.first.phase is Phase.FAR or not scales.is_alarm
        return f"steady, {shift}" if shift and is_steady else None


def _both(one: str | None, other: str | None) -> str | None:
    """What is new, in one line."""
    return f"{one}; {other}" if one and other else one or other


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most
