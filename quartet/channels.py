"""The four channels that everything here is about."""

from array import array
from collections.abc import Iterable
from struct import Struct

CHANNELS = 4

Values = tuple[float, float, float, float]
"""One value of each channel, taken together. NaN: this reading failed."""

_FLOAT32 = Struct("f")
_pack, _unpack = _FLOAT32.pack, _FLOAT32.unpack

FLOAT32_MAX = 3.4028234663852886e38
"""The largest finite value that the wire can carry."""


def as_float32(values: Iterable[float]) -> Values:
    """Four values as the wire rounds them."""
    first, second, third, fourth = array("f", values)
    return first, second, third, fourth


def shortest(value: float) -> str:
    """The fewest digits that read back as this float32: 7 for most, 9 for all."""
    text = f"{value:.7g}"
    if _unpack(_pack(float(text)))[0] == value:
        return text
    text = f"{value:.8g}"
    return text if _unpack(_pack(float(text)))[0] == value else f"{value:.9g}"
