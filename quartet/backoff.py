"""How long to wait before the next try."""

import random


class Backoff:
    """Exponential backoff with full jitter: uniform in 0..limit, the limit doubling to a maximum.

    Source: Brooker, "Exponential Backoff And Jitter", 2015.
    """

    def __init__(self, min_s: float, max_s: float, chance: random.Random) -> None:
        self._min_s = min_s
        self.max_s = max_s
        self._chance = chance
        self._limit_s = min_s

    def next_s(self) -> float:
        """Give the next delay in seconds, and raise the limit of the one after."""
        delay_s = self._chance.uniform(0, self._limit_s)
        self._limit_s = min(2 * self._limit_s, self.max_s)
        return delay_s

    def reset(self) -> None:
        """Start over from the shortest delay."""
        self._limit_s = self._min_s
