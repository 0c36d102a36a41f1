"""One length of time at which a line is watched: its state, and what moves it."""

import struct
from array import array
from collections.abc import Mapping
from enum import IntEnum

from broker.predictors.chart import vectors, words
from broker.predictors.chart.baseline import Baseline, present_level
from broker.predictors.chart.control import ControlCharts
from broker.predictors.chart.rows import Rows
from broker.predictors.chart.settled import is_settled
from broker.predictors.chart.steps import FAR_SPREADS, Steps
from broker.predictors.chart.warmup import WarmUp
from quartet.channels import Values

# A hot row counts up and a cold one down. A few hot rows are an alarm, which ends when as many
# more rows were cold than hot. As many that are at home at the former level are a return to it.
_ALARM_AT = 4
_ALARM_ENDS_AFTER = 12
_RETURN_AT = 12

# Each alarm that ended at a new level makes the next one need twice as many steady rows: a fault
# that grows with pauses is let go of once or twice. No more than that, or a machine that is changed
# now and then would be in alarm for long.
_PATIENCE = 1, 2, 4

# How often drift is looked at, in quiet rows: it takes hundreds to be news.
_DRIFT_LOOK = 32

_ZERO: Values = (0.0, 0.0, 0.0, 0.0)

# Phase, counter, rows at the former level, patience, numbers kept, rows gathered, quiet rows.
_HEAD = struct.Struct("<BBBBHQQ")
# All numbers of the baseline, the charts and the steps.
_LEARNED = struct.Struct("<50d")


class Phase(IntEnum):
    """Where a scale is. docs/chart.md draws what leads from one to the other."""

    LEARNING = 0
    """No baseline yet."""
    QUIET = 1
    """Like its level, which is the learned one or one that it has settled at."""
    ALARM = 2
    """Unlike its level, and not steady elsewhere yet."""
    FAR = 3
    """Steady, but too far from where it was learned: an alarm until a person resets it."""


