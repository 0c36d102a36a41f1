"""What became of each sample that reached the broker, by agent and session."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from broker.recorder.schema import MIGRATIONS, check_kind
from quartet.database import connect_to_read, store_error
from quartet.errors import StoreError

# Of what to_json() gives; raised when a reader of this one would misread it.
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SessionAccount:
    """The counts of one session. `gaps` counts ids, `missing` names them, within bounds."""

    agent_id: str
    session_id: str
    first_id: int | None
    last_id: int | None
    received: int
    answered: int
    duplicates: int
    refused: int
    gaps: int
    digest: str
    missing: list[tuple[int, int]]

    def problem(self) -> str:
        """What does not balance, or nothing."""
        fates = self.answered + self.duplicates + self.refused
        if self.received != fates:
            return f"received {self.received}, answered, duplicate or refused {fates}"
        passed = 0
        if self.first_id is not None and self.last_id is not None:
            passed = self.last_id - self.first_id + 1
        if (known := self.answered + self.gaps) != passed:
            return f"{passed} ids from {self.first_id} to {self.last_id}, {known} in the books"
        return ""


@dataclass(frozen=True, slots=True)
class PlainAccount:
    """The sum over those streams of plain peers that are still on record."""

    streams: int
    received: int
    answered: int


@dataclass(frozen=True, slots=True)
class Books:
    """All accounts, in the order in which their sessions began."""

    sessions: Sequence[SessionAccount]
    plain: PlainAccount

    def problems(self) -> list[str]:
        """What does not balance, session by session."""
        return [
            f"{account.agent_id}, session {account.session_id}: does not balance: {problem}"
            for account in self.sessions
            if (problem := account.problem())
        ]

    def to_json(self) -> str:
        """For programs."""
        tree = {"schema": _SCHEMA, "sessions": self.sessions, "plain": self.plain}
        return msgspec.json.encode(tree).decode()

    def to_text(self) -> str:
        """For people."""
        rows = [
            (
                *(account.agent_id, account.session_id, _shown(account.first_id)),
                *(_shown(account.last_id), str(account.received), str(account.answered)),
                *(str(account.duplicates), str(account.refused), str(account.gaps)),
            )
            for account in self.sessions
        ]
        plain = self.plain
        return "\n".join(
            [
                *(_aligned([_HEAD, *rows]) if rows else ["no sessions"]),
                f"plain peers: {plain.streams} streams, {plain.received} received,"
                f" {plain.answered} answered",
            ]
        )


_HEAD = (
    *("agent", "session", "first id", "last id"),
    *("received", "answered", "duplicates", "refused", "gaps"),
)

# Names to the left, numbers to the right.
_NAMES = 2


def read(path: Path) -> Books:
    """Read a store, beside a running broker or without one. StoreError where that fails."""
    try:
        there = path.is_file()
    except PermissionError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if not there:
        raise StoreError(f"{path}: there is no such file")
    check_kind(path)
    try:
        with closing(connect_to_read(path, len(MIGRATIONS))) as connection:
            connection.execute("BEGIN")  # one state of it, while a broker goes on
            return Books(_sessions(connection), _plain(connection))
    except sqlite3.Error as error:
        raise store_error(path, error) from error


def _sessions(connection: sqlite3.Connection) -> list[SessionAccount]:
    missing: dict[int, list[tuple[int, int]]] = {}
    for session, first, last in connection.execute("SELECT * FROM gaps ORDER BY session, first"):
        missing.setdefault(session, []).append((first, last))
    rows = connection.execute(
        "SELECT session, agent_id, id, first_id, last_id, received, answered, duplicates, refused,"
        " gaps, digest FROM sessions JOIN lines USING (line) WHERE agent_id IS NOT NULL"
        " ORDER BY session"
    )
    accounts = ([*row[1:], missing.get(row[0], [])] for row in rows)
    return [SessionAccount(*account) for account in accounts]


def _plain(connection: sqlite3.Connection) -> PlainAccount:
    row = connection.execute(
        "SELECT count(*), ifnull(sum(received), 0), ifnull(sum(answered), 0)"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NULL"
    ).fetchone()
    return PlainAccount(*row)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < _NAMES else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _shown(id_: int | None) -> str:
    return "-" if id_ is None else str(id_)
