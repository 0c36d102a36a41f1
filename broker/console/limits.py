"""How much at the same time: beyond, a browser is asked to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.console.answers import RefusedError
from quartet.plural import counted

MOST_STREAMS = 64
MOST_DOWNLOADS = 4
MOST_QUESTIONS = 4
MOST_REPLAYS = 1

# A page that shows eight machines asks for all at once.
_MOST_WAITING = 64
_PATIENCE_S = 5.0

# One takes some seconds.
_REPLAY_PATIENCE_S = 20.0


class Turns:
    """A number of turns at the same time. Others are refused, or wait if told to. Loop only."""

    def __init__(self, most: int, what: str, *, patience_s: float = 0.0) -> None:
        """`what` is the noun for one."""
        self._what = what
        self._most = most
        self._patience_s = patience_s
        self._free = asyncio.Semaphore(most)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One of them while entered. RefusedError where there is no room."""
        await self.take()
        try:
            yield
        finally:
            self.give_back()

    async def take(self) -> None:
        """Have room for one more, until it is given back. RefusedError where there is none."""
        if self._free.locked() and (not self._patience_s or self._waiting >= _MOST_WAITING):
            raise self._refusal()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience_s or None):
                await self._free.acquire()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._waiting -= 1

    def give_back(self) -> None:
        """Make room for another one."""
        self._free.release()

    def _refusal(self) -> RefusedError:
        return RefusedError(
            503,
            f"the console is busy with {counted(self._most, self._what)}: try again soon",
            {"Retry-After": "3"},
        )


class Limits:
    """Those of a console."""

    def __init__(self) -> None:
        self.streams = Turns(MOST_STREAMS, "open page")
        self.downloads = Turns(MOST_DOWNLOADS, "download")
        self.questions = Turns(MOST_QUESTIONS, "question", patience_s=_PATIENCE_S)
        self.replays = Turns(MOST_REPLAYS, "replay", patience_s=_REPLAY_PATIENCE_S)
