"""A LED that tells how the agent does."""

from collections.abc import Callable
from enum import IntEnum

from agent.model import Prediction
from agent.sinks.alarm import Pin


class Light(IntEnum):
    """What the agent does; the value is in refreshes from on to off, 0 = always on."""

    STREAMING = 0
    FAULT = 1
    CONNECTING = 4


class StatusLed:
    """Blinks while the agent connects, fast at a fault, and is on while it streams. Loop only."""

    def __init__(self, pin: Pin, light: Callable[[], Light]) -> None:
        """The pin is off."""
        self._pin = pin
        self._light = light
        self._refreshes = 0

    def emit(self, prediction: Prediction) -> None:
        """A prediction is not what it shows."""

    def refresh(self) -> None:
        """Take a step; eight times a second."""
        half = int(self._light())
        self._pin.switch(not half or self._refreshes // half % 2 == 0)
        self._refreshes += 1

    def close(self) -> None:
        """Off."""
        try:
            self._pin.switch(False)
        finally:
            self._pin.close()

    def __str__(self) -> str:
        return "the status LED"
