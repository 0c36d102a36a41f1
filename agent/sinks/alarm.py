"""An output that follows the predictions, for as long as they are of now."""

import logging
import math
import threading
from enum import StrEnum
from typing import Protocol

from agent.config.outputs import AlarmSettings
from agent.model import Prediction
from quartet.clock import Clock

log = logging.getLogger(__name__)


class Pin(Protocol):
    """Something that is on or off. Raises SinkError where it cannot be switched."""

    def switch(self, on: bool) -> None:
        """Be on or off from now."""
        ...

    def close(self) -> None:
        """Drive it no longer."""
        ...


class AlarmState(StrEnum):
    """What the output does, as a person is told."""

    ON = "on"
    OFF = "off"
    STALE = "in its safe state"


# So long the loop may be late with a refresh before another thread acts for it.
_LATE_NS = 500_000_000


class Alarm:
    """A sink that switches a pin. Loop only, but for guard().

    On after `on_after` True in a row, off after `off_after` False. A prediction
    of a sample that is older than `ttl_s`, or in which no sensor could be read, says
    nothing of now, and is left out: the answers of a backlog move nothing. When the
    newest sample that was answered gets as old, the pin goes to its safe state, and
    begins anew from there.
    """

    def __init__(self, settings: AlarmSettings, pin: Pin, clock: Clock) -> None:
        """The pin is in the safe state already."""
        self._settings = settings
        self._pin = pin
        self._clock = clock
        self._ttl_ns = round(settings.ttl_s * 1e9)
        self._safe = settings.safe == "on"
        self._on = self._switched = self._safe
        self._switching = threading.Lock()  # around the pin, never around a log
        self._stale_at_ns: int | None = None
        self._last = False
        self._in_a_row = 0

    @property
    def state(self) -> AlarmState:
        """What the output does."""
        if self._stale_at_ns is None:
            return AlarmState.STALE
        return AlarmState.ON if self._on else AlarmState.OFF

    def reconfigure(self, settings: AlarmSettings) -> None:
        """Go by other times from now; pin and safe state are as before."""
        ttl_ns = round(settings.ttl_s * 1e9)
        if self._stale_at_ns is not None:
            self._stale_at_ns += ttl_ns - self._ttl_ns
        self._settings, self._ttl_ns = settings, ttl_ns

    def emit(self, prediction: Prediction) -> None:
        """Follow a prediction that is of now."""
        age_ns = self._clock.time_ns() - prediction.sample.sampled_at_ns
        # From far in the future is what was stamped before the clock was set right.
        if abs(age_ns) > self._ttl_ns or not any(map(math.isfinite, prediction.sample.values)):
            return
        self._expire()
        if self._stale_at_ns is None:
            log.info("alarm: the output follows the predictions")
        stale_at_ns = self._clock.monotonic_ns() + self._ttl_ns - max(0, age_ns)
        self._stale_at_ns = max(stale_at_ns, self._stale_at_ns or 0)
        self._in_a_row = self._in_a_row + 1 if prediction.value == self._last else 1
        self._last = prediction.value
        needed = self._settings.on_after if self._last else self._settings.off_after
        if self._in_a_row >= needed and self._on != self._last:
            self._on = self._last
            log.info("alarm: %s at sample %d", self.state, prediction.sample.id)
        self._follow()

    def refresh(self) -> None:
        """Go to the safe state when the newest prediction is too old."""
        self._expire()
        self._follow()

    def guard(self) -> None:
        """Switch to the safe state where refresh() should have, and did not come. Any thread."""
        with self._switching:
            stale_at_ns = self._stale_at_ns
            overdue = stale_at_ns and self._clock.monotonic_ns() >= stale_at_ns + _LATE_NS
            if overdue and self._switched != self._safe:
                self._pin.switch(self._safe)
                self._switched = self._safe

    def close(self) -> None:
        """Leave the pin in its safe state. It is switched first: a log may be held up."""
        self._on = self._safe
        try:
            self._follow()
        finally:
            self._pin.close()
        if self._stale_at_ns is not None:
            log.info("alarm: the output is left in its safe state (%s)", self._settings.safe)

    def __str__(self) -> str:
        return "the alarm output"

    def _expire(self) -> None:
        if self._stale_at_ns is None or self._clock.monotonic_ns() < self._stale_at_ns:
            return
        self._stale_at_ns = None
        self._on, self._in_a_row = self._safe, 0
        log.warning(
            "alarm: no prediction in the last %g s: the output is in its safe state (%s)",
            self._settings.ttl_s,
            self._settings.safe,
        )

    def _follow(self) -> None:
        """Switch, also when an earlier try has failed."""
        with self._switching:
            if self._switched != self._on:
                self._pin.switch(self._on)
                self._switched = self._on
