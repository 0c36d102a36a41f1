"""Servers and databases that a broker must not use: each is refused, and it is said why."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.relay import relayed
from support.store import header, sample

from broker.model import Answer
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.records import Batch
from quartet.errors import NewerSchemaError, StoreError


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


async def refused(url: str, **keeping: str) -> str:
    with pytest.raises(StoreError) as raised:
        async with PostgresRecorder(url, "d1", FleetKeeping(**keeping)):
            pass
    return str(raised.value)


async def test_no_server(postgres: Server) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = postgres.url("plant", port=nobody.getsockname()[1])
        told = await refused(url)
    assert told.startswith(f"{url}: no PostgreSQL server answers (")
    assert told.endswith("): start it, or correct the address")


async def test_no_database(postgres: Server) -> None:
    told = await refused(postgres.url("nowhere"))
    assert told.endswith("database \"nowhere\" does not exist: create it with 'createdb'")


async def test_something_that_is_no_postgresql_server(postgres: Server) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        told = await refused(postgres.url("plant", port=server.sockets[0].getsockname()[1]))
    assert "127.0.0.1" in told


@pytest.mark.parametrize(
    ("variable", "said"), [("", ""), ("PGPASSFILE", "wrong"), ("CREDENTIALS_DIRECTORY", "right")]
)
async def test_a_wrong_password(
    variable: str, said: str, database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It is in the file that PGPASSFILE names, or that systemd puts beside the service."""
    patch, caplog = (request.getfixturevalue(name) for name in ("monkeypatch", "caplog"))
    await database.do(
        "DO $$ BEGIN CREATE ROLE guarded LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
        f"ALTER ROLE guarded PASSWORD 'right'; ALTER DATABASE {database.name} OWNER TO guarded"
    )
    patch.delenv("PGPASSFILE", raising=False)
    patch.setenv("HOME", str(tmp_path))
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:guarded:{said}\n")
    file.chmod(0o600)
    if variable:
        patch.setenv(variable, str(file if variable == "PGPASSFILE" else tmp_path))
    url = database.server.url(database.name, "guarded")
    if said == "right":
        async with PostgresRecorder(url, "d1", FleetKeeping()):
            pass
    else:
        told = await refused(url)
        assert "the server refuses the user or the password" in told
        assert "PGPASSFILE" in told
    assert "right" not in caplog.text


