"""How many samples may wait for their records at a time, of all streams together."""

import asyncio
import time
from collections import deque

from quartet.clock import Clock

# Decoded, a sample takes ten times the memory of its bytes, and Python keeps what it took once.
_MOST_SAMPLES = 512

# Where a commit waits for a slow medium, it must carry more. 512 samples take 10 ms at the most.
_SLOW_S = 0.02
_MOST_WHILE_SLOW = 32


class Backlog:
    """Holds streams back, in their order, while enough samples wait. Loop only."""

    def __init__(self, clock: Clock = time, most: int = _MOST_SAMPLES) -> None:
        self._clock = clock
        self._usual_most = self._most = most
        self._samples = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        """Of streams that wait. The first one stays until it has gone on."""

    async def room(self) -> None:
        """Wait until there is room for the next samples of a stream, however many it has."""
        if not self._queue and self._samples < self._most:
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
            while self._samples >= self._most:  # by the stream that has just gone on
                turn = self._queue[0] = asyncio.get_running_loop().create_future()
                await turn
        finally:
            self._queue.remove(turn)
            self._call_first()

    def add(self, samples: int) -> float:
        """Count samples that wait from now on. Give the time that is returned to remove()."""
        self._samples += samples
        return self._clock.monotonic()

    def remove(self, samples: int, since_s: float) -> None:
        """Count samples that wait no more. If they waited long, the bound is larger from now on."""
        self._samples -= samples
        is_slow = self._clock.monotonic() - since_s >= _SLOW_S
        self._most = self._usual_most * (_MOST_WHILE_SLOW if is_slow else 1)
        if self._queue:
            self._call_first()

    def _call_first(self) -> None:
        if self._queue and self._samples < self._most and not self._queue[0].done():
            self._queue[0].set_result(None)
