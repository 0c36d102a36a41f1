"""The database server: how it is reached, what it must promise, and what its errors mean."""

import logging
import os
from pathlib import Path
from typing import Literal

import asyncpg

from quartet.errors import StoreError
from quartet.foreign import shown

log = logging.getLogger(__name__)

Sync = Literal["normal", "full"]
"""normal: a commit survives the broker's death; full: also that of the server's machine."""

# A server on the same site answers in milliseconds; one behind a cut cable never.
_CONNECT_S = 5.0

# UNIQUE NULLS NOT DISTINCT, and a fence that was tried.
_OLDEST = 150_000

# A statement is its own transaction, and looks at a row again after it has waited for it: the
# fence rests on that. Plans are for few rows, so that compiling them costs more than it gains.
_SETTINGS = {
    "application_name": "quartet",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "5s",
    "jit": "off",
    "tcp_user_timeout": "5s",
    "timezone": "UTC",
}

_PROMISES = """
    SELECT current_setting('server_version_num')::int AS version,
        pg_is_in_recovery() AS is_standby,
        current_setting('transaction_read_only') = 'on' AS is_read_only,
        current_setting('server_encoding') AS encoding,
        current_setting('fsync') AS fsync,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS standbys,
        pg_backend_pid() AS pid
"""

# With these a commit is on the server's disk, and on that of a standby that is to confirm it.
_DURABLE = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
}


_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_ABSENT = "{url}: no PostgreSQL server answers ({said}): start it, or correct the address"

_STANDBY = (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError)

# What a person can mend, by what the server or the library says. The first that fits.
_MESSAGES: list[tuple[tuple[type[BaseException], ...], str]] = [
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "{url}: the server refuses the user or the password ({said}): put the password into"
        " ~/.pgpass, or into the file that PGPASSFILE names",
    ),
    ((asyncpg.InvalidCatalogNameError,), "{url}: {said}: create it with 'createdb'"),
    (
        (asyncpg.InsufficientPrivilegeError,),
        "{url}: {said}: make the broker's user the owner of the database",
    ),
    (
        (asyncpg.ProtocolViolationError,),
        "{url}: {said}: a pooler may stand between: connect to the server itself",
    ),
    (
        (asyncpg.ClientConfigurationError, ValueError),
        "{url}: is not the address of a PostgreSQL database: {said}",
    ),
    ((OSError,), _ABSENT),
]


async def connect(url: str, *, writes: bool = True) -> asyncpg.Connection:
    """A connection to the server; to one that can be written to, if there are several.

    StoreError where there is none, with what to do.
    """
    try:
        return await asyncpg.connect(
            url,
            passfile=_password_file(),
            timeout=_CONNECT_S,
            server_settings=_SETTINGS,
            target_session_attrs="read-write" if writes else "any",
        )
    except (*_ERRORS, OSError, ValueError) as error:
        raise store_error(url, error) from error


def _password_file() -> str | None:
    """Where systemd puts the password for the service; None: where PostgreSQL's programs look."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(directory, "pgpass") if directory else None
    return str(file) if file and file.is_file() else None


async def check(connection: asyncpg.Connection, url: str, sync: Sync) -> None:
    """Refuse a server that cannot keep what the recorder promises. StoreError names the setting."""
    found = await connection.fetchrow(_PROMISES)
    assert found is not None  # noqa: S101 - a SELECT without FROM has one row
    if found["pid"] != connection.get_server_pid():
        raise StoreError(
            f"{url}: a pooler stands between the broker and the server, and gives each statement"
            " another connection: connect to the server itself"
        )
    if found["version"] < _OLDEST:
        raise StoreError(f"{url}: the server is older than PostgreSQL 15: upgrade it")
    if found["is_standby"] or found["is_read_only"]:
        raise _no_primary(url)
    if found["encoding"] != "UTF8":
        raise StoreError(
            f"{url}: the database has encoding {found['encoding']}: create one with UTF8"
        )
    wrong = [name for name, good in _DURABLE.items() if found[name] not in good]
    if wrong and sync == "full":
        raise StoreError(
            f"{url}: a power failure would lose samples, because the server has "
            + ", ".join(f"{name} = {found[name]}" for name in wrong)
            + ': set that to on, or set recorder.sync = "normal"'
        )
    for name in wrong:
        log.info("%s: a power failure may lose samples: %s = %s", url, name, found[name])
    if names := found["standbys"]:
        log.info("%s: a standby confirms each commit (%s)", url, names)
    else:
        log.info("%s: no standby confirms commits", url)


def store_error(url: str, error: BaseException) -> StoreError:
    """What an error of the server, or of the way to it, says to a person."""
    if isinstance(error, _STANDBY):
        return _no_primary(url)
    if isinstance(error, TimeoutError):
        return StoreError(_ABSENT.format(url=url, said=f"none within {_CONNECT_S:g} s"))
    for kinds, message in _MESSAGES:
        if isinstance(error, kinds):
            return StoreError(message.format(url=url, said=shown(error)))
    return StoreError(f"{url}: the server cannot be used: {shown(error)}")


def _no_primary(url: str) -> StoreError:
    return StoreError(
        f"{url}: the server is a standby, or read-only: give the address of the primary, or of all"
        " servers, separated by commas"
    )
