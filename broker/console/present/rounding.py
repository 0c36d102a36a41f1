"""Numbers and times as a page is told them."""

import math

# Enough for a label and for a pixel; more only costs bandwidth.
_DIGITS = 5

_TENTHS_OF_MS = 100_000


def figure(value: float) -> float | None:
    """A number with 5 significant digits; None for NaN. An infinity stays one."""
    if math.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return None if math.isnan(value) else value


def ms(at_ns: int) -> float:
    """Unix ms with one decimal place."""
    return round(at_ns / _TENTHS_OF_MS) / 10


def ms_or_none(at_ns: int | None) -> float | None:
    """The same, where there is a time."""
    return None if at_ns is None else ms(at_ns)
