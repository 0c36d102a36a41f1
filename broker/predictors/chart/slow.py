"""A scale whose points are means of many rows: in what it differs from that of rows."""

from collections.abc import Mapping

from broker.predictors.chart import vectors
from broker.predictors.chart.baseline import fit
from broker.predictors.chart.control import WEIGHT
from broker.predictors.chart.scale import Phase, Scale
from broker.predictors.chart.warmup import Learned, WarmUp, moving
from quartet.channels import Values
from quartet.plural import counted

_ZERO: Values = (0.0, 0.0, 0.0, 0.0)


class SlowScale(Scale):
    """One that gets no disturbed points, and whose steps are summed up by the scale of rows.

    It gets none while a faster scale learns, is in alarm, or returns to a level.
    """

    __slots__ = ()

    # With a memory of twice its warm-up: what takes less than that is to be told.
    _FOLLOW = 1 / 2000

    def __init__(
        self,
        home: Scale,
        limits: tuple[float, float],
        settle: int,
        rows_a_point: int,
        warm_up: int,
    ) -> None:
        """`limits` are those of T2 and MEWMA; `settle` and `warm_up` are counted in points."""
        super().__init__(*limits, settle, rows_a_point)
        self._home = home
        self._warm_up = _WarmUpOfMeans(home, warm_up)

    def accept(self, jump: Values) -> None:
        """Follow a jump that a faster scale has told, so that this one does not tell it again.

        It is in the unit of the points.
        """
        if (rows := self._rows()) is not None:
            rows.move(jump)
        if self._warm_up is None:
            self._move(jump)
            # In an alarm that may be the way back to where it began.
            if self.phase is Phase.ALARM or self._steps.last != _ZERO:
                step = vectors.deviation(jump, _ZERO, self._baseline.spread)
                self._steps.leave(step, self._baseline, self._charts.t2.limit)

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The larger statistic, as a share of its limit; none before there is a baseline."""
        if self._warm_up is not None:
            return {}
        shares = (value / limit for value, limit in self._charts.statistics().values())
        return {f"means of {counted(self._rows_a_point, 'row')}": (max(shares), 1.0)}

    def _followed(self) -> Values:
        """Nothing: the scale of rows tells it, and jumps of others are in the level."""
        return 0.0, 0.0, 0.0, 0.0


class _WarmUpOfMeans(WarmUp):
    """Takes all points as they are: what moves among them may be day and night."""

    __slots__ = ("_home",)

    def __init__(self, home: Scale, span: int) -> None:
        super().__init__(span)
        self._home = home

    def add(self, values: Values) -> Learned | None:
        """Take a point; what is learned, once that is possible."""
        if not self.rows.add(values):
            return None
        points, every = self.rows.kept(), self.rows.every
        baseline = fit(points, 1 - (1 - WEIGHT) ** every, self._home.spread)
        return Learned(baseline, self.rows.span, moving(points))
