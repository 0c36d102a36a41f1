"""What a role or a server has set otherwise, and what becomes of connections: nothing is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from support.patience import PATIENCE_S
from support.postgres import Database, Server
from support.relay import relayed
from support.store import header, sample

from broker.errors import RecordError
from broker.model import Answer
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.records import Batch, Claim

# The broker's own statement says so once, as the server would.
_WARNS = """
    CREATE SEQUENCE times;
    CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('times') = 1 THEN RAISE WARNING 'canceling wait'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER says BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION says()
"""

_SLOW = """
    CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(0.1);
        RETURN NEW;
    END $$;
    CREATE TRIGGER waits BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION waits()
"""


@pytest.fixture
async def own(postgres: Server) -> AsyncIterator[Database]:
    """A database whose tables and settings are this test's alone."""
    database = await postgres.create()
    await database.prepare()
    yield database
    await database.drop()


def broker(url: str, **more: float) -> PostgresRecorder:
    return PostgresRecorder(url, "d1", FleetKeeping(), **more)


def batch(claim: Claim, *ids: int) -> Batch:
    return Batch(claim, [sample(id_) for id_ in ids], [Answer(id_, True) for id_ in ids])


async def test_a_role_that_wants_no_warnings_hears_of_a_commit_that_is_not_confirmed(
    own: Database,
) -> None:
    await own.do(f"{_WARNS}; ALTER DATABASE {own.name} SET client_min_messages = error")
    async with broker(own.url) as one:
        claim = await one.claim(header(), "")
        with pytest.raises(RecordError, match="canceling wait"):
            await one.record(batch(claim, 0))


async def test_a_role_whose_statements_may_not_take_long(own: Database) -> None:
    names = "statement_timeout", "lock_timeout"
    await own.do(_SLOW)
    for name in names:
        await own.do(f"ALTER DATABASE {own.name} SET {name} = '20ms'")
    async with broker(own.url) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))


@asynccontextmanager
async def read_only(server: Server) -> AsyncIterator[None]:
    """It is told to take no more commits, while entered. Its connections stay."""
    await server.command("ALTER SYSTEM SET default_transaction_read_only = on")
    await server.command("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        await server.command("ALTER SYSTEM RESET default_transaction_read_only")
        await server.command("SELECT pg_reload_conf()")


async def test_a_primary_that_is_told_to_be_one_no_more_is_left(
    postgres: Server, own: Database
) -> None:
    """Who went on with its connections would never look for the new one."""
    async with broker(own.url, trouble_s=0.0) as one:
        claim = await one.claim(header(), "")
        async with asyncio.timeout(PATIENCE_S):
            async with read_only(postgres):
                with suppress(RecordError):
                    for number in itertools.count():  # the server hears of it a moment later
                        await one.record(batch(claim, number))
                while "is a standby, or read-only" not in one.trouble:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            while one.trouble:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.01)
        fresh = await one.claim(header(), "")
        await one.record(batch(fresh, (fresh.last_id or 0) + 1))


_HOLDERS = """
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory'
        AND objid IN (SELECT broker FROM brokers)
"""


async def test_a_broker_counts_as_live_once_its_lost_connection_that_had_the_lock_is_gone(
    own: Database,
) -> None:
    """The server may take a while to see that a connection is lost."""
    async with broker(own.url, tick_s=0.01):
        ((lost,),) = await own.select(_HOLDERS)
        await own.select("SELECT pg_terminate_backend($1, 10000)", lost)
        async with asyncio.timeout(PATIENCE_S):
            while not await own.select(_HOLDERS):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


async def test_a_broker_that_others_have_forgotten_is_known_once_it_is_back(own: Database) -> None:
    async with broker(own.url) as one:
        claim = await one.claim(header(), "")
        known = await own.select("DELETE FROM brokers RETURNING broker, name, opened_at_ns")
        await own.lose()
        await own.find()
        async with asyncio.timeout(PATIENCE_S):
            while not await own.select("SELECT 1 FROM brokers"):
                with suppress(RecordError):  # a round finds the connection gone
                    await one.record(batch(claim, 0))
        assert await own.select("SELECT broker, name, opened_at_ns FROM brokers") == known


async def test_the_line_of_a_plain_peer_that_is_cut_amid_its_first_commit_is_given_back(
    own: Database,
) -> None:
    async with broker(own.url, tick_s=0.01) as one:
        claim = await one.claim(None, "1.2.3.4:5")
        commit = one.record(batch(claim, 0))
        one.release(claim)
        await commit
        async with asyncio.timeout(PATIENCE_S):
            while await own.select(  # noqa: ASYNC110 - it tells nobody
                "SELECT 1 FROM lines WHERE owner IS NOT NULL"
            ):
                await asyncio.sleep(0.01)


async def test_a_server_that_falls_silent_while_it_is_looked_at_is_asked_again(
    postgres: Server, own: Database
) -> None:
    swallowed = asyncio.Event()

    def swallow(said: bytes) -> bytes:
        if b"is_standby" not in said or swallowed.is_set():
            return said
        swallowed.set()
        return b""

    async with relayed(postgres.port) as relay:
        url = postgres.url(own.name, port=relay.port)
        async with broker(url, trouble_s=0.0) as one:
            relay.change = swallow
            relay.cut()
            claim = await one.claim(header(), "")
            with pytest.raises(RecordError):
                await one.record(batch(claim, 0))
            async with asyncio.timeout(PATIENCE_S):
                await swallowed.wait()
                while one.trouble:  # noqa: ASYNC110 - it looks by itself
                    await asyncio.sleep(0.01)
            await one.record(batch(await one.claim(header(), ""), 0))
