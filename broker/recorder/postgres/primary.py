"""The connection for rounds: to the server that can be written to, whichever that is now."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import asyncpg

from broker.errors import RecordError
from broker.recorder.postgres.link import Link
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.foreign import shown
from quartet.outage import Outage

log = logging.getLogger(__name__)

# A round waits for a connection that is being made again, and not for a server that is away: its
# agents find another broker, or try again.
_ROUND_WAITS_S = 1.0

# A server that has just died is asked again soon, and seldom enough to cost nothing.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0

# What passes by itself within this is no trouble.
TROUBLE_S = 5.0

UNCONFIRMED = (
    "the server does not confirm a commit: look at its disk, and at the standbys in"
    " synchronous_standby_names"
)


class Primary:
    """Connects, and connects again. Loop only."""

    def __init__(
        self,
        url: str,
        connect: Callable[[], Awaitable[Link]],
        clock: Clock = time,
        *,
        trouble_s: float = TROUBLE_S,
    ) -> None:
        """`connect` raises StoreError."""
        self._url = url
        self._connect = connect
        self._clock = clock
        self._trouble_s = trouble_s
        self._link: Link | None = None
        self._is_there = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._lost_at_s = 0.0
        self._why = ""
        self._outage = Outage(log, clock)

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded, once that has lasted; empty otherwise."""
        if self._link:
            waits = self._link.uncertain_s > self._trouble_s
            return f"{self._url}: {UNCONFIRMED}" if waits else ""
        return "" if self._clock.monotonic() - self._lost_at_s < self._trouble_s else self._why

    async def open(self) -> None:
        """Connect for the first time. StoreError."""
        self._link = await self._connect()
        self._is_there.set()

    async def link(self) -> Link:
        """The connection, once there is one. RecordError where that takes too long."""
        if self._link and not self._link.is_open:
            self.lose("the server has ended the connection")
        try:
            async with asyncio.timeout(_ROUND_WAITS_S):
                await self._is_there.wait()
        except TimeoutError:
            raise RecordError(self._why) from None
        assert self._link  # noqa: S101 - it is there
        return self._link

    def lose(self, why: str) -> None:
        """Give the connection up: it is lost, or nobody knows what it is doing."""
        if self._link is None:
            return
        self._lost_at_s = self._clock.monotonic() - self._link.uncertain_s
        self._why = f"{self._url}: {why}"
        self._link.give_up()
        self._link = None
        self._is_there.clear()
        self._is_lost.set()

    async def keep(self) -> None:
        """Connect again whenever the connection is lost, until cancelled."""
        while True:
            await self._is_lost.wait()
            self._is_lost.clear()
            pause_s = _FIRST_PAUSE_S
            while not await self._try():
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def leave(self) -> None:
        """End it, and return when the server has."""
        if self._link:
            await self._link.leave()

    async def _try(self) -> bool:
        """Connect; whether that went well."""
        try:
            self._link = await self._connect()
        except (StoreError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            self._why = shown(error)
            self._outage.failed("nothing can be recorded: %s", shown(error))
            return False
        self._is_there.set()
        self._outage.ended("%s: connected again", self._url)
        return True
