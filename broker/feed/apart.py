"""When runs of True answers are one alarm: for the book, and for the present."""

# A machine at the edge of its limits is one trouble, not a hundred.
_APART_NS = 10 * 10**9
_APART_PERIODS = 3


def apart_ns(period_ns: int) -> int:
    """So far behind the last True answer another one is another alarm, for a line's period."""
    return max(_APART_NS, _APART_PERIODS * period_ns)
