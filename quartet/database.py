"""An SQLite file with a schema version: opened, migrated, or refused with the reason."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from quartet.errors import DamagedError, NewerSchemaError, OlderSchemaError, StoreError
from quartet.foreign import shown

Synchronous = Literal["off", "normal", "full"]
"""When a commit is on the medium: left to the system, at checkpoints, at once."""

# A reader beside us holds no lock for longer than it reads a page of a checkpoint.
BUSY_S = 5.0

# What the place of a file causes, and not the file. All else that SQLite says of one
# that it is to open is damage: also what looks like a mistake in a query, where the
# names in the schema are overwritten.
_PLACE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,  # two that open it at the same time
}

# What an open file is told to be damaged by.
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_CONSTRAINT,
}

# No schema gets so far: a version above is a damaged one.
_MOST_VERSIONS = 10_000


def connect(
    path: Path,
    migrations: Sequence[str],
    synchronous: Synchronous,
    busy_s: float = BUSY_S,
) -> sqlite3.Connection:
    """Open a file, or make it, with all migrations applied; its version is their number.

    Write-ahead logged; no transaction is open. Any one thread at a time may use it. Waits up to
    `busy_s` for a lock. NewerSchemaError, DamagedError or StoreError; a newer file is not touched.
    """
    try:
        if path.exists():
            _check_version(path, len(migrations), busy_s)
        connection = sqlite3.connect(
            path, timeout=busy_s, isolation_level=None, check_same_thread=False
        )
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise store_error(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        _migrate(connection, migrations)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise store_error(path, error) from error
    return connection


def connect_to_read(path: Path, versions: int, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open an existing file beside its owner, for reading only; errors as with connect()."""
    try:
        connection = _connect_to_read(path, busy_s)
        if (version := schema_version(connection)) != versions:
            connection.close()
            raise _other_version(path, version, versions)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise store_error(path, error) from error
    return connection


def schema_version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has seen."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def integrity(connection: sqlite3.Connection, of: int | str) -> list[str]:
    """What is wrong with the file as a whole, at most so many findings; or with one table of it.

    Without SQLite's headlines. Raises sqlite3.Error.
    """
    found = connection.execute(f"PRAGMA integrity_check({of})").fetchall()
    lines = [line for (said,) in found for line in str(said).splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith("***")]


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is written while entered, or nothing. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def transaction_to_read(connection: sqlite3.Connection) -> Iterator[None]:
    """See one state of the file while entered, whatever its owner writes. Raises sqlite3.Error."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def store_error(path: Path, error: Exception) -> StoreError:
    """What an error of SQLite, or of decoding what it gave, says to a person."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # A file that says of itself that it must not be written does not know better.
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    by_itself = code == sqlite3.SQLITE_READONLY and writable
    if code in _PLACE and not by_itself:
        return StoreError(f"{path}: cannot be used: {shown(error)}", path)
    return DamagedError(f"{path}: is damaged ({shown(error)})", path)


def is_damage(error: Exception) -> bool:
    """Whether an error says that an open file is damaged: it will not pass.

    A constraint is of ours: who breaks it rests on what was read, which was wrong.
    """
    if isinstance(error, UnicodeDecodeError | DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # a text that is none
        return isinstance(error, sqlite3.OperationalError)
    # The queries are right: where they name nothing, the schema's text is another one.
    return code & 0xFF in _DAMAGE or str(error).startswith("no such ")


def _check_version(path: Path, versions: int, busy_s: float) -> None:
    reader = _connect_to_read(path, busy_s)
    try:
        version = schema_version(reader)
    finally:
        reader.close()
    if version > versions:
        raise _other_version(path, version, versions)


def _connect_to_read(path: Path, busy_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    # Reading takes a file beside it, for which a full disk has no room; without a log
    # of commits, it can be read without.
    for how in ("", "&immutable=1"):
        connection = sqlite3.connect(
            uri + how, timeout=busy_s, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            schema_version(connection)
        except sqlite3.Error:
            connection.close()
            if how or Path(f"{path}-wal").exists():
                raise
        else:
            break
    return connection


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    for version, script in enumerate(migrations, 1):
        if schema_version(connection) < version:
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {version}; COMMIT;")


def _other_version(path: Path, version: int, versions: int) -> StoreError:
    said = f"{path}: has schema {version}, this version of quartet knows {versions}"
    if not 0 <= version <= _MOST_VERSIONS:
        return DamagedError(f"{path}: is damaged (its schema says version {version})", path)
    if version < versions:
        return OlderSchemaError(
            f"{said}: stop the old program that writes it and start the new one, which converts it",
            version,
        )
    return NewerSchemaError(f"{said}: use the version that wrote it, or a newer one", version)
