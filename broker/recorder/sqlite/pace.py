"""Whether commits are quick enough to be made on the event loop."""

from quartet.clock import Clock

# A loop that stands still for longer delays all agents. A quick commit takes a tenth of this.
QUICK_S = 0.02

# A card that was slow once is slow again soon: by then its own housekeeping is over.
_PROBATION_S = 10.0


class Pace:
    """Judges commits by their time. With the turn at the store held; `is_quick`: any thread."""

    def __init__(self, clock: Clock, quick_s: float = QUICK_S) -> None:
        """Quick is what takes less than `quick_s`; 0: no commit is."""
        self._clock = clock
        self._quick_s = quick_s
        self._slow_at_s = clock.monotonic()
        self.is_quick = quick_s > 0
        """Whether the next commit may be made on the loop."""

    def took(self, seconds: float) -> None:
        """A commit held the loop for so long, or would have, as it was on the thread."""
        if seconds >= self._quick_s:
            self.was_slow()
        elif not self.is_quick and self._clock.monotonic() - self._slow_at_s >= _PROBATION_S:
            self.is_quick = True

    def was_slow(self) -> None:
        """A commit was slow, or could not be made at once."""
        self._slow_at_s = self._clock.monotonic()
        self.is_quick = False
