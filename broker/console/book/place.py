"""The file at its path: opened with its tables, or moved aside and saved into a new one."""

import contextlib
import itertools
import sqlite3
from datetime import datetime
from pathlib import Path

from broker.console.book.salvage import insert, readable
from broker.console.book.schema import APPLICATION_ID, MIGRATIONS
from quartet.database import connect, store_error, transaction
from quartet.errors import NewerSchemaError, StoreError

# What SQLite puts beside a file.
_COMPANIONS = ("-wal", "-shm", "-journal")

# A log that has grown beyond is cut off when it begins again.
_LOG_BYTES = 1 << 20


def opened(path: Path) -> sqlite3.Connection:
    """The file with its tables. DamagedError, or StoreError for what is not to be touched."""
    _finish_replacement(path)
    _check_kind(path)
    try:
        connection = connect(path, MIGRATIONS, "normal")
    except NewerSchemaError as error:
        raise StoreError(
            f"{error}; or move it away, and the console makes a new one, without its notes and"
            " users",
            path,
        ) from error
    try:
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    except sqlite3.Error as error:
        connection.close()
        raise store_error(path, error) from error
    return connection


def replace(path: Path, now: datetime) -> tuple[Path, int]:
    """Put a new file in the place of a damaged one, which nobody has open.

    Where the damaged one is now, and how many rows were saved from it. Where this is cut short,
    opened() finishes it, or finds the damage again. StoreError: there is no room.
    """
    saving = _beside(path, "saving")
    _delete(saving)
    saved = 0
    with contextlib.closing(opened(saving)) as connection:
        try:
            with transaction(connection):
                for table, rows in readable(path).items():
                    saved += insert(connection, table, rows)
        except sqlite3.Error as error:
            raise store_error(saving, error) from error
    aside = _free(path, f"damaged-{now:%Y%m%dT%H%M%SZ}")
    try:
        _move(path, aside)
        saving.rename(_beside(path, "saved"))
    except OSError as error:
        raise StoreError(f"{path}: cannot be renamed: {error.strerror}", path) from error
    _finish_replacement(path)
    return aside, saved


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at the path; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_kind(path: Path) -> None:
    """Raise StoreError for a database of something else."""
    if not path.exists():
        return
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            kind = database.execute("PRAGMA application_id").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise store_error(path, error) from error
    if tables and kind != APPLICATION_ID:
        raise StoreError(
            f"{path}: is a database, but not one of the console: choose another path", path
        )


def _finish_replacement(path: Path) -> None:
    saved = _beside(path, "saved")
    if saved.exists() and not path.exists():
        saved.rename(path)


def _move(path: Path, to: Path) -> None:
    """The companions first: what is left of them would spoil the new file."""
    for companion in (*_COMPANIONS, ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{to}{companion}")


def _delete(path: Path) -> None:
    for companion in (*_COMPANIONS, ""):
        Path(f"{path}{companion}").unlink(missing_ok=True)


def _free(path: Path, why: str) -> Path:
    names = itertools.chain([why], (f"{why}-{number}" for number in itertools.count(2)))
    return next(name for name in (_beside(path, each) for each in names) if not name.exists())


def _beside(path: Path, state: str) -> Path:
    return path.with_name(f"{path.stem}.{state}{path.suffix}")
