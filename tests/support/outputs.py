"""An alarm output without hardware: a pin that keeps what it was told, and predictions."""

import math
from collections.abc import Callable

from agent.clock import VirtualClock
from agent.errors import SinkError
from agent.model import Prediction, Sample, Session
from quartet.channels import Values

S = 1_000_000_000


class RecordingPin:
    """A peer of GpioPin that keeps what it was told, and fails when it is to."""

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
        self.switches: list[bool] = []
        self.broken = False
        self.closed = False
        self.on_switch: Callable[[], None] = lambda: None

    def switch(self, on: bool) -> None:
        if self.broken:
            raise SinkError("the pin cannot be switched")
        self.on = on
        self.switches.append(on)
        self.on_switch()

    def close(self) -> None:
        self.closed = True


class SteppedClock(VirtualClock):
    """A virtual clock whose wall time a test can step."""

    step_ns = 0

    def time_ns(self) -> int:
        return 10**18 + self.now_ns + self.step_ns


def prediction(
    value: bool, sampled_at_ns: int, values: Values = (0.0, math.nan, 0.0, 0.0)
) -> Prediction:
    session = Session(1, "0" * 32, S, sampled_at_ns)
    return Prediction(Sample(session, 0, values, sampled_at_ns), value, 1000)
