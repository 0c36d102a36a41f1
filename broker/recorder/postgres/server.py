"""The database server: how it is reached, what it must promise, and what its errors mean."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal

import asyncpg

from broker.recorder.postgres.hosts import Wanted, each_of, first
from broker.recorder.postgres.passwords import password_of
from quartet.errors import QuartetError, StoreError
from quartet.foreign import shown

log = logging.getLogger(__name__)

Sync = Literal["normal", "full"]
"""normal: a commit survives the broker's death; full: also that of the server's machine."""

# A server on the same site answers in milliseconds; one behind a cut cable never.
_CONNECT_S = 5.0

# UNIQUE NULLS NOT DISTINCT, and a fence that was tried.
_OLDEST = 150_000

# Whatever a role or a database has set. A statement is its own transaction, and looks at a row
# again after it has waited for it: the fence rests on that, and on the warning of a commit that
# no standby has confirmed. What a broker waits for, it gives up by itself. Plans are for few rows,
# so that compiling them costs more than it gains. And a broker's machine that was switched off
# does not count as live for the two hours after which most systems look.
_SETTINGS = {
    "application_name": "quartet",
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "5s",
    "idle_session_timeout": "0",
    "jit": "off",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_user_timeout": "5s",
    "timezone": "UTC",
}

# Longer than any question of ours takes. A standby would wait as long with what it replays.
_OF_READERS = {"statement_timeout": "20s"}

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

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the server says, and the library: the last one where the server has ended a connection
that nobody was using."""

_ABSENT = "{url}: no PostgreSQL server answers ({said}): start it, or correct the address"

_STANDBY = (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError)

# What a person can mend, by what the server or the library says. The first that fits.
_MESSAGES: list[tuple[tuple[type[BaseException], ...], str]] = [
    (
        (asyncpg.InvalidPasswordError,),
        "{url}: the server refuses the user or the password ({said}): put the password into"
        " ~/.pgpass, or into the file that PGPASSFILE names, as HOST:PORT:DATABASE:USER:PASSWORD",
    ),
    (
        (asyncpg.InvalidAuthorizationSpecificationError,),
        "{url}: the server refuses the user ({said}): create it with 'createuser', or let it in by"
        " pg_hba.conf",
    ),
    ((asyncpg.InvalidCatalogNameError,), "{url}: {said}: create it with 'createdb'"),
    (
        (asyncpg.QueryCanceledError, asyncpg.SerializationError),
        "{url}: the server has ended a question ({said}): try again",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        "{url}: {said}: make the broker's user the owner of the database",
    ),
    (
        (asyncpg.LockNotAvailableError,),
        "{url}: another program has locked the tables ({said}): try again when it has finished",
    ),
    (
        (asyncpg.ProtocolViolationError,),
        "{url}: {said}: a pooler may stand between: connect to the server itself",
    ),
    (
        (asyncpg.InternalClientError,),  # it says what its own state was then
        "{url}: the server has ended the connection: look at its log",
    ),
    (
        (asyncpg.ClientConfigurationError, ValueError),
        "{url}: is not the address of a PostgreSQL database: {said}",
    ),
    ((OSError,), _ABSENT),
]


WRITING: Sequence[Wanted] = ("read-write",)
READING: Sequence[Wanted] = ("read-write", "any")
SPARING: Sequence[Wanted] = ("standby", "any")
"""Questions that never end cost a standby less than they cost the server with the brokers."""


async def connect(url: str, wanted: Sequence[Wanted] = WRITING) -> asyncpg.Connection:
    """A connection to a server; of several, to the first kind that is wanted and is there.

    StoreError where there is none, with what to do. Of several hosts, it is the first that
    answers so: one that is frozen, or behind a cut cable, delays nobody.
    """
    settings = _SETTINGS if wanted == WRITING else _SETTINGS | _OF_READERS
    for each in wanted[:-1] if len(each_of(url)) > 1 else ():
        with suppress(*ERRORS, OSError):
            return await first(url, partial(_connect, settings), each)
    try:
        return await first(url, partial(_connect, settings), wanted[-1])
    except StoreError:
        raise
    except (*ERRORS, OSError, ValueError) as error:
        raise store_error(url, error) from error


async def _connect(settings: dict[str, str], url: str, wanted: Wanted) -> asyncpg.Connection:
    return await asyncpg.connect(
        url,
        password=password_of(url),
        timeout=_CONNECT_S,
        server_settings=settings,
        target_session_attrs=wanted,
    )


async def check(connection: asyncpg.Connection, url: str, sync: Sync) -> list[str]:
    """Refuse a server that cannot keep what the recorder promises. StoreError names the setting.

    What is only worth a word is logged, and given.
    """
    found = await connection.fetchrow(_PROMISES)
    assert found is not None  # noqa: S101 - a SELECT without FROM has one row
    _refuse_pooler(connection, url, found["pid"])
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
    notes = [f"a power failure may lose samples: {name} = {found[name]}" for name in wrong]
    for note in notes:
        log.info("%s: %s", url, note)
    if names := found["standbys"]:
        log.info("%s: each commit waits for a standby (%s)", url, names)
    else:
        log.info("%s: no standby confirms commits", url)
    return notes


async def refuse_pooler(connection: asyncpg.Connection, url: str) -> None:
    """Raise StoreError where this is no connection to the server itself."""
    _refuse_pooler(connection, url, await connection.fetchval("SELECT pg_backend_pid()"))


def _refuse_pooler(connection: asyncpg.Connection, url: str, pid: int) -> None:
    if pid != connection.get_server_pid():
        raise StoreError(
            f"{url}: a pooler stands between this program and the server, and may give each"
            " statement another connection: connect to the server itself"
        )


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


@contextmanager
def told(url: str) -> Iterator[None]:
    """Have what the server says, or the way to it, be a StoreError."""
    try:
        yield
    except QuartetError:
        raise
    except (*ERRORS, OSError) as error:
        raise store_error(url, error) from error


def _no_primary(url: str) -> StoreError:
    return StoreError(
        f"{url}: the server is a standby, or read-only: give the address of the primary, or of all"
        " servers, separated by commas"
    )
