"""Stores that cannot move, or not now: it is said why, and nothing is changed."""

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
import pytest
from support.chain import Chain
from support.moves import Talker, moved, served
from support.postgres import Database, Server
from support.read import File, Tables
from support.store import change, header, sample, send_on

from broker.config import Store
from broker.move import Progress, move
from broker.recorder.opening import open_to_move
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from quartet.errors import (
    InUseError,
    NewerSchemaError,
    OlderSchemaError,
    SettingsError,
    StoreError,
)


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


async def refused(source: Store, target: Store) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await moved(source, target)
    return raised.value


async def test_a_target_with_records_is_refused(database: Database, tmp_path: Path) -> None:
    file = File(tmp_path)
    await served(file)
    await moved(file.path, database.url)
    before = await database.select("SELECT count(*) FROM samples")
    again = str(await refused(file.path, database.url))
    assert again.startswith(f"{database.url}: has records: ")
    assert await database.select("SELECT count(*) FROM samples") == before
    content = file.path.read_bytes()
    back = str(await refused(database.url, file.path))
    assert back.startswith(f"{file.path}: already exists: ")
    assert file.path.read_bytes() == content


async def test_a_database_that_is_empty_has_nothing_to_move(
    database: Database, tmp_path: Path
) -> None:
    said = str(await refused(database.url, tmp_path / "new.db"))
    assert said.startswith(f"{database.url}: has no records to move: name the store with the")


async def test_a_file_from_a_database_belongs_to_whom_its_directory_does(
    database: Database, tmp_path: Path
) -> None:
    owner = 4321 if os.geteuid() == 0 else os.geteuid()
    await database.prepare()
    place = tmp_path / "of-the-broker"
    place.mkdir()
    os.chown(place, owner, -1)
    await moved(database.url, place / "new.db")
    stat = (place / "new.db").stat()
    assert (stat.st_uid, stat.st_mode & 0o777) == (owner, 0o600)


async def test_a_store_that_a_broker_serves_is_refused(database: Database, tmp_path: Path) -> None:
    file, there = File(tmp_path), Tables(database)
    await served(file)
    async with file.lines(Chain):
        assert isinstance(await refused(file.path, database.url), InUseError)
    async with there.lines(Chain):
        for error in (
            await refused(file.path, database.url),
            await refused(database.url, tmp_path / "new.db"),
        ):
            assert isinstance(error, InUseError)
            assert "is in use by 1 broker (" in str(error)
    assert not (tmp_path / "new.db").exists()
    await moved(file.path, database.url)


async def test_a_broker_that_starts_meanwhile_finds_all_records(
    database: Database, tmp_path: Path
) -> None:
    """It waits for the end of the move."""
    file, there = File(tmp_path), Tables(database)
    plant = await served(file)
    progress = Progress(io.StringIO())
    async with AsyncExitStack() as stack:
        async with open_to_move(file.path, database.url) as (source, target):
            starting = asyncio.create_task(stack.enter_async_context(there.lines(Talker)))
            await move(source, target, progress)
        lines = await starting
        plant.clock.advance(1.0)
        with await lines.open(header(20, agent="a", period_ns=10**7)) as stream:
            assert (await send_on(stream, [sample(20)]))[1] is None
    assert (await there.reader.accounts()).sessions[0].answered == 21
    await there.close()


async def test_nobody_claims_a_line_while_a_store_moves(database: Database, tmp_path: Path) -> None:
    """Who has prepared its tables before, and is not known as a broker yet, has to wait as well."""
    file = File(tmp_path)
    await served(file)
    await database.prepare()

    async def is_locked() -> bool:
        try:
            await database.do("SET lock_timeout = '50ms'; UPDATE lines SET epoch = epoch + 1")
        except asyncpg.LockNotAvailableError:
            return True
        return False

    async with open_to_move(file.path, database.url):
        assert await is_locked()
    async with open_to_move(database.url, tmp_path / "new.db"):
        assert await is_locked()
    assert not await is_locked()


async def test_other_schemas_are_refused(database: Database, tmp_path: Path) -> None:
    file = File(tmp_path)
    await served(file)
    await database.prepare()
    for version, error in ((99, NewerSchemaError), (1, OlderSchemaError)):
        await database.select("UPDATE quartet_store SET version = $1", version)
        assert isinstance(await refused(database.url, tmp_path / "new.db"), error)
    await database.do("UPDATE quartet_store SET version = 99")
    assert isinstance(await refused(file.path, database.url), NewerSchemaError)
    change(file.path, "PRAGMA user_version = 6")
    assert isinstance(await refused(file.path, database.url), OlderSchemaError)
    change(file.path, "PRAGMA user_version = 99")
    assert isinstance(await refused(file.path, database.url), NewerSchemaError)


async def test_a_damaged_store_is_refused(database: Database, tmp_path: Path) -> None:
    file = File(tmp_path)
    await served(file)
    change(file.path, "UPDATE samples SET prediction = 1 - prediction WHERE position = 5")
    told = str(await refused(file.path, database.url))
    assert "broker store repair" in told
    assert not await database.select("SELECT 1 FROM pg_class WHERE relname = 'lines'")


class CutError(Exception):
    """The end of a process, as far as a transaction can see."""


async def test_a_move_that_is_broken_off_leaves_nothing(database: Database, tmp_path: Path) -> None:
    file = File(tmp_path)
    await served(file)
    content = file.path.read_bytes()

    async def broken(source: Store, target: Store) -> None:
        progress = Progress(io.StringIO())
        with suppress(CutError):
            async with open_to_move(source, target) as (whence, whither):
                await move(whence, whither, progress)
                raise CutError

    await broken(file.path, database.url)
    assert file.path.read_bytes() == content
    assert not await database.select("SELECT 1 FROM pg_class WHERE relname = 'lines'")
    await moved(file.path, database.url)
    await broken(database.url, tmp_path / "new.db")
    assert not {*os.listdir(tmp_path)} & {"new.db", "new.draft.db"}  # noqa: PTH208
    await moved(database.url, tmp_path / "new.db")
    assert SqliteUpkeep(tmp_path / "new.db").check().problems == []


_END = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid()
"""


async def test_a_server_that_ends_the_connection_is_told(
    database: Database, tmp_path: Path
) -> None:
    file, new = File(tmp_path), tmp_path / "new.db"
    await served(file)

    async def ended(source: Store, target: Store) -> None:
        async with open_to_move(source, target) as (whence, whither):
            await database.select(_END)
            await move(whence, whither, Progress(io.StringIO()))

    told = f"^{re.escape(database.url)}: "
    with pytest.raises(StoreError, match=told):
        await ended(file.path, database.url)
    await moved(file.path, database.url)
    with pytest.raises(StoreError, match=told):
        await ended(database.url, new)
    assert not new.exists()


async def test_stores_of_one_kind_are_copied_otherwise(tmp_path: Path) -> None:
    for source, target in (
        (tmp_path / "a", tmp_path / "b"),
        ("postgresql://127.0.0.1/a", "postgresql://127.0.0.1/b"),
    ):
        with pytest.raises(SettingsError, match="one must be a file"):
            await moved(source, target)
