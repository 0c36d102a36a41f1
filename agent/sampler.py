"""When a sample is taken: an absolute grid on the monotonic clock."""

import logging
from collections.abc import Callable
from typing import Protocol

from agent.clock import Stop, WaitableClock
from agent.model import Reading
from agent.sources import Source
from quartet.channels import as_float32
from quartet.plural import counted

log = logging.getLogger(__name__)

# How often the bus thread shows that it lives while it waits for a far deadline.
_BEAT_NS = 1_000_000_000

# An unpaced source waits here for the link: a few windows keep the link busy,
# and a stop has few samples left to drain.
_UNPACED_AHEAD = 2048
_UNPACED_POLL_NS = 5_000_000

# Overruns that are no further apart are one episode, which is said once.
_QUIET_NS = 60_000_000_000


class Intake(Protocol):
    """Where readings go. Called on the bus thread only."""

    def append(self, reading: Reading) -> None:
        """Keep a reading."""
        ...

    def finish(self) -> None:
        """No reading comes any more."""
        ...

    @property
    def unanswered(self) -> int:
        """How many kept readings have no answer yet."""
        ...


class Sampler:
    """Reads the source at each deadline start + k * period, on the bus thread.

    A deadline that passes while the thread is blocked is an overrun: counted,
    never caught up with, and given no id. With period 0 it reads as fast as
    the link carries; but a source that says when its rows are due is read then,
    and each of them is taken, however late.
    """

    def __init__(
        self,
        source: Source,
        intake: Intake,
        period_ns: int,
        clock: WaitableClock,
        on_start: Callable[[], object],
        *,
        unpaced_ahead: int = _UNPACED_AHEAD,
    ) -> None:
        self._source = source
        self._intake = intake
        self._period_ns = period_ns
        self._clock = clock
        self._stop = Stop()
        self._on_start = on_start
        self._unpaced_ahead = unpaced_ahead
        self._overran_at_ns: int | None = None
        self.overruns = 0  # written by: bus thread
        self.beat_ns = clock.monotonic_ns()  # written by: bus thread

    def stop(self) -> None:
        """Take no further sample. Any thread; a blocked read is not interrupted."""
        self._stop.set()

    def run(self) -> None:
        """Sample until the source ends or stop() is called. The bus thread's main.

        Calls on_start once the first sample is kept. Passes on the source's SourceError.
        """
        begin_ns = deadline_ns = self._clock.monotonic_ns()
        try:
            if self._take(deadline_ns):
                self._on_start()
                while self._take(deadline_ns := self._next_deadline_ns(begin_ns, deadline_ns)):
                    pass
        finally:
            self._intake.finish()
            self._source.close()

    def _take(self, deadline_ns: int) -> bool:
        """Take one sample at its deadline; False at the end."""
        if not self._await(deadline_ns):
            return False
        began_ns, stamp_ns = self._clock.monotonic_ns(), self._clock.time_ns()
        values = self._source.read()
        if values is None:
            return False
        # In the middle of the read, which is when the values were true.
        stamp_ns += (self._clock.monotonic_ns() - began_ns) // 2
        self._intake.append(Reading(as_float32(values), stamp_ns))
        return True

    def _await(self, deadline_ns: int) -> bool:
        """Wait for the deadline, or for room when there is none; False when stopped."""
        while not self._stop.is_set():
            now_ns = self.beat_ns = self._clock.monotonic_ns()
            if self._period_ns or deadline_ns > now_ns:
                wake_ns = min(deadline_ns, now_ns + _BEAT_NS)
            elif self._intake.unanswered < self._unpaced_ahead:
                wake_ns = now_ns
            else:
                wake_ns = now_ns + _UNPACED_POLL_NS
            if wake_ns <= now_ns:
                return True
            self._clock.wait_until(wake_ns, self._stop)
        return False

    def _next_deadline_ns(self, begin_ns: int, deadline_ns: int) -> int:
        """The first deadline after this one that has not passed; the others are overruns.

        Or the moment at which the source has its next row.
        """
        if (due_ns := self._source.due_ns) is not None:
            return begin_ns + due_ns
        if not self._period_ns:
            return deadline_ns
        passed = max(0, self._clock.monotonic_ns() - deadline_ns) // self._period_ns
        if passed:
            self._overran(passed)
        return deadline_ns + (passed + 1) * self._period_ns

    def _overran(self, deadlines: int) -> None:
        """Count; say it once, until it has not happened for a while."""
        self.overruns += deadlines
        now_ns = self._clock.monotonic_ns()
        quiet = self._overran_at_ns is None or now_ns - self._overran_at_ns >= _QUIET_NS
        self._overran_at_ns = now_ns
        log.log(
            logging.WARNING if quiet else logging.DEBUG,
            "%s late (%d in total): this computer is busy, or rate_hz is too high for it",
            counted(deadlines, "reading", "was", "were"),
            self.overruns,
        )
