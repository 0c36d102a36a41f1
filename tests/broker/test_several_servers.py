"""Several servers in a URL: which is asked, which is written to, and what a standby can tell."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import asyncpg
import pytest
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.store import header, sample

from broker.model import Answer
from broker.recorder.postgres.hosts import each_of
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.postgres.server import store_error
from broker.records import Batch
from quartet.errors import StoreError

_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'quartet' AND datname = current_database()
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """A primary and its standby, for this file alone."""
    with running() as primary, running(primary) as standby:
        yield primary, standby


@pytest.fixture
async def database(servers: tuple[Server, Server]) -> AsyncIterator[Database]:
    """On the primary, with one agent."""
    primary, standby = servers
    database = await primary.create()
    async with PostgresRecorder(database.url, "d1", FleetKeeping()) as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, prediction=True)]))
    await database.reach(standby)
    yield database
    await database.drop()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def has_sessions(database: Database, count: int) -> bool:
    return await database.select(_SESSIONS) == [(count,)]


async def trouble_of(reader: PostgresReader) -> str:
    """What it says once it cannot tell whether a broker runs."""
    said: list[str] = []

    async def is_said() -> bool:
        try:
            assert await reader.served_since() is None
        except StoreError as error:
            said.append(str(error))
        return bool(said)

    await until(is_said)
    return said[0]


def both(servers: tuple[Server, Server], name: str) -> str:
    return f"postgresql://postgres@{','.join(f'127.0.0.1:{each.port}' for each in servers)}/{name}"


async def test_a_standby_knows_that_a_broker_runs_and_takes_no_command(
    servers: tuple[Server, Server], database: Database
) -> None:
    standby = Database(servers[1], database.name)
    reader = PostgresReader(standby.url)
    async with PostgresRecorder(database.url, "d1", FleetKeeping()):
        await database.reach(standby.server)
        (opened_at_ns,) = (await database.select("SELECT max(opened_at_ns) FROM brokers"))[0]
        since_ns = await reader.served_since()
        assert since_ns is not None
        assert since_ns <= opened_at_ns
        with pytest.raises(StoreError, match="the server is a standby, or read-only: give the"):
            await reader.command_rebase("a")
        with pytest.raises(StoreError, match="the server is a standby, or read-only: give the"):
            await reader.command_forget("a")
    assert [each.agent_id for each in await reader.lines()] == ["a"]
    reader.close()


async def test_a_broker_says_again_and_again_that_it_lives(database: Database) -> None:
    async with PostgresRecorder(database.url, "d1", FleetKeeping(), tick_s=0.01):
        await database.do("UPDATE brokers SET alive_at = now() - interval '6 s'")

        async def is_said() -> bool:
            fresh = "SELECT bool_or(alive_at > now() - interval '5 s') FROM brokers"
            return await database.select(fresh) == [(True,)]

        await until(is_said)


@pytest.mark.parametrize("prefers_standby", [False, True])
async def test_of_two_servers_one_is_read_and_the_primary_commanded(
    prefers_standby: bool, servers: tuple[Server, Server], database: Database
) -> None:
    standby = Database(servers[1], database.name)
    reader = PostgresReader(both(servers, database.name), prefers_standby=prefers_standby)
    await until(lambda: has_sessions(database, 0))  # of those that have made the records
    assert [each.agent_id for each in await reader.lines()] == ["a"]
    asked = [(await each.select(_SESSIONS))[0][0] for each in (database, standby)]
    assert asked == ([0, 1] if prefers_standby else [1, 0])
    assert not await reader.command_rebase("a")
    assert await database.select("SELECT agent_id, name FROM commands") == [("a", "rebase")]
    reader.close()


async def test_a_standby_that_has_all_says_that_no_broker_runs(
    servers: tuple[Server, Server], database: Database
) -> None:
    standby = Database(servers[1], database.name)
    await database.do("UPDATE brokers SET alive_at = now() - interval '40 s'")
    await database.reach(standby.server)
    reader = PostgresReader(standby.url)

    async def is_said() -> bool:
        with suppress(StoreError):  # something has just come that it has yet to replay
            return await reader.served_since() is None
        return False

    await until(is_said)
    reader.close()


async def is_paused(standby: Database) -> bool:
    return await standby.select("SELECT pg_get_wal_replay_pause_state()") == [("paused",)]


async def test_a_standby_that_is_behind_says_so(
    servers: tuple[Server, Server], database: Database
) -> None:
    standby = Database(servers[1], database.name)
    await database.do("UPDATE brokers SET alive_at = now() - interval '3 min'")
    await database.reach(standby.server)
    reader = PostgresReader(standby.url)
    await standby.do("SELECT pg_wal_replay_pause()")
    await until(lambda: is_paused(standby))
    try:
        await database.do("UPDATE brokers SET alive_at = now()")

        said = await trouble_of(reader)  # what it does not replay has yet to come
        told = "this standby is 3 min behind its primary: check the replication"
        assert said == f"{standby.url}: {told}"
    finally:
        await standby.do("SELECT pg_wal_replay_resume()")

    async def is_mended() -> bool:
        with suppress(StoreError):
            return await reader.served_since() is not None
        return False

    await until(is_mended)
    reader.close()


async def test_a_server_that_says_nothing_delays_nobody(database: Database) -> None:
    """As one whose machine is off, or that hangs."""

    left = asyncio.Semaphore(0)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.release()

    mute = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with mute:
        port = mute.sockets[0].getsockname()[1]
        place = f"127.0.0.1:{port},127.0.0.1:{database.server.port}"
        url = f"postgresql://postgres@{place}/{database.name}"
        async with PostgresRecorder(url, "d1", FleetKeeping()) as recorder:
            assert (await recorder.claim(header(), "")).last_id == 0
        reader = PostgresReader(url)
        assert [each.agent_id for each in await reader.lines()] == ["a"]
        reader.close()
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(3):  # a connection for rounds, and two for questions
                await left.acquire()


async def test_a_standby_without_its_primary_says_so() -> None:
    """Its records are of the past, and nobody takes them for the present."""
    with running() as primary, running(primary) as server:
        database = await primary.create()
        await database.prepare()
        standby = Database(server, database.name)
        reader = PostgresReader(standby.url)
        old = "now() - interval '2 min'"
        insert = f"INSERT INTO brokers (name, opened_at_ns, alive_at) VALUES ('b1', 1, {old})"  # noqa: S608
        await database.do(insert)
        await database.reach(standby.server)
        primary.kill()
        assert await trouble_of(reader) == (
            f"{standby.url}: this standby has no connection to its primary, and its records end"
            " 2 min ago: check the primary"
        )
        assert await reader.lines() == []
        both_ = PostgresReader(both((primary, server), database.name), prefers_standby=True)
        with pytest.raises(StoreError, match="no PostgreSQL server answers"):
            await both_.command_rebase("a")
        for each in (reader, both_):
            each.close()


@pytest.mark.parametrize("kind", [asyncpg.QueryCanceledError, asyncpg.SerializationError])
def test_a_question_that_the_server_ended_may_be_tried_again(kind: type[Exception]) -> None:
    """It took too long, or was in the way of what a standby had to replay."""
    error = kind("canceling statement due to conflict with recovery")
    assert str(store_error("postgresql://db2/plant", error)) == (
        "postgresql://db2/plant: the server has ended a question (canceling statement due to"
        " conflict with recovery): try again"
    )


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://u@one/d", ["postgresql://u@one/d"]),
        (
            "postgresql://u@one:1,[::1]:2,two/d?sslmode=require",
            [f"postgresql://u@{host}/d?sslmode=require" for host in ("one:1", "[::1]:2", "two")],
        ),
        ("postgresql:///d?host=one", ["postgresql:///d?host=one"]),
        ("postgresql://one,two", ["postgresql://one", "postgresql://two"]),
    ],
)
def test_each_server_of_a_url(url: str, each: list[str]) -> None:
    assert [*each_of(url)] == each
