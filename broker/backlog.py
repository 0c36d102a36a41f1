"""How many samples may wait for their records at a time, of all streams together."""

import asyncio
from collections import deque

# Decoded, a sample takes ten times the memory of its bytes, and Python keeps what it took once.
# Fewer at a time would be slow where each commit flushes (sync = "full"), which takes a card 20 ms.
_MOST_SAMPLES = 512


class Backlog:
    """Holds streams back, in their order, while enough samples wait. Loop only."""

    def __init__(self, most: int = _MOST_SAMPLES) -> None:
        self._most = most
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

    def add(self, samples: int) -> None:
        """So many more samples wait, until they are removed."""
        self._samples += samples

    def remove(self, samples: int) -> None:
        """So many wait no more."""
        self._samples -= samples
        if self._queue:
            self._call_first()

    def _call_first(self) -> None:
        if self._queue and self._samples < self._most and not self._queue[0].done():
            self._queue[0].set_result(None)
