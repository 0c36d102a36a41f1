"""An output that follows the predictions, for as long as they are of now."""

import logging
import math
import threading
from typing import Protocol

from agent.config.outputs import AlarmSettings
from agent.errors import SinkError
from agent.model import Prediction, Sample
from agent.sinks.latch import Hold, Latch, record
from agent.state import AlarmState, Outcome, Release
from quartet.clock import Clock, stamp
from quartet.duration import lasted

log = logging.getLogger(__name__)


class Pin(Protocol):
    """Something that is on or off. Raises SinkError where it cannot be switched."""

    def switch(self, on: bool) -> None:
        """Be on or off from now."""
        ...

    def close(self) -> None:
        """Drive it no longer."""
        ...


# So long the loop may be late with a refresh before another thread acts for it.
_LATE_NS = 500_000_000


class Alarm:
    """A sink that switches a pin. Loop only, but for guard().

    On after `on_after` True in a row, off after `off_after` False. A prediction
    of a sample that is older than `ttl_s`, or in which no sensor could be read, says
    nothing of now, and is left out: the answers of a backlog move nothing. When the
    newest sample that was answered gets as old, the pin goes to its safe state, and
    begins anew from there.

    With a latch, True holds the pin on: over False, over silence and over a restart, until
    release().
    """

    def __init__(
        self, settings: AlarmSettings, pin: Pin, clock: Clock, latch: Latch | None = None
    ) -> None:
        """The pin is on already if it is held, and otherwise in the safe state."""
        self._settings = settings
        self._latch = latch
        self._pin = pin
        self._clock = clock
        self._ttl_ns = round(settings.ttl_s * 1e9)
        self._safe = settings.safe == "on"
        self._on = self._safe  # without the latch
        self._switched = self._wanted
        self._switching = threading.Lock()  # around the pin, never around a log
        self._stale_at_ns: int | None = None
        self._last = False
        self._in_a_row = 0
        if hold := self.hold:
            record.warning(
                "alarm: the output is held since %s, from before this start; 'agent release'"
                " releases it",
                stamp(hold.since_ns),
                extra=_fields(AlarmState.HELD),
            )

    @property
    def hold(self) -> Hold | None:
        """What holds the output on; None where nothing does."""
        return self._latch.hold if self._latch else None

    @property
    def state(self) -> AlarmState:
        """What the output does."""
        if self.hold:
            return AlarmState.HELD
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
            self._on = self._on or self.hold is not None  # until False ends it: see release()
        stale_at_ns = self._clock.monotonic_ns() + self._ttl_ns - max(0, age_ns)
        self._stale_at_ns = max(stale_at_ns, self._stale_at_ns or 0)
        self._in_a_row = self._in_a_row + 1 if prediction.value == self._last else 1
        self._last = prediction.value
        needed = self._settings.on_after if self._last else self._settings.off_after
        if self._in_a_row >= needed:
            if self._on != self._last:
                self._on = self._last
                word = AlarmState.ON if self._on else AlarmState.OFF
                log.info("alarm: %s at sample %d", word, prediction.sample.id)
            if self._on:
                self._engage(prediction.sample)
        self._follow()

    def refresh(self) -> None:
        """Go to the safe state when the newest prediction is too old."""
        self._expire()
        self._follow()
        if self._latch and (trouble := self._latch.trouble):
            raise SinkError(trouble)

    def release(self, who: str) -> Release:
        """Let go of what is held, where the predictions alone would not have it on. On record."""
        self._expire()
        hold = self.hold
        if self._latch is None or hold is None:
            return Release(Outcome.NOT_HELD, None, self.state)
        since = stamp(hold.since_ns)
        if self._on and self._stale_at_ns is not None:
            record.warning(
                "alarm: %s asks to release the output, held since %s: it stays on, because the"
                " alarm is not over",
                who,
                since,
                extra=_fields(AlarmState.HELD, who),
            )
            return Release(Outcome.NOT_OVER, hold.since_ns, self.state)
        self._latch.release()
        record.warning(
            "alarm: %s releases the output, held since %s, for %s",
            who,
            since,
            lasted((self._clock.time_ns() - hold.since_ns) / 1e9),
            extra=_fields("released", who),
        )
        return Release(Outcome.RELEASED, hold.since_ns, self.state)

    def guard(self) -> None:
        """Switch to the safe state where refresh() should have, and did not come. Any thread."""
        with self._switching:
            stale_at_ns = self._stale_at_ns
            overdue = stale_at_ns and self._clock.monotonic_ns() >= stale_at_ns + _LATE_NS
            safe = self._safe or self.hold is not None
            if overdue and self._switched != safe:
                self._pin.switch(safe)
                self._switched = safe

    def close(self) -> None:
        """Leave the pin in its safe state, or held. It is switched first: a log may be held up."""
        self._on = self._safe
        try:
            self._follow()
        finally:
            self._pin.close()
        if self.hold:
            log.warning(
                "alarm: the output is held, but until the next start of the agent nothing drives"
                " its pin: only the resistor at the pin keeps a level"
            )
        elif self._stale_at_ns is not None:
            log.info("alarm: the output is left in its safe state (%s)", self._settings.safe)

    def __str__(self) -> str:
        return "the alarm output"

    def _expire(self) -> None:
        if self._stale_at_ns is None or self._clock.monotonic_ns() < self._stale_at_ns:
            return
        self._stale_at_ns = None
        self._on, self._in_a_row = self._safe, 0
        outcome = "is held on" if self.hold else f"is in its safe state ({self._settings.safe})"
        log.warning(
            "alarm: no prediction in the last %g s: the output %s", self._settings.ttl_s, outcome
        )

    def _engage(self, sample: Sample) -> None:
        if self._latch is None or self._latch.hold:
            return
        self._latch.engage(Hold(self._clock.time_ns(), sample.session.id, sample.id))
        record.warning(
            "alarm: the output is held on from sample %d, until 'agent release'",
            sample.id,
            extra=_fields(AlarmState.HELD),
        )

    @property
    def _wanted(self) -> bool:
        return self._on or self.hold is not None

    def _follow(self) -> None:
        """Switch, also when an earlier try has failed."""
        with self._switching:
            wanted = self._wanted
            if self._switched != wanted:
                self._pin.switch(wanted)
                self._switched = wanted


def _fields(output: str, who: str = "") -> dict[str, dict[str, str]]:
    """What journald is told of an entry on the record."""
    fields = {"ALARM_OUTPUT": output}
    return {"journal_fields": fields | {"ASKED_BY": who} if who else fields}
