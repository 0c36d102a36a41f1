"""A pooler between brokers and their server: refused by all that connect, and it is said why."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support import pgbouncer
from support.postgres import Database, Server

from broker.recorder.opening import open_to_move
from broker.recorder.postgres.inspection import inspect
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.postgres.upkeep import PostgresUpkeep
from quartet.errors import StoreError

pytestmark = pytest.mark.skipif(
    not pgbouncer.is_there(), reason="the Debian package pgbouncer is not installed"
)

# What people set where a program does not start behind the pooler.
_LENIENT = (
    "ignore_startup_parameters = client_min_messages, default_transaction_isolation,"
    " idle_in_transaction_session_timeout, idle_session_timeout, jit, lock_timeout,"
    " statement_timeout, tcp_keepalives_count, tcp_keepalives_idle, tcp_keepalives_interval,"
    " tcp_user_timeout"
)


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    await database.prepare()
    yield database
    await database.drop()


async def record(url: str, _: Path) -> None:
    async with PostgresRecorder(url, "d1", FleetKeeping()):
        pass


async def read(url: str, _: Path) -> None:
    await PostgresReader(url).lines()


async def look(url: str, _: Path) -> None:
    await inspect(url, "normal", 0, "d1", time)


async def check(url: str, _: Path) -> None:
    await asyncio.to_thread(PostgresUpkeep(url).check)


async def move_away(url: str, folder: Path) -> None:
    async with open_to_move(url, folder / "new.db"):
        pass


@pytest.mark.parametrize("settings", ["", _LENIENT])
@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_it_is_refused(
    settings: str, mode: str, database: Database, postgres: Server, tmp_path: Path
) -> None:
    ways: list[Callable[[str, Path], Awaitable[None]]] = [record, read, look, check, move_away]
    with pgbouncer.pooled(postgres, mode, settings) as port:
        url = postgres.url(database.name, port=port)
        for way in ways:
            with pytest.raises(StoreError, match=r"a pooler .*: connect to the server itself"):
                await way(url, tmp_path)
    assert not (tmp_path / "new.db").exists()
