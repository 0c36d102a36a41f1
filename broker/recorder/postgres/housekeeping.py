"""What one of the brokers does for all: days ahead, and what is too old or too much."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg

from broker.errors import RecordError
from broker.recorder.postgres import bounds, partitions, retention
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.moment import moment
from broker.recorder.postgres.schema import HOUSE_LOCK, LOCKS
from broker.recorder.trust import ClockTrust
from quartet.clock import Clock
from quartet.foreign import shown
from quartet.outage import Outage

log = logging.getLogger(__name__)

# Bounds are counted in hundreds, and ages in days.
HOUSE_S = 60.0

# What takes a look at very many rows is done so seldom.
_RARELY = 10

_TRY = f"SELECT pg_try_advisory_lock({LOCKS}, {HOUSE_LOCK}) AS is_ours"
_END = f"SELECT pg_advisory_unlock({LOCKS}, {HOUSE_LOCK})"


class Housekeeping:
    """Keeps house, unless another broker does at the moment. Loop only."""

    def __init__(
        self,
        borrowed: Callable[[], AbstractAsyncContextManager[Link]],
        keeping: FleetKeeping,
        clock: Clock,
        *,
        every_s: float = HOUSE_S,
    ) -> None:
        """`clock`: the server's time, which is not believed before it has run for a while."""
        self._borrowed = borrowed
        self._keeping = keeping
        self._clock = clock
        self._every_s = every_s
        self._trust = ClockTrust(clock)
        self._outage = Outage(log, clock)
        self._steps = 0

    async def run(self) -> None:
        """Keep house again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with self._borrowed() as link:
                    await self.step(link)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, RecordError) as error:
                self._outage.failed("old samples cannot be deleted: %s", shown(error))
            else:
                self._outage.ended("old samples are deleted again")

    async def step(self, link: Link) -> None:
        """Keep house once."""
        self._steps += 1
        is_trusted = self._trust.holds()
        if not (await link.ask(_TRY))[0]["is_ours"]:
            return
        try:
            now = moment(self._clock.time_ns())
            await partitions.make(link, now.date())
            await bounds.keep_lines(link, self._keeping)
            if self._steps % _RARELY == 0:
                await bounds.keep_rows(link, self._keeping)
            if is_trusted:
                age_days, replay = self._keeping.max_age_days, self._keeping.replay
                await retention.drop_old(link, now, age_days, replay)
        finally:
            if link.is_open:
                await link.ask(_END)
