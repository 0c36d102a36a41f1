"""A console over the database of several brokers: servers that go, come back, or only read."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chain import Chain
from support.console import Streaming, make_store, served
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.store import header, sample, send_on
from support.stores import lines_of

_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'quartet' AND datname = current_database()
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """One that a test may kill."""
    with running() as server:
        yield server


async def told(stream: Streaming, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What a page is told of the store, once it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            store = (await stream.tick()).get("store")
            if store and holds(store):
                return store  # type: ignore[no-any-return]


async def is_left(database: Database) -> None:
    """Return once the server has ended the sessions of those that have made the records."""
    async with asyncio.timeout(PATIENCE_S):
        while await database.select(_CONNECTIONS) != [(0,)]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def test_a_server_that_dies_is_said_and_all_is_well_once_it_is_back(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = await server.create()
    await make_store(database.url)
    async with served(tmp_path, store=database.url) as site:
        stream = await site.stream()
        first = await told(stream, lambda store: "no broker runs" in store["stale"])
        assert not first["running"]
        server.kill()
        said = await told(stream, lambda store: "no PostgreSQL server answers" in store["stale"])
        assert said["stale"].startswith(f"{database.url}: no PostgreSQL server answers (")
        reply = await site.get("/api/agent/a")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
        assert "no PostgreSQL server answers" in reply.error
        assert (await site.get("/")).status == 200
        server.restart()
        async with lines_of(database.url, Chain) as lines:
            await told(stream, lambda store: store["running"] and not store["stale"])
            with await lines.open(header(40)) as sending:
                await send_on(sending, [sample(40)])
            assert (await site.get("/api/agent/a")).status == 200
    assert "Traceback" not in caplog.text
    assert "internal error" not in caplog.text


async def test_however_many_ask_the_server_has_few_connections(
    postgres: Server, tmp_path: Path
) -> None:
    database = await postgres.create()
    await make_store(database.url, ["a", "b"], samples=200)
    await is_left(database)
    async with served(tmp_path, store=database.url) as site:
        paths = ["/api/agent/a", "/api/agent/b/history?from=0&to=1000&px=10", "/api/alarms"]
        replies = await asyncio.gather(*(site.get(path) for path in paths * 8))
        assert {reply.status for reply in replies} <= {200, 503}  # busy
        ((count,),) = await database.select(_CONNECTIONS)
        assert count <= 4
    await database.drop()


async def test_where_only_a_standby_is_known_a_reset_is_refused_and_all_else_works(
    server: Server, tmp_path: Path
) -> None:
    database = await server.create()
    with running(server) as standby:
        await make_store(database.url)
        await database.reach(standby)
        await is_left(database)
        both = f"127.0.0.1:{standby.port},127.0.0.1:{server.port}"
        for url, status in (
            (standby.url(database.name), 503),
            (f"postgresql://postgres@{both}/{database.name}", 200),
        ):
            folder = tmp_path / str(status)
            folder.mkdir()
            async with served(folder, store=url) as site:
                assert len((await site.get("/api/agent/a")).json["sessions"]) == 1
                assert await database.select(_CONNECTIONS) == [(0,)]  # the primary is spared
                note = {"by": "shift-a", "at": 10, "text": "oil"}
                assert (await site.post("/api/agent/a/notes", note)).status == 200
                reply = await site.post("/api/agent/a/rebase", {"by": "shift-a"})
                assert reply.status == status
                if status == 503:
                    assert "give the address of the primary, or of all servers" in reply.error
    assert await database.select("SELECT agent_id, name FROM commands") == [("a", "rebase")]
