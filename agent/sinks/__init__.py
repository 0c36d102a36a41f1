"""What a person or a pin sees of a prediction."""

import logging
from collections.abc import Sequence
from typing import Protocol

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
        self._failing: set[Sink] = set()
        self.failures = 0

    def add(self, sink: Sink) -> None:
        """Give predictions to this sink as well, after the others."""
        self._sinks.append(sink)

    def emit(self, prediction: Prediction) -> None:
        """Give a prediction to each sink."""
        for sink in self._sinks:
            try:
                sink.emit(prediction)
                self._failing.discard(sink)
            except Exception as error:
                self.failures += 1
                level = logging.DEBUG if sink in self._failing else logging.ERROR
                log.log(level, "sample %d: %s failed: %s", prediction.sample.id, sink, error)
                self._failing.add(sink)

    def close(self) -> None:
        """Close each sink."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                self.failures += 1
                log.log(logging.ERROR, "%s failed at its end: %s", sink, error)
