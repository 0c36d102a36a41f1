"""The server's time: one clock for all brokers, however their own are set."""

import time
from datetime import UTC, datetime, timedelta

from quartet.clock import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ServerClock:
    """The server's wall time as of the latest look, and what this machine has counted since."""

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        self._ahead_ns = 0

    def set(self, now: datetime) -> None:
        """The server has just said what time it is."""
        self._ahead_ns = ns_of(now) - self._clock.monotonic_ns()

    def monotonic(self) -> float:
        """Seconds that never step."""
        return self._clock.monotonic()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step."""
        return self._clock.monotonic_ns()

    def time_ns(self) -> int:
        """Unix nanoseconds by the server."""
        return self._ahead_ns + self._clock.monotonic_ns()


def moment(at_ns: int) -> datetime:
    """Unix nanoseconds as the server takes them: in microseconds."""
    return _EPOCH + at_ns // 1000 * _MICROSECOND


def ns_of(at: datetime) -> int:
    """The same in Unix nanoseconds."""
    return (at - _EPOCH) // _MICROSECOND * 1000
