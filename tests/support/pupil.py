"""Black boxes that learn first, then judge by one sensor, and say why."""

from broker.model import Sample

LIMIT = 5.0
"""The value of the second sensor from which on they predict True."""


class Pupil:
    """Learns from three samples."""

    needed = 3

    def __init__(self) -> None:
        self._seen = 0
        self._said: str | None = None

    def predict(self, sample: Sample) -> bool:
        self._seen += 1
        answer = self._seen > self.needed and sample.values[1] >= LIMIT
        self._said = f"sensor2 at {sample.values[1]:g}" if answer else None
        return answer

    def explain(self) -> str | None:
        return self._said

    def learning(self) -> tuple[int, int] | None:
        return (self._seen, self.needed) if self._seen < self.needed else None


class Slow(Pupil):
    """Learns for longer than any test lasts."""

    needed = 10**9


class Settled(Pupil):
    """Has accepted another level once it has learned, which nobody has asked for."""

    def shift(self) -> str | None:
        return "8.2 spreads off (sensor2 +7.9)" if self.learning() is None else None
