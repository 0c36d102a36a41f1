"""Another program that reads a virtual chip: one start, questions until it is ready, one result."""

from collections.abc import Callable, Sequence

from agent.sources.channel import COMPARATOR_OFF, GAIN, MUX, SINGLE_SHOT, START
from agent.sources.virtual.chip import VirtualAds1115

_CONVERSION, _CONFIG = 0, 1

# From the end of one of its transfers to the next one.
_BETWEEN_NS = 400_000

CONFIGS = tuple(
    START | MUX[pin] | GAIN["2/3"] | SINGLE_SHOT | 0x0080 | COMPARATOR_OFF for pin in (0, 1, 2, 3)
)
"""Each pin in turn, at the data rate that most libraries choose."""


class Reader:
    """Reads whenever `next_begin` says so, and not while a transfer of ours is on the bus.

    `next_begin(at_ns)` is the first moment from then on at which it reads; None: never
    again. With `asleep_ns` it does not ask, but sleeps for so long before it fetches.
    """

    def __init__(
        self,
        chip: VirtualAds1115,
        next_begin: Callable[[int], int | None],
        configs: Sequence[int] = CONFIGS,
        *,
        asleep_ns: int = 0,
    ) -> None:
        self._chip = chip
        self._next_begin = next_begin
        self._configs = configs
        self._asleep_ns = asleep_ns
        self._is_waiting = False
        self._due_ns: int | None = None
        self.readings = 0

    def advance(self, free_ns: int, now_ns: int) -> None:
        """Do what is due from `free_ns`, since when the bus is free, until now."""
        at_ns = self._next(free_ns)
        while at_ns is not None and at_ns <= now_ns:
            if self._is_waiting:
                self._fetch(at_ns)
            else:
                self._start(at_ns)
            free_ns = at_ns
            at_ns = self._next(free_ns)

    def _next(self, free_ns: int) -> int | None:
        if self._due_ns is None:
            self._due_ns = self._next_begin(free_ns)
        return None if self._due_ns is None else max(self._due_ns, free_ns)

    def _start(self, at_ns: int) -> None:
        config = self._configs[self.readings % len(self._configs)]
        self._chip.write(bytes((_CONFIG, config >> 8, config & 0xFF)), at_ns)
        self._is_waiting = True
        self._due_ns = at_ns + (self._asleep_ns or _BETWEEN_NS)

    def _fetch(self, at_ns: int) -> None:
        if not self._asleep_ns:
            self._chip.write(bytes((_CONFIG,)), at_ns)
            if not self._chip.read(2, at_ns)[0] & START >> 8:
                self._due_ns = at_ns + _BETWEEN_NS
                return
        self._chip.write(bytes((_CONVERSION,)), at_ns)
        self._chip.read(2, at_ns)
        self.readings += 1
        self._is_waiting = False
        self._due_ns = self._next_begin(at_ns + 1)
