"""What a person or a pin sees of a prediction."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.errors import SinkError
from agent.model import Prediction

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
    """Gives each prediction to every sink. One that fails is said and counted, and harms no other.

    The first failure of a sink in a row is an error, its repeats are debug.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self._refreshes: list[tuple[Sink, Callable[[], None]]] = []
        self._failing: set[object] = set()
        self.failures = 0

    def add(self, sink: Sink, refresh: Callable[[], None] | None = None) -> None:
        """Give predictions to this sink as well, after the others; refresh it, if it changes."""
        self._sinks.append(sink)
        if refresh:
            self._refreshes.append((sink, refresh))

    def missing(self, error: SinkError) -> None:
        """Say and count a sink that cannot be had; everything goes on without it."""
        self.failures += 1
        log.error("%s", error)

    def emit(self, prediction: Prediction) -> None:
        """Give a prediction to each sink."""
        for sink in self._sinks:
            try:
                sink.emit(prediction)
                self._failing.discard(sink)
            except Exception as error:
                self._failed(sink, f"sample {prediction.sample.id}: {sink} failed", error)

    def refresh(self) -> None:
        """Let sinks that change with time do so."""
        for sink, refresh in self._refreshes:
            try:
                refresh()
                self._failing.discard(refresh)
            except Exception as error:
                self._failed(refresh, f"{sink} failed", error)

    def close(self) -> None:
        """Close each sink."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                self.failures += 1
                log.log(logging.ERROR, "%s failed at its end: %s", sink, error)

    def _failed(self, which: object, what: str, error: Exception) -> None:
        self.failures += 1
        level = logging.DEBUG if which in self._failing else logging.ERROR
        log.log(level, "%s: %s", what, error)
        self._failing.add(which)
