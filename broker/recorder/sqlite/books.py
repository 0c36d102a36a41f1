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
    newest_kept: int | None
    """The highest id on record."""
    expected_from: int | None
    """The lowest id that must be on record: what comes before may be pruned. None: nothing."""

    def imbalance(self) -> str:
        """How the counters contradict each other; empty where they do not."""
        fates = self.answered + self.duplicates + self.refused
        if self.received != fates:
            return f"{self.received} received, but {fates} answered, duplicate or refused"
        known = self.first_id is not None and self.last_id is not None
        passed = self.last_id - self.first_id + 1 if known else 0  # type: ignore[operator]
        if passed != self.answered + self.gaps:
            return (
                f"{passed} ids from {self.first_id} to {self.last_id},"
                f" but {self.answered + self.gaps} are counted"
            )
        return ""


def sessions(rows: sqlite3.Connection) -> list[SessionRow]:
    """The sessions of all agents, in the order in which they began.

    A line is pruned from its oldest sample on. So nothing is pruned of a session that began
    after the oldest sample that is there.
    """
    found = rows.execute(
        "SELECT agent_id, session, id, first_id, last_id, received, answered, duplicates, refused,"
        " gaps, (SELECT max(id) FROM samples WHERE session = sessions.session),"
        " CASE WHEN (SELECT samples.session < sessions.session AND arrived_at_ns < opened_at_ns"
        "  FROM samples WHERE line = sessions.line ORDER BY position LIMIT 1) THEN first_id"
        " ELSE (SELECT min(id) FROM samples WHERE session = sessions.session) END"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NOT NULL AND id IS NOT NULL"
        " ORDER BY session"
    )
    return [SessionRow(*row) for row in found]


def holes(rows: sqlite3.Connection, session: SessionRow) -> list[IdRange]:
    """Ids that were answered, that are not pruned, and that have no record.

    Where not all jumps of the agent are named, some of them may be jumps.
    """
    expected, newest, last_id = session.expected_from, session.newest_kept, session.last_id
    if expected is None or last_id is None:
        return []
    between: list[IdRange] = []
    if newest is not None:
        between = rows.execute(
            "SELECT before + 1, id - 1 FROM (SELECT id, lag(id, 1, ?) OVER (ORDER BY id) AS before"
            " FROM samples WHERE session = ?) WHERE id > before + 1",
            (expected - 1, session.session),
        ).fetchall()
    behind = expected if newest is None else newest + 1
    if behind <= last_id:
        between.append((behind, last_id))
    return without(between, gaps(rows, session.session))


def unbooked(rows: sqlite3.Connection, session: SessionRow, known: list[Loss]) -> list[IdRange]:
    """Holes that nothing explains: neither a jump of the agent nor a loss that is booked."""
    missing = without(holes(rows, session), booked(known, session))
    named = sum(last - first + 1 for first, last in gaps(rows, session.session))
    count = sum(last - first + 1 for first, last in missing)
    return missing if count > session.gaps - named else []


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
