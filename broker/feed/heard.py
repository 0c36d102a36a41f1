"""When an agent was heard, whatever clocks are set meanwhile."""

from broker.judged import S_NS
from broker.recorder.reader import LineState, RecordedSample
from quartet.clock import Clock

# A wall clock that has gone so much otherwise than time does was set.
_STEP_NS = 5 * S_NS


class Heard:
    """Notes when this process heard of an agent's latest sample. One thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_s = clock.monotonic()
        self._was_waiting = False
        """Whether it was there before that sample."""

    def hear(self) -> None:
        """A sample is new."""
        self._at_s, self._was_waiting = self._clock.monotonic(), True

    def take(self, former: LineState, line: LineState) -> None:
        """Take a line as it is on record now."""
        if _name(former.latest) != _name(line.latest):
            self.hear()

    def now_ns(self, latest: RecordedSample | None) -> int:
        """The time by the clock that stamped the latest sample, also where it was set since."""
        now_ns = self._clock.time_ns()
        if latest is None:
            return now_ns
        waited_ns = round((self._clock.monotonic() - self._at_s) * S_NS)
        age_ns = now_ns - latest.arrived_at_ns
        was_set = self._was_waiting and abs(age_ns - waited_ns) > _STEP_NS
        return latest.arrived_at_ns + waited_ns if was_set or age_ns < 0 else now_ns


def _name(sample: RecordedSample | None) -> tuple[str, int, int] | None:
    """What tells a sample from others. Its values do not: NaN is not equal to itself."""
    return (sample.session_id, sample.id, sample.arrived_at_ns) if sample else None
