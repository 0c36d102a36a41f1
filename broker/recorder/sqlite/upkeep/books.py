"""What the tables of an open store say of each other: who has which ids, and what is missing."""

import sqlite3
from typing import NamedTuple

from broker.recorder.upkeep import IdRange, Loss, without


class SessionRow(NamedTuple):
    """A session of an agent, and how its samples lie in the records."""

    agent_id: str
    session: int
    session_id: str
    first_id: int | None
    last_id: int | None
    received: int
    answered: int
    duplicates: int
    refused: int
    gaps: int
    oldest_kept: int | None
    """The ids of its oldest and newest sample on record: older ones may be pruned."""
    newest_kept: int | None

    def imbalance(self) -> str:
        """How the counters contradict each other; empty where they do not."""
        fates = self.answered + self.duplicates + self.refused
        if self.received != fates:
            return f"received {self.received}, answered, duplicate or refused {fates}"
        known = self.first_id is not None and self.last_id is not None
        passed = self.last_id - self.first_id + 1 if known else 0  # type: ignore[operator]
        if passed != self.answered + self.gaps:
            return (
                f"{passed} ids from {self.first_id} to {self.last_id},"
                f" {self.answered + self.gaps} in the books"
            )
        return ""


def sessions(rows: sqlite3.Connection) -> list[SessionRow]:
    """The sessions of all agents, in the order in which they began."""
    found = rows.execute(
        "SELECT agent_id, session, id, first_id, last_id, received, answered, duplicates, refused,"
        " gaps, (SELECT min(id) FROM samples WHERE session = sessions.session),"
        " (SELECT max(id) FROM samples WHERE session = sessions.session)"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NOT NULL AND id IS NOT NULL"
        " ORDER BY session"
    )
    return [SessionRow(*row) for row in found]


def holes(rows: sqlite3.Connection, session: SessionRow) -> list[IdRange]:
    """Ids that were answered behind the oldest sample on record, and that have no record.

    Where not all jumps of the agent are named, some of them may be jumps.
    """
    if session.oldest_kept is None or session.newest_kept is None or session.last_id is None:
        return []
    between: list[IdRange] = rows.execute(
        "SELECT before + 1, id - 1 FROM (SELECT id, lag(id) OVER (ORDER BY id) AS before"
        " FROM samples WHERE session = ?) WHERE id > before + 1",
        (session.session,),
    ).fetchall()
    if session.newest_kept < session.last_id:
        between.append((session.newest_kept + 1, session.last_id))
    return without(between, gaps(rows, session.session))


def gaps(rows: sqlite3.Connection, session: int) -> list[IdRange]:
    """The ids that the agent jumped over, as far as they are named."""
    return rows.execute(
        "SELECT first, last FROM gaps WHERE session = ? ORDER BY first", (session,)
    ).fetchall()


def losses(rows: sqlite3.Connection) -> list[Loss]:
    """What is booked as lost. None in a store that an older version wrote."""
    if "losses" not in tables(rows):
        return []
    found = rows.execute(
        "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY rowid"
    )
    return [Loss(*row) for row in found]


def booked(known: list[Loss], session: SessionRow) -> list[IdRange]:
    """The ids of a session that are booked as lost."""
    return sorted(
        (loss.first, loss.last)
        for loss in known
        if (loss.agent_id, loss.session_id) == (session.agent_id, session.session_id)
        and loss.first is not None
        and loss.last is not None
    )


def tables(rows: sqlite3.Connection) -> set[str]:
    """The names of all tables."""
    return {name for (name,) in rows.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def columns(rows: sqlite3.Connection, table: str) -> set[str]:
    """The names of a table's columns."""
    return {row[1] for row in rows.execute(f"PRAGMA table_info({table})")}
