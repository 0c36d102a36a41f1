"""Time, passed in: monotonic for durations and cadence, wall time for stamps only."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the sampler asks of time. A test has one that it moves by hand."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step."""
        ...

    def wall_ns(self) -> int:
        """Unix nanoseconds, which may step."""
        ...

    def wait_until(self, monotonic_ns: int, stop: threading.Event) -> None:
        """Block until then, or until the event is set."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Unix nanoseconds, which may step."""
        return time.time_ns()

    def wait_until(self, monotonic_ns: int, stop: threading.Event) -> None:
        """Block until then, or until the event is set."""
        stop.wait(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)
