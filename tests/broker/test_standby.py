"""A standby that confirms each commit: while it is away, and once it is the primary."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import asyncpg
import pytest
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.store import header, sample

from broker.errors import RecordError
from broker.model import Answer
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.records import Batch, Claim

_CONFIRMS = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'"

_IS_CONFIRMED = """
    SELECT current_setting('synchronous_standby_names') = 'ANY 1 (*)'
        AND EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum')
"""

# A broker also says every few seconds that it lives, whatever a test is about.
_WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE wait_event = 'SyncRep' AND query NOT LIKE '%UPDATE brokers SET alive_at%'
"""


class Pair:
    """A primary and its standby."""

    def __init__(self, primary: Server, standby: Server, database: Database) -> None:
        self.primary = primary
        self.standby = standby
        self.database = database

    @property
    def url(self) -> str:
        """Of both."""
        both = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{both}/{self.database.name}"

    async def waiting(self) -> list[int]:
        """The server's processes that wait for the standby, once there are some."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self.waits()):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        return found

    async def waits(self) -> list[int]:
        """Those of this moment."""
        return [pid for (pid,) in await self.database.select(_WAITING)]


@contextmanager
def running_pair() -> Iterator[tuple[Server, Server]]:
    with running() as primary, running(primary) as standby:
        try:
            yield primary, standby
        finally:
            standby.freeze(thaw=True)
            primary.freeze(thaw=True)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """For tests that leave both as they were."""
    with running_pair() as servers:
        yield servers


async def pair_of(primary: Server, standby: Server) -> Pair:
    """Both with a database of the test's own, and each commit to be confirmed from now on."""
    database = await primary.create()
    await database.prepare()
    await primary.command(_CONFIRMS)
    await primary.command("SELECT pg_reload_conf()")
    connection = await asyncpg.connect(primary.url("postgres"))
    async with asyncio.timeout(PATIENCE_S):
        while not await connection.fetchval(_IS_CONFIRMED):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    connection.terminate()
    return Pair(primary, standby, database)


@pytest.fixture
async def pair(servers: tuple[Server, Server]) -> AsyncIterator[Pair]:
    pair = await pair_of(*servers)
    yield pair
    pair.standby.freeze(thaw=True)


def broker(url: str, **more: float) -> PostgresRecorder:
    return PostgresRecorder(url, "d1", FleetKeeping(), **more)


def batch(claim: Claim, *ids: int) -> Batch:
    return Batch(claim, [sample(id_) for id_ in ids], [Answer(id_, id_ % 2 == 1) for id_ in ids])


@pytest.mark.parametrize("ends", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_that_somebody_keeps_from_its_standby_leaves_no_answer(
    ends: str, pair: Pair
) -> None:
    async with broker(pair.url) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        pair.standby.freeze()
        commit = asyncio.ensure_future(one.record(batch(claim, 1)))
        (pid,) = await pair.waiting()
        await pair.database.select(f"SELECT {ends}({pid})")
        with pytest.raises(RecordError, match="cannot record"):
            await commit
        assert not claim.lease.is_good
        pair.standby.freeze(thaw=True)
        fresh = await one.claim(header(2), "")
        assert fresh.last_id == 1
        await one.record(batch(fresh, 2))


async def test_a_claim_leaves_a_commit_alone_that_waits_for_the_standby(pair: Pair) -> None:
    async with broker(pair.url) as one, broker(pair.url, look_s=0.01) as two:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        pair.standby.freeze()
        commit = asyncio.ensure_future(one.record(batch(claim, 1)))
        await pair.waiting()
        claiming = asyncio.create_task(two.claim(header(2), ""))
        await asyncio.wait([claiming, commit], timeout=0.3)  # it has looked some times
        assert not claiming.done()
        assert not commit.done()
        pair.standby.freeze(thaw=True)
        await commit
        assert (await claiming).last_id == 1


async def test_what_is_given_up_while_the_standby_is_away_leaves_nothing_on_the_server(
    pair: Pair,
) -> None:
    """Agents come again and again, and each time somebody waits."""
    async with broker(pair.url) as one:
        pair.standby.freeze()
        for number in range(8):
            claiming = asyncio.create_task(one.claim(header(number), ""))
            await pair.waiting()
            claiming.cancel()
            await asyncio.wait([claiming])
        async with asyncio.timeout(PATIENCE_S):
            while await pair.waits():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        pair.standby.freeze(thaw=True)


async def test_a_broker_says_so_while_no_commit_is_confirmed(pair: Pair) -> None:
    async with broker(pair.url, trouble_s=0.2, tick_s=0.05) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        assert not one.trouble
        pair.standby.freeze()
        commit = asyncio.ensure_future(one.record(batch(claim, 1)))
        async with asyncio.timeout(PATIENCE_S):
            while not one.trouble:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.01)
        (pid,) = await pair.waiting()
        await pair.database.select(f"SELECT pg_cancel_backend({pid})")
        with pytest.raises(RecordError):
            await commit
        assert one.trouble
        await pair.waiting()  # it has connected again, which proves nothing
        assert one.trouble
        pair.standby.freeze(thaw=True)
        async with asyncio.timeout(PATIENCE_S):
            while one.trouble:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.01)


async def test_the_standby_takes_over_while_the_primary_is_frozen() -> None:
    """It accepts connections, and says nothing: the other host is found nevertheless."""
    with running_pair() as servers:
        await _take_over(await pair_of(*servers))


async def _take_over(pair: Pair) -> None:
    async with broker(pair.url) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        pair.primary.freeze()
        await asyncio.to_thread(pair.standby.promote)
        with pytest.raises(RecordError):
            await one.record(batch(claim, 1))
        promoted = Database(pair.standby, pair.database.name)
        await promoted.do("ALTER SYSTEM RESET synchronous_standby_names")
        await promoted.select("SELECT pg_reload_conf()")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(RecordError):
                    fresh = await one.claim(header(1), "")
                    break
        assert fresh.last_id == 0
        await one.record(batch(fresh, 1))
        assert await one.answers(fresh, 0, 9) == [Answer(0, False), Answer(1, True)]
