"""What a person or a pin sees of a prediction."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.errors import SinkError
from agent.model import Prediction
from quartet.clock import Clock
from quartet.outage import Outage

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes each prediction once, in order. Used on the loop only; must not block for long."""

    def emit(self, prediction: Prediction) -> None:
        """Show or write one prediction."""
        ...

    def close(self) -> None:
        """Write out what is held back, and let go."""
        ...


class FanOut:
    """Gives each prediction to every sink. One that fails harms no other: its outage is logged.

    `failures` counts each failure of each sink.
    """

    def __init__(self, sinks: Sequence[Sink], clock: Clock = time) -> None:
        self._sinks = list(sinks)
        self._refreshes: list[tuple[Sink, Callable[[], None]]] = []
        self._clock = clock
        self._outages: dict[object, Outage] = {}  # of what fails now; empty when all is well
        self.failures = 0

    def add(self, sink: Sink, refresh: Callable[[], None] | None = None) -> None:
        """Give predictions to this sink as well, after the others; refresh it, if it changes."""
        self._sinks.append(sink)
        if refresh:
            self._refreshes.append((sink, refresh))

    @property
    def changes_with_time(self) -> bool:
        """Whether any sink needs refresh()."""
        return bool(self._refreshes)

    def do_without(self, error: SinkError) -> None:
        """Log and count a sink that cannot be opened; the others are used without it."""
        self.failures += 1
        log.error("%s", error)

    def emit(self, prediction: Prediction) -> None:
        """Give a prediction to each sink."""
        for sink in self._sinks:
            try:
                sink.emit(prediction)
                if self._outages:
                    self._worked(sink, sink)
            except Exception as error:
                self._failed(sink, f"sample {prediction.sample.id}: {sink} failed", error)

    def refresh(self) -> None:
        """Let sinks that change with time do so."""
        for sink, refresh in self._refreshes:
            try:
                refresh()
                if self._outages:
                    self._worked(refresh, sink)
            except Exception as error:
                self._failed(refresh, f"{sink} failed", error)

    def close(self) -> None:
        """Close each sink."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                self.failures += 1
                log.log(logging.ERROR, "%s failed while it was closed: %s", sink, error)

    def _failed(self, which: object, what: str, error: Exception) -> None:
        self.failures += 1
        outage = self._outages.setdefault(which, Outage(log, self._clock))
        outage.failed("%s: %s", what, error)

    def _worked(self, which: object, sink: Sink) -> None:
        if outage := self._outages.pop(which, None):
            outage.ended("%s works again", sink)