class Scale:
    """The charts of a line, fed with points: rows, or means of so many rows.

    Knows nothing of samples, failed sensors and other scales. Not thread-safe.
    """

    __slots__ = (
        *("_baseline", "_charts", "_count", "_follow", "_gathered", "_home", "_patience"),
        *("_returning", "_rows_a_point", "_settle", "_shift", "_steps", "_warm_up"),
        *("is_alarm", "jump", "news", "phase"),
    )

    # The level follows by so much of a point's deviation while all is quiet: it takes up run-in and
    # seasons, and hardly a fault of some hundred points. It waits at a hot one, and in an alarm.
    _FOLLOW = 1 / 500

    def __init__(
        self, t2_limit: float, mewma_limit: float, settle: int, rows_a_point: int = 1
    ) -> None:
        self._home: Scale = self  # the one that sums up all steps
        self._follow: Values
        self._settle = settle
        self._rows_a_point = rows_a_point
        self._charts = ControlCharts(t2_limit, mewma_limit)
        self._warm_up: WarmUp | None = WarmUp()
        self._baseline: Baseline
        self._steps: Steps
        self._shift: str | None = None  # in words: it changes seldom, and is asked for often
        self._gathered: Rows | None = None
        self._count = self._returning = 0
        self._patience = 1
        self.phase = Phase.LEARNING
        self.is_alarm = False
        self.news: str | None = None
        """What is new with the latest point, for a person."""
        self.jump: Values | None = None
        """By how much the level has jumped with the latest point, in the unit of the points."""

    def add(self, values: Values) -> None:
        """Take a point."""
        self.news = self.jump = None
        if self._warm_up is not None:
            self._learn(self._warm_up, values)
            return
        charts, baseline = self._charts, self._baseline
        if charts.are_hot(baseline, values):
            self._heat()
        elif self._count or self._returning:
            self._cool()
        else:
            charts.learn()
            baseline.level = vectors.moved(baseline.level, charts.bounded, self._follow)
            if charts.quiet_rows % _DRIFT_LOOK == 0:
                self.news = self._steps.drift(baseline, self._followed())
        if self._gathered is not None and self._gathered.add(values):
            self._look(self._gathered)

    def count(self, jump: Values) -> None:
        """Add a jump, of this scale or a slower one, to those that no person has accepted."""
        self._steps.add(vectors.deviation(jump, _ZERO, self._baseline.spread))
        self._heed_steps()
        if self.phase is Phase.QUIET:
            self._enter(self._phase_at_rest())

    def learning(self) -> tuple[int, int] | None:
        """Points seen, and points after which it looks whether it has learned; None: it has."""
        return None if self._warm_up is None else self._warm_up.progress()

    def shift(self) -> str | None:
        """How far off it runs steadily without a person's consent; None: it does not."""
        return self._shift

    @property
    def spread(self) -> Values | None:
        """The learned standard deviation of points, channel by channel; None: still learning."""
        return self._baseline.spread if self._warm_up is None else None

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The latest numbers, each with its limit; none before there is a baseline."""
        if self._warm_up is not None:
            return {}
        shift = (self._steps.distance(self._baseline), FAR_SPREADS)
        return {**self._charts.statistics(), "shift": shift}

    def _learn(self, warm_up: WarmUp, values: Values) -> None:
        """Judge from the next point on, if there is enough to learn from."""
        if (learned := warm_up.add(values)) is None:
            return
        rows, used = (n * self._rows_a_point for n in (warm_up.rows.seen, learned.rows))
        are_all = learned.rows == warm_up.rows.span
        self.news = words.learned(rows, None if are_all else used, learned.moving)
        self._baseline, self._steps = learned.baseline, Steps(learned.baseline.level)
        self._heed_steps()
        self._enter(Phase.QUIET)

    def _heed_steps(self) -> None:
        """Take in that the sum of the steps is another one."""
        self._follow = self._steps.follow(self._baseline.spread, self._FOLLOW)
        self._shift = self._steps.told(self._baseline)

    def _followed(self) -> Values:
        """How far the level has followed what is slow, in spreads."""
        return self._steps.followed(self._baseline)

    def _heat(self) -> None:
        """Count a hot row: for a return if it is at home at the former level, or for an alarm."""
        charts, baseline = self._charts, self._baseline
        from_former = vectors.added(charts.deviation, self._steps.last)
        t2 = vectors.quadratic(baseline.row_form, from_former)
        if t2 < charts.t2.value and t2 <= charts.t2.limit:
            self._returning += 1
            if self._returning == _RETURN_AT:
                self._jump(self._steps.undo())
                self._rest("back at the former level")
            return
        self._returning = max(0, self._returning - 1)
        self._count = min(self._count + 1, _ALARM_ENDS_AFTER)
        if self.phase is not Phase.ALARM and self._count >= _ALARM_AT:
            self.news = charts.reason(baseline)
            self._enter(Phase.ALARM)

    def _cool(self) -> None:
        """Count a cold row."""
        self._returning, self._count = max(0, self._returning - 1), max(0, self._count - 1)
        if self.phase is Phase.ALARM and self._count == 0:
            self._rest("back at the former level")

    def _look(self, gathered: Rows) -> None:
        """End an alarm if the machine runs steadily at another level."""
        baseline, rows = self._baseline, gathered.kept()
        # Behind a step that was accepted, what is followed may be a fault that grows with pauses.
        followed = self._followed() if self._patience == 1 else _ZERO
        if not is_settled(rows, baseline, followed, gathered.span, self._charts.quiet_rows):
            return
        level = present_level(rows)
        self._steps.last = vectors.deviation(level, baseline.level, baseline.spread)
        self._jump(self._steps.last)
        self._patience = min(2 * self._patience, _PATIENCE[-1])
        self._rest("steady")

    def _jump(self, step: Values) -> None:
        """Take another level for the present one; `step` is in spreads."""
        self.jump = vectors.scaled(step, self._baseline.spread)
        self._move(self.jump)
        self._home.count(self.jump)

    def _move(self, jump: Values) -> None:
        self._baseline.level = vectors.added(self._baseline.level, jump)
        self._charts.restart()

    def _rest(self, how: str) -> None:
        """Be at rest at the present level, and tell it."""
        was_alarm = self.is_alarm
        self._enter(self._phase_at_rest())
        is_far = self._home.phase is Phase.FAR
        self.news = words.at_rest(how, self._home.shift(), was_alarm=was_alarm, is_alarm=is_far)

    def _phase_at_rest(self) -> Phase:
        return Phase.FAR if self._steps.are_far(self._baseline) else Phase.QUIET

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.is_alarm = phase in (Phase.ALARM, Phase.FAR)
        if phase is not Phase.LEARNING:
            self._warm_up = None
        self._gathered = None
        if phase is Phase.ALARM and self._settle:
            self._gathered = Rows(self._settle * self._patience)
        self._returning = 0
        self._count = _ALARM_ENDS_AFTER if phase is Phase.ALARM else 0

    def _rows(self) -> Rows | None:
        """What is gathered at present."""
        return self._gathered if self._warm_up is None else self._warm_up.rows

    def snapshot(self) -> bytes:
        """The whole state, below 3 kB."""
        rows = self._rows()
        numbers = rows.numbers if rows else ()
        counts = self.phase, self._count, self._returning, self._patience, len(numbers)
        head = _HEAD.pack(*counts, rows.seen if rows else 0, self._charts.quiet_rows)
        kept = struct.pack(f"<{len(numbers)}f", *numbers)
        if self._warm_up is not None:
            return head + kept
        learned = *self._baseline.numbers(), *self._charts.numbers(), *self._steps.numbers()
        return head + _LEARNED.pack(*learned) + kept

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot. struct.error or ValueError for what is none."""
        phase, count, returning, patience, kept, seen, quiet = _HEAD.unpack_from(state)
        if patience not in _PATIENCE or max(count, returning) > _ALARM_ENDS_AFTER:
            raise ValueError(f"patience {patience}, counts {count} and {returning}")
        self._patience, self._charts.quiet_rows = patience, quiet
        self._enter(Phase(phase))
        self._count, self._returning = count, returning
        place = _HEAD.size
        if self._warm_up is None:
            numbers = vectors.sound(_LEARNED.unpack_from(state, place))
            self._baseline = Baseline.of(numbers)
            self._charts.take(numbers)
            self._steps = Steps.of(numbers)
            self._heed_steps()
            place += _LEARNED.size
        gathered = vectors.sound(struct.unpack(f"<{kept}f", state[place:]))
        if (rows := self._rows()) is not None:
            rows.take(seen, array("f", gathered))
