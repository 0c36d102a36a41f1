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

    def sleep_until(self, monotonic_ns: int) -> None:
        """Block until then; at once where that has passed."""
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

    def sleep_until(self, monotonic_ns: int) -> None:
        """Block until then; at once where that has passed."""
        time.sleep(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)


class VirtualClock:
    """Time that passes only while it is waited for: hours in seconds, and always the same."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        return self.now_ns

    def wall_ns(self) -> int:
        """The same, as Unix time."""
        return self.now_ns

    def wait_until(self, monotonic_ns: int, stop: threading.Event) -> None:
        """Be there at once, unless the event is set."""
        if not stop.is_set():
            self.sleep_until(monotonic_ns)

    def sleep_until(self, monotonic_ns: int) -> None:
        """Be there at once."""
        self.now_ns = max(self.now_ns, monotonic_ns)
