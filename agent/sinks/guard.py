"""A watch over the alarm that needs no event loop."""

import contextlib
import threading

from agent.errors import SinkError
from agent.model import Prediction
from agent.sinks.alarm import Alarm

# Often enough beside a time to live of seconds.
_LOOK_S = 0.25

# A look takes microseconds.
_JOIN_S = 1.0


class Guard:
    """Has the alarm go to its safe state in time, also while the loop is held up.

    The loop waits for whoever reads its log: a terminal that is paused, or a
    pipe that is full. A sink by name; owns the thread "alarm".
    """

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alarm", daemon=True)
        self._thread.start()

    def emit(self, prediction: Prediction) -> None:
        """Nothing: the alarm itself follows it."""

    def close(self) -> None:
        """Watch no longer."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def __str__(self) -> str:
        return "the guard of the alarm output"

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            with contextlib.suppress(SinkError):  # the loop says it, when it can
                self._alarm.guard()
