"""What the built-in black boxes make of a row that is no measurement."""

import math

from quartet.channels import Values

FAILED_AT = 3
"""So many rows in a row without a value on some channel are news by themselves; fewer are a
loose contact, and change nothing."""


def is_measured(values: Values) -> bool:
    """Whether all four are numbers: neither NaN nor infinite.

    A sum of float32 does not overflow here: it is finite exactly if all of them are.
    """
    first, second, third, fourth = values
    return math.isfinite(first + second + third + fourth)


def failure(values: Values) -> str:
    """What to say of the last of so many rows."""
    failed = [f"sensor{n}" for n, value in enumerate(values, 1) if not math.isfinite(value)]
    return f"{', '.join(failed)}: no value, {FAILED_AT} rows in a row"
