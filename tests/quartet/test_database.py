import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.database import connect, connect_to_read, schema_version, transaction
from quartet.errors import DamagedError, NewerSchemaError, OlderSchemaError, StoreError

MIGRATIONS = [
    "CREATE TABLE log (step INTEGER); INSERT INTO log VALUES (1)",
    "INSERT INTO log VALUES (2); CREATE TABLE more (x)",
    "INSERT INTO more SELECT step FROM log; INSERT INTO log VALUES (3)",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def steps(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as file:
        return [step for (step,) in file.execute("SELECT step FROM log ORDER BY rowid")]


def make(path: Path, versions: int) -> None:
    connect(path, MIGRATIONS[:versions], "off").close()


# Migrations


@settings(derandomize=True, deadline=None, max_examples=30)
@given(starts=st.lists(st.integers(1, 3), min_size=1, max_size=5).map(sorted))
def test_each_migration_is_applied_once_and_in_order(
    starts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("starts") / "store.db"
    for versions in starts:
        with closing(connect(path, MIGRATIONS[:versions], "off")) as file:
            assert schema_version(file) == versions
        assert steps(path) == [*range(1, versions + 1)]


def test_a_migration_that_fails_leaves_the_version_before_it(path: Path) -> None:
    bad = [MIGRATIONS[0], "INSERT INTO log VALUES (2); INSERT INTO nowhere VALUES (1)"]
    with pytest.raises(StoreError, match="no such table: nowhere"):
        connect(path, bad, "off")
    assert steps(path) == [1]
    make(path, 3)
    assert steps(path) == [1, 2, 3]


def test_a_file_is_write_ahead_logged_and_synchronous_as_asked(path: Path) -> None:
    for number, synchronous in enumerate(("off", "normal", "full")):
        with closing(connect(path, MIGRATIONS, synchronous)) as file:  # type: ignore[arg-type]
            assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert file.execute("PRAGMA synchronous").fetchone() == (number,)
            assert not file.in_transaction


# What is refused


def test_a_newer_file_is_refused_and_not_touched(path: Path) -> None:
    make(path, 3)
    before = path.read_bytes()
    with pytest.raises(NewerSchemaError, match=r"has schema 3, .* knows 2") as raised:
        connect(path, MIGRATIONS[:2], "full")
    assert raised.value.version == 3
    assert path.read_bytes() == before


def test_a_newer_file_with_a_log_of_a_killed_process_is_not_touched(path: Path) -> None:
    with closing(connect(path, MIGRATIONS, "off")) as file:
        file.execute("INSERT INTO log VALUES (4)")
        killed = path.parent / "killed"
        killed.mkdir()
        for each in (path, Path(f"{path}-wal")):
            (killed / each.name).write_bytes(each.read_bytes())
    before = {each.name: each.read_bytes() for each in killed.iterdir()}
    with pytest.raises(NewerSchemaError):
        connect(killed / path.name, MIGRATIONS[:2], "full")
    assert {name: (killed / name).read_bytes() for name in before} == before
    assert steps(killed / path.name) == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"no database" * 1000, b"\0" * 4096])
def test_what_is_no_database_is_damaged(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"store\.db: is damaged") as raised:
        connect(path, MIGRATIONS, "off")
    assert raised.value.path == path
    assert path.read_bytes() == content
    with pytest.raises(DamagedError):
        connect_to_read(path, 3)


def test_an_empty_file_is_a_fresh_one(path: Path) -> None:
    path.touch()
    make(path, 3)
    assert steps(path) == [1, 2, 3]


def test_a_file_that_cannot_be_made_is_a_store_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"nowhere/store\.db: cannot be used: unable to open"
    ) as raised:
        connect(tmp_path / "nowhere" / "store.db", MIGRATIONS, "off")
    assert not isinstance(raised.value, DamagedError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_in_a_directory_that_cannot_be_written_is_not_damaged(path: Path) -> None:
    make(path, 1)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError) as raised:
            connect(path, MIGRATIONS, "off")
    finally:
        path.parent.chmod(0o700)
    assert not isinstance(raised.value, DamagedError)


# Readers


def test_a_reader_sees_what_is_committed_beside_the_writer_and_cannot_write(path: Path) -> None:
    with (
        closing(connect(path, MIGRATIONS, "off")) as writer,
        closing(connect_to_read(path, 3)) as reader,
    ):
        writer.execute("BEGIN")
        writer.execute("INSERT INTO log VALUES (4)")
        assert reader.execute("SELECT count(*) FROM log").fetchone() == (3,)
        writer.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM log").fetchone() == (4,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM log")


@pytest.mark.parametrize("version", [1, 3])
def test_a_reader_of_another_version_is_refused(version: int, path: Path) -> None:
    make(path, version)
    with pytest.raises(StoreError, match=f"has schema {version}, .* knows 2") as raised:
        connect_to_read(path, 2)
    assert isinstance(raised.value, OlderSchemaError | NewerSchemaError)
    assert raised.value.version == version


def test_a_reader_makes_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        connect_to_read(path, 1)
    assert not path.exists()


# Transactions


class Interruption(BaseException):
    """What nobody catches by name."""


def insert_and_be_interrupted(file: sqlite3.Connection) -> None:
    with transaction(file):
        file.execute("INSERT INTO log VALUES (5)")
        raise Interruption


def insert(file: sqlite3.Connection, step: int) -> None:
    with transaction(file):
        file.execute("INSERT INTO log VALUES (?)", (step,))


def test_a_transaction_commits_all_or_nothing(path: Path) -> None:
    with closing(connect(path, MIGRATIONS, "off")) as file:
        insert(file, 4)
        with pytest.raises(Interruption):
            insert_and_be_interrupted(file)
        assert not file.in_transaction
        insert(file, 6)
    assert steps(path) == [1, 2, 3, 4, 6]


def test_who_writes_while_another_does_is_told_and_can_try_again(
    path: Path,
) -> None:
    with (
        closing(connect(path, MIGRATIONS, "off", busy_s=0.0)) as first,
        closing(connect(path, MIGRATIONS, "off", busy_s=0.0)) as second,
    ):
        with transaction(first), pytest.raises(sqlite3.OperationalError, match="locked"):
            insert(second, 4)
        assert not second.in_transaction
        insert(second, 4)
    assert steps(path)[-1] == 4