async def test_a_user_without_rights(database: Database, postgres: Server) -> None:
    await database.do(
        "DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    told = await refused(postgres.url(database.name, "stranger"))
    assert told.endswith("make the broker's user the owner of the database")


async def test_a_database_of_something_else(database: Database) -> None:
    await database.do("CREATE TABLE invoices (number integer)")
    told = await refused(database.url)
    assert "holds something else (a table invoices): create a database for the brokers" in told
    assert await database.select("SELECT count(*) FROM pg_class WHERE relname = 'lines'") == [(0,)]


async def test_a_newer_schema_unless_it_still_works_with_this_version(database: Database) -> None:
    await database.prepare()
    await database.do("UPDATE quartet_store SET version = 99")
    async with PostgresRecorder(database.url, "d1", FleetKeeping()):
        pass
    assert await database.select("SELECT version FROM quartet_store") == [(99,)]
    await database.do("UPDATE quartet_store SET works_from = 99")
    with pytest.raises(NewerSchemaError, match="has schema 99, this version of quartet knows"):
        async with PostgresRecorder(database.url, "d1", FleetKeeping()):
            pass
    with pytest.raises(NewerSchemaError, match="has schema 99"):
        await PostgresReader(database.url).lines()


async def test_a_reader_makes_no_tables(database: Database) -> None:
    with pytest.raises(StoreError, match="no broker has used this database yet"):
        await PostgresReader(database.url).lines()
    assert await database.select("SELECT count(*) FROM pg_class WHERE relname = 'lines'") == [(0,)]


async def test_settings_that_lose_samples_in_a_power_failure_are_named(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await database.do(f"ALTER DATABASE {database.name} SET synchronous_commit = local")
    told = await refused(database.url, sync="full")
    assert "because the server has fsync = off, synchronous_commit = local: set that" in told
    caplog.set_level(logging.INFO)
    async with PostgresRecorder(database.url, "d1", FleetKeeping(sync="normal")):
        pass
    assert [record.getMessage().removeprefix(f"{database.url}: ") for record in caplog.records] == [
        "a power failure may lose samples: fsync = off",
        "a power failure may lose samples: synchronous_commit = local",
        "no standby confirms commits",
    ]


async def test_a_standby_is_refused_and_may_stand_beside_its_primary_in_a_url(
    postgres: Server, database: Database
) -> None:
    """Who only reads may ask it."""
    with running(postgres) as standby:
        told = await refused(standby.url(database.name))
        assert "the server is a standby, or read-only: give the address of the primary" in told
        both = f"127.0.0.1:{standby.port},127.0.0.1:{postgres.port}"
        url = f"postgresql://postgres@{both}/{database.name}"
        async with PostgresRecorder(url, "d1", FleetKeeping()) as recorder:
            claim = await recorder.claim(header(), "")
            await recorder.record(Batch(claim, [sample(0)], [Answer(0, prediction=True)]))
            reader = PostgresReader(standby.url(database.name))
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with suppress(StoreError):  # its tables have yet to come
                        if [each.agent_id for each in await reader.lines()] == ["a"]:
                            break
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(PATIENCE_S):
                while not (await reader.news("", 10)).samples:  # noqa: ASYNC110 - nor do they
                    await asyncio.sleep(0.01)
            reader.close()


async def test_a_server_that_cannot_be_written_to(database: Database) -> None:
    await database.do(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    told = await refused(database.url)
    assert "the server is a standby, or read-only: give the address of the primary" in told


async def test_a_pooler_in_between(database: Database, postgres: Server) -> None:
    """It tells each client a process that is not the server's."""

    def other_process(said: bytes) -> bytes:
        at = said.find(b"K\0\0\0\x0c")
        return said if at < 0 else said[: at + 5] + b"\0\0\0\7" + said[at + 9 :]

    async with relayed(postgres.port) as relay:
        relay.change = other_process
        told = await refused(postgres.url(database.name, port=relay.port))
    assert "a pooler stands between" in told


async def test_a_database_with_another_encoding(postgres: Server) -> None:
    await postgres.command(
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    assert "has encoding LATIN1: create one with UTF8" in await refused(postgres.url("latin"))


async def test_brokers_that_start_at_once_prepare_the_database_once(database: Database) -> None:
    recorders = [PostgresRecorder(database.url, "d1", FleetKeeping()) for _ in range(4)]
    await asyncio.gather(*(each.__aenter__() for each in recorders))
    try:
        assert await database.select("SELECT count(DISTINCT owner) FROM lines") == [(0,)]
        assert await database.select("SELECT count(*) FROM brokers") == [(4,)]
    finally:
        for each in recorders:
            await each.__aexit__()


# What a server says before it ends a connection that nobody uses.
_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_FATAL = b"E" + struct.pack(">i", 4 + len(_FIELDS)) + _FIELDS


@pytest.mark.parametrize("while_it_reads", [False, True])
async def test_a_server_that_ends_the_connection_just_before_it_is_used(
    while_it_reads: bool, database: Database, postgres: Server
) -> None:
    await database.prepare()
    async with relayed(postgres.port) as relay:
        # Behind the answer to a statement; a reader makes none that writes.
        ends = b"SELECT 1\0Z" if while_it_reads else b"UPDATE 0\0Z"
        relay.change = lambda data: data + _FATAL if ends in data else data
        url = postgres.url(database.name, port=relay.port)
        if while_it_reads:
            with pytest.raises(StoreError) as raised:
                await PostgresReader(url).accounts()
            said = str(raised.value)
        else:
            said = await refused(url)
    assert said.startswith(f"{url}: ")
    assert "the server has ended the connection" in said
