"""How often an agent's state is told."""

from quartet.clock import Clock
from quartet.mqtt.documents import Present


class Pace:
    """Lets the newest state through once an interval; one with another alarm at once."""

    def __init__(self, interval_s: float, clock: Clock) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._told: Present | None = None
        self._told_at_s = 0.0

    def chosen(self, present: Present) -> Present:
        """The state to tell now: this one, or that of the last time."""
        now_s = self._clock.monotonic()
        told = self._told
        is_due = now_s - self._told_at_s >= self._interval_s
        if told is None or told.alarm != present.alarm or is_due:
            self._told, self._told_at_s = present, now_s
            return present
        return told
