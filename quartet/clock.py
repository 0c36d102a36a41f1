"""Time, passed in: monotonic for durations, wall time for stamps only."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the module `time` gives it, which is the clock of a real process.

    A test passes in one that it moves by hand. Any thread.
    """

    def monotonic(self) -> float:
        """Seconds that never step."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step."""
        ...

    def time_ns(self) -> int:
        """Unix nanoseconds, which may step."""
        ...


def utc(clock: Clock) -> datetime:
    """The date and time by this clock."""
    return datetime.fromtimestamp(clock.time_ns() / 1e9, UTC)
