"""Alarms of a line: its True answers, as runs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.feed.apart import apart_ns
from broker.recorder.reader import Strip


@dataclass(slots=True)
class Run:
    """An alarm, known by its line and its beginning."""

    begun_at_ns: int
    latest_at_ns: int
    """Of its last True answer."""
    is_open: bool = True
    """Whether the newest answer of the line is True."""
    samples: int = 0
    """True answers."""
    reason: str | None = None
    """The first explanation of a True answer in it."""


@dataclass(slots=True)
class Tail:
    """Where a line stands behind its samples so far: all that its next alarms depend on."""

    at_ns: int | None = None
    """Of its last sample; None: it had none."""
    gap_ns: int = 0
    """Between that one and the one before."""
    is_true: bool = False
    """The last answer."""
    run: Run | None = None
    """The latest alarm."""

    def follow(self, strip: Strip) -> dict[int, Run]:
        """Take in the next samples of the line, in their order; the alarms that they change.

        By their beginning. The same samples in any parts give the same alarms.
        """
        changed: dict[int, Run] = {}
        if not (self.is_true or any(strip.predictions)):
            self._pass_by(strip.sampled_at_ns[-2:])
            return changed
        said = dict(strip.said)
        answers = zip(strip.sampled_at_ns, strip.predictions, strict=True)
        for number, (at_ns, is_true) in enumerate(answers):
            if is_true:
                run = self._run(at_ns)
                if self.run and self.run is not run and self.run.is_open:
                    self.run.is_open = False  # the clock was set back amid it
                    changed[self.run.begun_at_ns] = self.run
                run.is_open = True
                run.latest_at_ns = max(run.latest_at_ns, at_ns)
                run.samples += 1
                if run.reason is None:
                    run.reason = said.get(number)
                changed[run.begun_at_ns] = self.run = run
            elif self.is_true and self.run:
                self.run.is_open = False
                changed[self.run.begun_at_ns] = self.run
            self._pass_by((at_ns,))
            self.is_true = bool(is_true)
        return changed

    def _run(self, at_ns: int) -> Run:
        """The alarm that a True answer is part of."""
        run = self.run
        if run is None or self.at_ns is None:
            return Run(at_ns, at_ns)
        since_ns = at_ns - run.latest_at_ns
        period_ns = min(self.gap_ns, abs(at_ns - self.at_ns))  # not of a line that was away
        most_ns = apart_ns(period_ns)
        if since_ns > -most_ns and (self.is_true or since_ns < most_ns):
            return run
        return Run(at_ns, at_ns)

    def _pass_by(self, times: Sequence[int]) -> None:
        for at_ns in times:
            if self.at_ns is not None:
                self.gap_ns = abs(at_ns - self.at_ns)
            self.at_ns = at_ns
