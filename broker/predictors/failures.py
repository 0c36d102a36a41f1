"""What the built-in black boxes make of a row that is no measurement."""

from quartet.channels import FLOAT32_MAX, Values

FAILED_AT = 3
"""So many rows in a row without a value on some channel are news by themselves; fewer are a
loose contact, and change nothing."""


def is_measured(values: Values) -> bool:
    """Whether all four are numbers: neither NaN nor infinite."""
    first, second, third, fourth = values
    return (
        -FLOAT32_MAX <= first <= FLOAT32_MAX
        and -FLOAT32_MAX <= second <= FLOAT32_MAX
        and -FLOAT32_MAX <= third <= FLOAT32_MAX
        and -FLOAT32_MAX <= fourth <= FLOAT32_MAX
    )


def failed_channels(values: Values) -> list[int]:
    """The channels without a value, from 0."""
    return [j for j, each in enumerate(values) if not -FLOAT32_MAX <= each <= FLOAT32_MAX]
