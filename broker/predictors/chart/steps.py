"""What the level of a line has done without a person: steps that were accepted, and drift."""

import math
from collections.abc import Iterator

from broker.predictors.chart import vectors, words
from broker.predictors.chart.baseline import Baseline
from quartet.channels import Values

# Whoever is so far from where it was learned is no longer the same machine, however steadily it
# runs: a person has to say that it is well. A healthy row lies 2 off, and an alarm begins at 4.
FAR_SPREADS = 12.0

# What was followed slowly is told at so many spreads and at each doubling, so that a level that
# goes up and down for years does not fill a log.
_DRIFT_SPREADS = 6.0

# Where a channel is behind a step that no person has accepted, its level follows at half the pace:
# that may have been a fault, which grows again after a pause. Slower still, what drifts besides
# would be an alarm.
_PACE_BEHIND_A_STEP = 1 / 2

_ZERO: Values = (0.0, 0.0, 0.0, 0.0)


class Steps:
    """The steps of a level since it was learned, in spreads."""

    __slots__ = ("drift_told", "first", "last", "shift")

    def __init__(self, first: Values) -> None:
        self.first = first
        """The level as it was learned."""
        self.last = _ZERO
        """The latest step. The level without it is known as good; zero: no other is known."""
        self.shift = _ZERO
        """The sum of all."""
        self.drift_told = _DRIFT_SPREADS
        """How far the level has to be followed before that is told."""

    def add(self, step: Values) -> None:
        """Take a step into the sum."""
        self.shift = vectors.added(self.shift, step)

    def leave(self, step: Values, baseline: Baseline, least: float) -> None:
        """The level goes a step that is none of these; the former one stays where it was.

        If no other is known, it is the one that is left. If its T2 is not above `least` then, it
        is the present one, and no other is known.
        """
        self.last = vectors.added(self.last, step)
        if vectors.quadratic(baseline.row_form, self.last) <= least:
            self.last = _ZERO

    def undo(self) -> Values:
        """Know no former level any more; the step back to it is given."""
        back = vectors.opposite(self.last)
        self.last = _ZERO
        return back

    def numbers(self) -> list[float]:
        """All of it, as 13 numbers."""
        return [*self.first, *self.last, *self.shift, self.drift_told]

    @classmethod
    def of(cls, numbers: Iterator[float]) -> "Steps":
        """What such numbers say."""
        steps = cls(vectors.four(numbers))
        steps.last, steps.shift = vectors.four(numbers), vectors.four(numbers)
        steps.drift_told = next(numbers)
        return steps

    def are_far(self, baseline: Baseline) -> bool:
        """Whether their sum is more than a line accepts by itself."""
        return self.distance(baseline) > FAR_SPREADS

    def distance(self, baseline: Baseline) -> float:
        """How far off their sum is, as a healthy row of this line would see it."""
        return math.sqrt(vectors.quadratic(baseline.row_form, self.shift))

    def follow(self, spread: Values, share: float) -> Values:
        """By how much the level of each channel follows for each spread of a deviation.

        `share` is that of a spread where no step has been accepted.
        """
        one, two, three, four = (
            share * each * (_PACE_BEHIND_A_STEP if abs(step) >= words.SHOWN_SPREADS else 1.0)
            for each, step in zip(spread, self.shift, strict=True)
        )
        return one, two, three, four

    def told(self, baseline: Baseline) -> str | None:
        """Their sum, for a person; None: nothing that matters."""
        distance = self.distance(baseline)
        return words.off(distance, self.shift) if distance >= words.SHOWN_SPREADS else None

    def followed(self, baseline: Baseline) -> Values:
        """How far the level has followed what is slow, in spreads."""
        whole = vectors.deviation(baseline.level, self.first, baseline.spread)
        return vectors.added(whole, vectors.opposite(self.shift))

    def drift(self, baseline: Baseline, followed: Values) -> str | None:
        """What the level has followed, if that is news."""
        distance = math.sqrt(vectors.quadratic(baseline.row_form, followed))
        if distance < self.drift_told:
            return None
        self.drift_told = 2 * distance
        return f"the level has drifted slowly: {words.off(distance, followed)}"
