"""A broker stops while its database is busy, or stands still: what is left, and for how long."""

import asyncio
import selectors
from contextlib import suppress

import asyncpg
from support.fence import HOLD, batch, broker, other, waits
from support.postgres import Database, Server, running
from support.store import header

from broker.recorder.postgres.link import Link, given_up

# A stop may take 15 s by systemd/broker.service, and calls have 4 of them by broker/app.py.
_MOST_S = 11.0

# The commit fails 4.8 s after the stop, just before it would be left alone.
_BEFORE_STOP_S = 5.2

_LOCK = "SELECT pg_advisory_xact_lock(1)"


class _Waits(selectors.DefaultSelector):
    """Waits for what comes; where nothing can come, its waits are over at once, and counted."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0
        self.is_in_vain = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.is_in_vain or not timeout:
            return super().select(timeout)
        events = super().select(0.01)  # of our own end
        self.waited_s += 0.0 if events else timeout
        return events


class _Loop(asyncio.SelectorEventLoop):
    """Its time stands still but for waits, from the moment where these are in vain."""

    def __init__(self) -> None:
        self.waits = _Waits()
        self._began_s = 0.0
        super().__init__(self.waits)

    def time(self) -> float:
        if self.waits.is_in_vain:
            return self._began_s + self.waits.waited_s
        self._began_s = super().time()
        return self._began_s


async def test_a_commit_that_waits_at_a_stop_is_over_when_its_broker_has_left(
    database: Database,
) -> None:
    link = Link(await asyncpg.connect(database.url))
    pid = link.pid
    async with other(database, _LOCK):
        commit = asyncio.create_task(link.commit(_LOCK))
        await waits(database, _LOCK)
        commit.cancel()
        with suppress(asyncio.CancelledError):
            await commit
        await asyncio.gather(link.leave(), given_up())
        assert not await database.select("SELECT 1 FROM pg_stat_activity WHERE pid = $1", pid)


def test_a_stop_beside_a_server_that_stands_still_ends_before_systemd_kills() -> None:
    with running() as server, asyncio.Runner(loop_factory=_Loop) as runner:
        assert runner.run(_stop_beside(server)) <= _MOST_S


async def _stop_beside(frozen: Server) -> float:
    """How long it takes by the loop: a commit is under way, and a line is to be given back."""
    database, loop = await frozen.create(), asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    try:
        async with broker(database, tick_s=100.0) as one:
            claim = await one.claim(header(), "")
            await one.record(batch(claim, 0))
            one.release(await one.claim(header(agent="b"), ""))
            async with other(database, HOLD):
                one.record(batch(claim, 1))
                await waits(database, "WITH")
                frozen.freeze()
                loop.waits.is_in_vain = True
                await asyncio.sleep(_BEFORE_STOP_S)
            began_s = loop.time()
        return loop.time() - began_s
    finally:
        frozen.freeze(thaw=True)
