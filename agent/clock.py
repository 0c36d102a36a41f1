"""A clock that can be waited for: the system's, and one in which a wait takes no time."""

import contextlib
import threading
import time
from typing import Protocol

from quartet.clock import Clock


class Stop:
    """A threading.Event that is set once, and waited for on one thread: a wait costs a third."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether set() was called."""
        return self._is_set

    def set(self) -> None:
        """End the present wait, and all later ones. Any thread, at any time."""
        self._is_set = True
        with contextlib.suppress(RuntimeError):  # it is set already
            self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """Block until it is set, for `timeout_s` at the most."""
        if self._lock.acquire(timeout=timeout_s):
            self._lock.release()


class WaitableClock(Clock, Protocol):
    """A clock whose moments can be waited for. Any thread."""

    def wait_until(self, monotonic_ns: int, stop: Stop) -> None:
        """Block until then, or until the stop is set."""
        ...

    def sleep_until(self, monotonic_ns: int) -> None:
        """Block until then; at once where that has passed."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    # The functions themselves: a method around each would cost every sample several calls.
    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)
    time_ns = staticmethod(time.time_ns)

    def wait_until(self, monotonic_ns: int, stop: Stop) -> None:
        """Block until then, or until the stop is set."""
        stop.wait(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)

    def sleep_until(self, monotonic_ns: int) -> None:
        """Block until then; at once where that has passed."""
        time.sleep(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)


class VirtualClock:
    """Time that passes only while it is waited for: hours in seconds, and always the same."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self.now_ns / 1e9

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        return self.now_ns

    def time_ns(self) -> int:
        """The same, as Unix time."""
        return self.now_ns

    def wait_until(self, monotonic_ns: int, stop: Stop) -> None:
        """Be there at once, unless the stop is set."""
        if not stop.is_set():
            self.sleep_until(monotonic_ns)

    def sleep_until(self, monotonic_ns: int) -> None:
        """Be there at once."""
        self.now_ns = max(self.now_ns, monotonic_ns)
