"""The four channels that everything here is about."""

from array import array
from collections.abc import Iterable

CHANNELS = 4

Values = tuple[float, float, float, float]
"""One value of each channel, taken together. NaN: this reading failed."""

FLOAT32_MAX = 3.4028234663852886e38
"""The largest finite value that the wire can carry."""


def as_float32(values: Iterable[float]) -> Values:
    """Four values as the wire rounds them."""
    first, second, third, fourth = array("f", values)
    return first, second, third, fourth


def shortest(value: float) -> str:
    """The fewest digits that read back as this float32: 7 for most, 9 for all."""
    for digits in (7, 8):
        text = f"{value:.{digits}g}"
        if array("f", [float(text)])[0] == value:
            return text
    return f"{value:.9g}"
