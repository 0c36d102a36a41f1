"""A fixed band for each channel."""

import math
from array import array
from collections.abc import Sequence

from broker.model import Sample
from quartet.channels import CHANNELS

Bound = float | Sequence[float]


class Limits:
    """True when a channel leaves low..high, both included, or is not finite.

    `low` and `high` are one number for all channels or one for each, in the
    unit of the samples. The default fits dataset/sensors.csv.
    """

    def __init__(self, low: Bound = 0.0, high: Bound = 0.2) -> None:
        self._bands = list(zip(_each("low", low), _each("high", high), strict=True))
        if not all(low < high for low, high in self._bands):
            raise ValueError("low must be below high on every channel")

    def predict(self, sample: Sample) -> bool:
        """Whether any channel is out of its band."""
        return not all(
            low <= value <= high and math.isfinite(value)
            for value, (low, high) in zip(sample.values, self._bands, strict=True)
        )

    def snapshot(self) -> bytes:
        """Nothing: there is no state."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to do."""


def _each(name: str, bound: Bound) -> list[float]:
    bounds = list(bound) if isinstance(bound, Sequence) else [bound] * CHANNELS
    if len(bounds) != CHANNELS or not all(isinstance(b, int | float) for b in bounds):
        raise ValueError(f"{name} must be one number, or a list of {CHANNELS}, got {bound!r}")
    return list(array("f", bounds))  # as the wire rounds a value at the bound
