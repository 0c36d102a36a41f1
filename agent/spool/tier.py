"""One file of the spool: sessions with their accounts, and samples that have no answer yet."""

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from agent.model import Session
from agent.spool.account import Account, Sessions
from agent.spool.checksums import (
    key_checksum,
    key_verifies,
    move_checksum,
    move_verifies,
    sealed,
    session_checksum,
    session_verifies,
    unsealed,
)
from agent.spool.row import AFTER_ALL, BEFORE_ALL, FAR_OFF, Key, Row
from agent.spool.schema import MIGRATIONS, connect_to_read_any, has_checksums, has_sensors
from quartet.database import (
    BUSY_S,
    Synchronous,
    connect,
    integrity,
    store_error,
    transaction,
)
from quartet.errors import DamagedError
from quartet.foreign import shown

COMPANIONS = ("-wal", "-shm")
"""SQLite's own: the log of what is not yet in the file, and the index of that log."""

_AFTER = (
    "SELECT session, id, reading FROM samples WHERE (session, id) > (?, ?) ORDER BY session, id"
)

accounts = msgspec.json.Decoder(Account)


def is_stale(hot: tuple[int, Sessions], cold: tuple[int, Sessions]) -> bool:
    """Whether a hot tier was left behind: samples went past it, straight to the cold one.

    Of each, the number of its last move, and its sessions. A flush that was cut short leaves
    it one behind. One that never met the cold tier has a session that this does not know, or
    more samples of one.
    """
    (hot_move, in_hot), (cold_move, in_cold) = hot, cold
    sampled = {session.id: account.sampled for session, account in in_cold}
    is_known = all(account.sampled <= sampled.get(session.id, -1) for session, account in in_hot)
    return hot_move + 1 < cold_move and is_known


def delete(path: Path) -> None:
    """Delete a file and its companions, as far as they are there."""
    for companion in ("", *COMPANIONS):
        Path(f"{path}{companion}").unlink(missing_ok=True)


