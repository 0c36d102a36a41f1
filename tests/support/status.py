"""What a reader says of each line, for `broker status` to tell."""

from collections.abc import Sequence

from support.clock import ManualClock

from broker.recorder.reader import (
    LineState,
    PlainAccount,
    RecordedSample,
)

S_NS = 10**9


class Records:
    """A reader of what a test says."""

    def __init__(self, clock: ManualClock, *lines: LineState, served_for_s: float | None = 3600.0):
        self._clock = clock
        self.states: Sequence[LineState] = lines
        self.streams = PlainAccount(0, 0, 0)
        self.takes_s = 0.0
        self.served_since_ns = None if served_for_s is None else self.ago(served_for_s)

    def ago(self, seconds: float) -> int:
        return self._clock.time_ns() - round(seconds * S_NS)

    async def lines(self) -> Sequence[LineState]:
        self._clock.advance(self.takes_s)
        return self.states

    async def plain(self) -> PlainAccount:
        return self.streams

    async def fleet(self) -> None:
        return None

    async def served_since(self) -> int | None:
        return self.served_since_ns


def line(
    clock: ManualClock,
    agent: str = "press-4",
    heard_s: float | None = 0.0,
    kept_s: float = 0.0,
    **more: object,
) -> LineState:
    """A line whose latest sample arrived so long ago, and was taken so long before."""
    latest = None
    if heard_s is not None:
        at_ns = clock.time_ns() - round(heard_s * S_NS)
        prediction = bool(more.pop("prediction", False))
        taken_ns = at_ns - round(kept_s * S_NS)
        latest = RecordedSample(agent, "0" * 32, 7, (0.0,) * 4, taken_ns, at_ns, prediction)
    explanation = more.pop("explanation", None)
    return LineState(agent, "1.2.3.4:5", 0, latest, explanation, **more)  # type: ignore[arg-type]
