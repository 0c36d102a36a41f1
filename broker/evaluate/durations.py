"""How long something took, many times over, in little memory."""

from collections import Counter

# Binary digits that are kept of a duration. The error is below a sixteenth.
_DIGITS = 5


class Durations:
    """Counts durations in ns, rounded."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, took_ns: int) -> None:
        """Take one more."""
        shift = max(0, took_ns.bit_length() - _DIGITS)
        self._counts[took_ns >> shift << shift] += 1

    def quantile_us(self, share: float) -> float:
        """In us, at least so long as this share of them took; 0 where there are none."""
        left = share * self._counts.total()
        for took_ns, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return took_ns / 1e3
        return 0.0
