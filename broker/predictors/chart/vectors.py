"""Four numbers at a time, written out: for so few, that is faster than any loop or library."""

import math
from collections.abc import Iterator, Sequence

from quartet.channels import Values

Quadratic = tuple[float, ...]
"""A symmetric form: its diagonal, then the upper half by rows, doubled; 10 numbers."""


def deviation(values: Values, level: Values, spread: Values) -> Values:
    """How many spreads the values lie above the level."""
    v1, v2, v3, v4 = values
    l1, l2, l3, l4 = level
    s1, s2, s3, s4 = spread
    return (v1 - l1) / s1, (v2 - l2) / s2, (v3 - l3) / s3, (v4 - l4) / s4


def bounded(values: Values, most: float) -> Values:
    """The values, none of them farther from 0 than `most`."""
    v1, v2, v3, v4 = values
    least = -most
    if least <= v1 <= most and least <= v2 <= most and least <= v3 <= most and least <= v4 <= most:
        return values
    return (
        max(least, min(most, v1)),
        max(least, min(most, v2)),
        max(least, min(most, v3)),
        max(least, min(most, v4)),
    )


def moved(values: Values, by: Values, share: Values) -> Values:
    """The values, moved by a share of each number of `by`."""
    v1, v2, v3, v4 = values
    b1, b2, b3, b4 = by
    s1, s2, s3, s4 = share
    return v1 + s1 * b1, v2 + s2 * b2, v3 + s3 * b3, v4 + s4 * b4


def quadratic(form: Quadratic, vector: Values) -> float:
    """The value of a symmetric form at a vector."""
    a, b, c, d = vector
    aa, bb, cc, dd, ab, ac, ad, bc, bd, cd = form
    return (
        a * (aa * a + ab * b + ac * c + ad * d)
        + b * (bb * b + bc * c + bd * d)
        + c * (cc * c + cd * d)
        + d * dd * d
    )


def mean(points: Sequence[Values]) -> Values:
    """Channel by channel."""
    share = 1 / len(points)
    one, two, three, four = map(sum, zip(*points, strict=True))
    return one * share, two * share, three * share, four * share


def added(one: Values, other: Values) -> Values:
    """The sum of both."""
    a1, a2, a3, a4 = one
    b1, b2, b3, b4 = other
    return a1 + b1, a2 + b2, a3 + b3, a4 + b4


def scaled(values: Values, by: Values) -> Values:
    """The product of both, channel by channel."""
    v1, v2, v3, v4 = values
    b1, b2, b3, b4 = by
    return v1 * b1, v2 * b2, v3 * b3, v4 * b4


def opposite(values: Values) -> Values:
    """The same length, the other way."""
    v1, v2, v3, v4 = values
    return -v1, -v2, -v3, -v4


def sound(numbers: Sequence[float]) -> Iterator[float]:
    """The numbers of a state, one after the other. ValueError if one is NaN: it would stay so."""
    if any(map(math.isnan, numbers)):
        raise ValueError("NaN in a state")
    return iter(numbers)


def four(numbers: Iterator[float]) -> Values:
    """The next four numbers."""
    return next(numbers), next(numbers), next(numbers), next(numbers)
