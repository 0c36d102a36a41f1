"""Whether the wall clock may be trusted to call a record old."""

from quartet.clock import Clock

# Slewing moves a clock by less than this between two looks; more is a step.
_STEP_S = 60.0

# A machine without a battery for its clock boots in 1970 or at its last shutdown,
# and is set right within minutes: until then history must not be judged by it.
_TRUST_S = 3600.0


class ClockTrust:
    """Whether the wall clock has run undisturbed for long enough to call a record old."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = self._wall_ahead_s()
        self._from_s = clock.monotonic() + _TRUST_S

    def holds(self) -> bool:
        """Look at the clock, and say so. To be asked again and again."""
        ahead_s, now_s = self._wall_ahead_s(), self._clock.monotonic()
        if abs(ahead_s - self._ahead_s) > _STEP_S:
            self._from_s = now_s + _TRUST_S
        self._ahead_s = ahead_s
        return now_s >= self._from_s

    def _wall_ahead_s(self) -> float:
        return self._clock.time_ns() / 1e9 - self._clock.monotonic()
