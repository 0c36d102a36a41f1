"""console.db as a file: made, opened again, damaged, replaced, of another version."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.console.book.database import Database
from broker.console.book.schema import MIGRATIONS
from quartet.errors import StoreError

_AUDIT = "INSERT INTO audit (at_ns, name, address, verb, subject, detail) VALUES (?,?,?,?,?,?)"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path)
    try:
        yield database
    finally:
        await database.close()


async def fill(path: Path, rows: int = 3) -> None:
    """What people wrote, and some that can be built again."""

    def write(connection: sqlite3.Connection) -> None:
        for number in range(rows):
            text = f"note {number} ".ljust(300, ".")
            connection.execute(
                "INSERT INTO notes VALUES (NULL, 'press-1', ?, 'shift-a', ?, 0)", (number, text)
            )
            connection.execute(_AUDIT, (number, "shift-a", "::1", "note", "press-1", text))
        connection.execute("INSERT INTO users VALUES ('shift-a', 'viewer', x'01', x'02', 3)")
        connection.execute(
            "INSERT INTO acknowledgements VALUES ('press-1', 1, 2, 'shift-a', 'seen')"
        )
        connection.execute("INSERT INTO sign_ins VALUES (x'01', 'shift-a', 5, '::1')")
        connection.execute("INSERT INTO agents VALUES (1, 'press-1', '')")

    async with opened(path) as database:
        await database.write(write)


async def counts(database: Database) -> dict[str, int]:
    tables = ("notes", "audit", "users", "acknowledgements", "sign_ins", "agents")
    return await database.read(
        lambda rows: {
            table: rows.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in tables
        }
    )


async def test_what_is_written_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path)
    async with opened(path) as database:
        assert (await counts(database))["notes"] == 3
        assert database.remarks == []


async def test_an_error_amid_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "console.db") as database:

        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO agents VALUES (1, 'press-1', '')")
            raise ValueError("amid it")

        with pytest.raises(ValueError, match="amid it"):
            await database.write(fail)
        assert (await counts(database))["agents"] == 0


def files(folder: Path, pattern: str) -> list[Path]:
    return [*folder.glob(pattern)]


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all " * 500)


def no_first_page(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4080) + path.read_bytes()[4096:])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "saved"), [(no_database, 0), (no_first_page, 0), (cut_short, 1)]
)
async def test_a_damaged_file_is_moved_aside_and_what_reads_is_saved(
    damage: Callable[[Path], None], saved: int, tmp_path: Path
) -> None:
    path = tmp_path / "console.db"
    await fill(path, rows=300)
    damage(path)
    before = path.read_bytes()
    async with opened(path) as database:
        with contextlib.suppress(StoreError):
            await counts(database)
        found = await counts(database)
        (remark,) = database.remarks
    (aside,) = files(tmp_path, "console.damaged-*Z.db")
    assert aside.read_bytes() == before
    assert str(aside) in remark
    assert (sum(found.values()) > 0) is bool(saved)
    assert f"audit: {sum(found.values())} saved" in remark
    assert found["agents"] == found["sign_ins"] == 0
    assert files(tmp_path, "console.sav*") == []


async def test_only_a_damaged_page_of_notes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path, rows=300)
    content = bytearray(path.read_bytes())
    for number in (150, 151):
        begin = content.index(f"note {number} ".encode()) // 4096 * 4096
        content[begin : begin + 4096] = bytes(4096)
    path.write_bytes(content)
    async with opened(path) as database:
        with pytest.raises(StoreError, match="is damaged"):
            await database.read(lambda rows: rows.execute("SELECT * FROM notes").fetchall())
        assert "renamed to" in database.remarks[0]
        found = await counts(database)
    assert 250 < found["notes"] < 300
    assert (found["users"], found["acknowledgements"]) == (1, 1)


async def test_rows_of_another_kind_are_not_taken_for_what_people_wrote(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE notes SET text = CAST(x'ff' AS TEXT) WHERE note = 1")
        connection.execute("UPDATE notes SET at_ns = 'late' WHERE note = 2")
        connection.execute("PRAGMA writable_schema = on")
        connection.execute("UPDATE sqlite_schema SET sql = 'x' WHERE name = 'rollups'")
    async with opened(path) as database:
        with contextlib.suppress(StoreError):
            await counts(database)
        assert (await counts(database))["notes"] == 1


async def test_a_newer_schema_is_refused_with_the_remedy_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"use the version that wrote it.*or move it away"):
        await Database.open(path)
    assert path.read_bytes() == before


async def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE samples (a)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="choose another path"):
        await Database.open(path)
    assert path.read_bytes() == before


async def test_no_place_for_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        await Database.open(tmp_path / "nowhere" / "console.db")


async def test_a_file_that_is_deleted_in_use_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path)
    async with opened(path) as database:
        for each in files(tmp_path, "*"):
            each.unlink()
        assert (await counts(database))["notes"] == 0
        assert "was deleted or replaced" in database.remarks[0]
    await fill(path)


async def test_a_replacement_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    await fill(path)
    path.rename(tmp_path / "console.saved.db")
    async with opened(path) as database:
        assert (await counts(database))["notes"] == 3