class Tier:
    """A file in RAM or on disk. Any one thread at a time; raises StoreError or DamagedError.

    `settled` holds the keys of samples that are done with, and still lie in
    the file of the slower tier. `moves` counts what went from one tier to the
    other: a file that knows of fewer than the other one has lost some.
    """

    def __init__(
        self,
        path: Path,
        synchronous: Synchronous | None,
        *,
        migrations: Sequence[str] = MIGRATIONS,
        busy_s: float = BUSY_S,
    ) -> None:
        """Open a file, for reading only where `synchronous` is None: also an older one."""
        self.path = path
        self.newest_schema = len(migrations)
        if synchronous:
            self._connection = connect(path, migrations, synchronous, busy_s)
        else:
            self._connection = connect_to_read_any(path, self.newest_schema, busy_s)
        self._checksum = "checksum" if has_checksums(self._connection) else "NULL"
        self._sensors = "CAST(sensors AS BLOB)" if has_sensors(self._connection) else "NULL"

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def delete(self) -> None:
        """Close the file, and delete it."""
        self.close()
        delete(self.path)

    def sessions(self) -> Sessions:
        """All sessions in their order."""
        found: Sessions = []
        for *columns, account, checksum, labels in self._select(
            "SELECT sequence, id, period_ns, started_at_ns, account,"  # noqa: S608
            f" {self._checksum}, {self._sensors} FROM sessions ORDER BY sequence"
        ):
            session = Session(*columns)
            if not session_verifies(session, account, checksum):
                raise self._damaged(f"the row of session number {session.sequence}: its checksum")
            session = replace(session, sensors=unsealed(session.id, labels))
            try:
                found.append((session, accounts.decode(account)))
            except (msgspec.MsgspecError, TypeError) as error:
                raise self._damaged(shown(error)) from error
        return found

    def write(
        self,
        *,
        sessions: Iterable[tuple[Session, Account]] = (),
        rows: Iterable[Row] = (),
        delete: Iterable[Key] = (),
        settled: Iterable[Key] = (),
        forget: Iterable[int] = (),
        move: int | None = None,
    ) -> int:
        """Do all of this or nothing; the number of rows that were deleted.

        `settled` are keys to note as such; `forget` are the sequences of sessions.
        """
        with self._transaction() as connection:
            _put(connection, sessions)
            connection.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", rows)
            deleted = connection.executemany(
                "DELETE FROM samples WHERE session = ? AND id = ?", delete
            ).rowcount
            connection.executemany(
                "INSERT OR IGNORE INTO settled VALUES (?, ?, ?)",
                ((*key, key_checksum(*key)) for key in settled),
            )
            connection.executemany(
                "DELETE FROM sessions WHERE sequence = ?", ((each,) for each in forget)
            )
            if move is not None:
                _put_move(connection, move)
        return max(0, deleted)

    def read(self, after: Key, limit: int) -> list[Row]:
        """The next rows in their order."""
        return [*map(Row._make, self._keyed(f"{_AFTER} LIMIT {limit:d}", after))]

    def rows(self) -> Iterator[Row]:
        """All rows in their order, a few at a time."""
        return map(Row._make, self._keyed(_AFTER, BEFORE_ALL))

    def keys(self) -> Iterator[Key]:
        """The keys of all rows in their order."""
        return map(Key._make, self._keyed("SELECT session, id FROM samples ORDER BY session, id"))

    def settled(self, after: Key = BEFORE_ALL, last: Key = AFTER_ALL) -> Iterator[Key]:
        """The keys that are settled, of those after the one and up to the other."""
        keys = self._keyed(
            f"SELECT session, id, {self._checksum} FROM settled"  # noqa: S608
            " WHERE (session, id) > (?, ?) AND (session, id) <= (?, ?) ORDER BY session, id",
            (*after, *last),
        )
        for session, id_, checksum in keys:
            if not key_verifies(session, id_, checksum):
                raise self._damaged("the key of a settled sample: its checksum")
            yield Key(session, id_)

    def counts(self) -> dict[int, tuple[int, int]]:
        """How many rows each session has, and its last id. Reads the whole file."""
        query = "SELECT session, max(id), count(*) FROM samples GROUP BY session"
        return {session: (count, last_id) for session, last_id, count in self._keyed(query)}

    def size(self) -> int:
        """Number of rows. Reads the whole file."""
        return sum(count for count, _ in self.counts().values())

    def check(self) -> None:
        """Read the whole file; DamagedError where anything in it is not as it should be."""
        try:
            found = integrity(self._connection, 1)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(self.path, error) from error
        if found:
            raise self._damaged(shown(found[0]))

    def hold(self) -> None:
        """Freeze the view of the file at the next read, whatever another connection writes."""
        self._connection.execute("BEGIN")

    def version(self) -> int:
        """Another number whenever another connection has written."""
        (version,) = [version for (version,) in self._select("PRAGMA data_version")]
        return int(version)

    def moves(self) -> int:
        """The number of the last move that is known here."""
        ((number, checksum),) = self._select(f"SELECT number, {self._checksum} FROM moves")  # noqa: S608
        if not move_verifies(number, checksum):
            raise self._damaged("the number of its moves: its checksum")
        return int(number)

    def clear(self, move: int, sessions: Iterable[tuple[Session, Account]]) -> None:
        """Forget all rows and keys, and all sessions except these and the one that comes last."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM samples")
            connection.execute("DELETE FROM settled")
            connection.execute(
                "DELETE FROM sessions WHERE sequence < (SELECT max(sequence) FROM sessions)"
            )
            _put_move(connection, move)
            _put(connection, sessions)

    def forget_settled(self, move: int) -> None:
        """Forget all keys that are settled."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM settled")
            _put_move(connection, move)

    def shift_sessions(self, by: int) -> None:
        """Move all sessions with their samples to earlier or later sequences."""
        shifted = [
            (replace(s, sequence=s.sequence + by), account) for s, account in self.sessions()
        ]
        with self._transaction() as connection:
            connection.execute("DELETE FROM sessions")
            _put(connection, shifted)
            # By way of sequences far off, so that no sample meets another on its way.
            for step in (FAR_OFF, by - FAR_OFF):
                connection.execute("UPDATE samples SET session = session + ?", (step,))

    def forget_before(self, keys: Iterable[Key]) -> None:
        """Delete the rows of these sessions before these ids."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM samples WHERE session = ? AND id < ?", keys)

    def strays(self, known: Container[int]) -> dict[int, int]:
        """How many rows there are of each session that is not known. Skips over the others'."""
        found: dict[int, int] = {}
        after = BEFORE_ALL.session
        first = "SELECT session, id FROM samples WHERE session > ? ORDER BY session, id LIMIT 1"
        count = "SELECT session, count(*) FROM samples WHERE session = ?"
        while rows := [*self._keyed(first, (after,))]:
            ((after, _),) = rows
            if after not in known:
                found |= dict(self._keyed(count, (after,)))
        return found

    def forget_strays(self, strays: Iterable[int], total: tuple[Session, Account]) -> None:
        """Delete all rows of these sessions, which cannot be sent: they are booked in the sum."""
        with self._transaction() as connection:
            rows = ((session,) for session in strays)
            connection.executemany("DELETE FROM samples WHERE session = ?", rows)
            _put(connection, [total])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._connection):
                yield self._connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(self.path, error) from error

    def _keyed(self, query: str, parameters: Sequence[int] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows that begin with a session and an id, which in a damaged file may be anything."""
        for row in self._select(query, parameters):
            if type(row[0]) is not int or type(row[1]) is not int:
                raise self._damaged("a sample without a key")
            yield row

    def _select(self, query: str, parameters: Sequence[int] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            # Not `yield from`, which would close the cursor, perhaps after the file.
            for row in self._connection.execute(query, parameters):  # noqa: UP028
                yield row
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(self.path, error) from error

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"{self.path}: is damaged ({what})", self.path)


OpenTier = Callable[[Path, Synchronous | None], Tier]
"""The seam to the files: `Tier` itself, or what a test passes in to see or to spoil them."""


def _put_move(connection: sqlite3.Connection, move: int) -> None:
    connection.execute("UPDATE moves SET number = ?, checksum = ?", (move, move_checksum(move)))


def _put(connection: sqlite3.Connection, sessions: Iterable[tuple[Session, Account]]) -> None:
    encoded = [(session, msgspec.json.encode(account)) for session, account in sessions]
    connection.executemany(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sequence)"
        " DO UPDATE SET account = excluded.account, checksum = excluded.checksum,"
        " sensors = coalesce(excluded.sensors, sensors)",
        [
            (
                *(s.sequence, s.id, s.period_ns, s.started_at_ns, account),
                *(session_checksum(s, account), sealed(s)),
            )
            for s, account in encoded
        ],
    )
