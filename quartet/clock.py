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


# Before this was written. A Pi has no clock of its own: one that says so is not set.
_NOT_SET = datetime(2024, 1, 1, tzinfo=UTC)


def utc(clock: Clock) -> datetime:
    """The date and time by this clock."""
    return datetime.fromtimestamp(clock.time_ns() / 1e9, UTC)


def stamp(at_ns: int) -> str:
    """A time in Unix ns, to the minute, for a person."""
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"


def was_set(now: datetime) -> bool:
    """Whether a clock that says this has ever been set."""
    return now >= _NOT_SET
