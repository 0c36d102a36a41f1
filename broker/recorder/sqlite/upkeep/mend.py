"""Makes the books of a salvaged store right: what the rows that were lost leave behind."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from broker.recorder.sqlite.books import SessionRow, booked, gaps, holes, losses, sessions
from broker.recorder.sqlite.checksums import line_checksum, session_checksum, session_verifies
from broker.recorder.sqlite.keeping import UNKNOWN
from broker.recorder.upkeep import IdRange, Loss, ranges, union, without
from quartet.plural import counted

_DAMAGED = "the records were damaged"

# What nothing refers to any more, or what would be in the way of new records.
_TIDY = """
    DELETE FROM explanations WHERE position NOT IN (SELECT position FROM samples);
    DELETE FROM gaps WHERE session NOT IN (SELECT session FROM sessions);
    DELETE FROM labels WHERE session NOT IN (SELECT session FROM sessions);
    DELETE FROM snapshots WHERE line NOT IN (SELECT line FROM lines);
    DELETE FROM former_snapshots WHERE line NOT IN (SELECT line FROM lines);
    DELETE FROM asides WHERE line NOT IN (SELECT line FROM lines);
    DELETE FROM events WHERE line NOT IN (SELECT line FROM lines);
    DELETE FROM standings WHERE line NOT IN (SELECT line FROM lines)
"""

_LOST_SESSIONS = """
    SELECT session, min(line), min(id) FROM known_sessions
    WHERE id IS NOT NULL AND session NOT IN (SELECT session FROM sessions)
    AND line IN (SELECT line FROM lines) GROUP BY session
"""

# A jump that is named where the index itself is lost: only of ids without a record, and not
# more of them than the session has counted.
_LIKELY_GAPS = """
    SELECT first, last FROM likely_gaps WHERE session = :session
    AND first > :first_id AND last < :last_id AND first <= last
    AND NOT EXISTS (
        SELECT 1 FROM samples WHERE session = :session AND id BETWEEN first AND last
    ) ORDER BY first
"""


class Mended(NamedTuple):
    """What the books say once they are right."""

    losses: list[Loss]
    """Found now, and booked."""
    notes: list[str]
    rebuilt: int
    """Sessions whose counters were lost."""
    sessions: int
    """Of agents."""
    answered: int
    on_record: int
    booked: int
    """Samples that had been booked as lost before."""


def mend(rows: sqlite3.Connection, now_ns: int) -> Mended:
    """Rebuild, balance and tidy up.

    In one transaction, which is open. Raises sqlite3.Error.
    """
    notes: list[str] = []
    rows.executemany(
        "INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?)",
        [
            (line, agent_id, UNKNOWN, line_checksum(line, agent_id))
            for line, agent_id in rows.execute("SELECT line, agent_id FROM known_lines").fetchall()
        ],
    )
    lost_sessions = rows.execute(_LOST_SESSIONS).fetchall()
    rebuilt = 0
    for session, line, id_ in lost_sessions:
        if row := _misnamed(rows, session, line, id_):
            notes.append(f"session {id_}: its name was damaged, and is taken from an index")
        else:
            rebuilt += 1
            checksum = session_checksum(session, line, id_, 0)
            row = (session, line, id_, None, None, 0, 0, 0, 0, 0, "", 0, checksum)
            notes.append(f"session {id_}: its counters are lost, and were rebuilt from its samples")
        rows.execute("INSERT OR IGNORE INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
    known = losses(rows)
    found: list[Loss] = []
    for each in sessions(rows):
        _balance(rows, each)
    for statement in _TIDY.split(";"):
        rows.execute(statement)
    books = sessions(rows)
    for each in books:
        if each.answered and each.newest_kept is None and each.expected_from is None:
            notes.append(
                f"{each.agent_id}, session {each.session_id}: has no recorded samples: they were"
                " deleted, or are lost"
            )
        found += _lost(rows, each, known, now_ns)
    found += _nameless(rows, now_ns)
    rows.executemany(
        "INSERT INTO losses VALUES (?, ?, ?, ?, ?, ?)",
        (
            (loss.agent_id, loss.session_id, loss.first, loss.last, loss.why, loss.at_ns)
            for loss in found
        ),
    )
    on_record = "SELECT count(*) FROM samples WHERE session = ?"
    return Mended(
        found,
        notes,
        rebuilt=rebuilt,
        sessions=len(books),
        answered=sum(row.answered for row in books),
        on_record=sum(rows.execute(on_record, (row.session,)).fetchone()[0] for row in books),
        booked=sum(_size(booked(known, row)) for row in books),
    )


def _misnamed(
    rows: sqlite3.Connection, session: int, line: int, id_: str
) -> tuple[Any, ...] | None:
    """The row of a session that verifies with what an index says of it, if there is one."""
    for row in rows.execute("SELECT * FROM misnamed_sessions ORDER BY received DESC").fetchall():
        named = (session, line, id_, *row[3:])
        if row[-1] is not None and session_verifies((*named[:3], *named[11:])):
            return named
    return None


def _size(ids: list[IdRange]) -> int:
    return sum(last - first + 1 for first, last in union(ids))


def _balance(rows: sqlite3.Connection, row: SessionRow) -> None:
    """Have the counters of a session agree with each other and with what is known of its ids."""
    first_id, last_id = row.first_id, row.last_id
    is_counted = row.received == row.answered + row.duplicates + row.refused
    if last_id is None or (row.imbalance() and is_counted):
        seen = _seen(rows, row.session, ("samples", "lost_samples"))
    elif row.newest_kept is not None and row.newest_kept > last_id:
        seen = [last_id, *_seen(rows, row.session, ("verified_samples",))]
    else:
        seen = [last_id]
    if seen:
        last_id = max(seen)
        first_id = min(seen) if first_id is None else min(first_id, *seen)
    if first_id is None or last_id is None:
        span = 0
    else:
        span = last_id - first_id + 1
        _take_likely_gaps(rows, row, first_id, last_id)
    named = sum(last - first + 1 for first, last in gaps(rows, row.session))
    jumped = min(span, max(row.gaps, named))
    answered = span - jumped
    rows.execute(
        "UPDATE sessions SET first_id = ?, last_id = ?, received = ?, answered = ?, gaps = ?"
        " WHERE session = ?",
        (
            *(first_id, last_id, answered + row.duplicates + row.refused),
            *(answered, jumped, row.session),
        ),
    )


def _seen(rows: sqlite3.Connection, session: int, tables: Sequence[str]) -> list[int]:
    """The lowest and the highest id of a session in each table."""
    return [
        id_
        for table in tables
        for id_ in rows.execute(
            f"SELECT min(id), max(id) FROM {table} WHERE session = ?",  # noqa: S608
            (session,),
        ).fetchone()
        if id_ is not None
    ]


def _take_likely_gaps(
    rows: sqlite3.Connection, row: SessionRow, first_id: int, last_id: int
) -> None:
    left = row.gaps - sum(last - first + 1 for first, last in gaps(rows, row.session))
    for first, last in rows.execute(
        _LIKELY_GAPS, {"session": row.session, "first_id": first_id, "last_id": last_id}
    ).fetchall():
        if (count := last - first + 1) <= left:
            rows.execute("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?)", (row.session, first, last))
            left -= count


def _lost(
    rows: sqlite3.Connection, row: SessionRow, known: list[Loss], now_ns: int
) -> Iterator[Loss]:
    """The samples of a session that were answered, and that have no record any more."""
    certain = ranges(
        id_
        for (id_,) in rows.execute(
            "SELECT DISTINCT id FROM lost_samples AS lost WHERE session = ? AND id <= ?"
            " AND NOT EXISTS ("
            "  SELECT 1 FROM samples WHERE session = lost.session AND samples.id = lost.id"
            " ) ORDER BY id",
            (row.session, row.last_id),
        )
    )
    before = booked(known, row)
    jumps = row.gaps - sum(last - first + 1 for first, last in gaps(rows, row.session))
    perhaps = without(holes(rows, row), certain)
    told = (
        ((certain, _DAMAGED), (perhaps, f"{_DAMAGED}; the agent left out {jumps} of them"))
        if jumps
        else ((union(certain, perhaps), _DAMAGED),)
    )
    for ids, why in told:
        for first, last in without(ids, before):
            yield Loss(row.agent_id, row.session_id, first, last, why, now_ns)


def _nameless(rows: sqlite3.Connection, now_ns: int) -> Iterator[Loss]:
    """Samples that are there, and of which nobody can tell the agent or the session."""
    for line, count in rows.execute(
        "SELECT line, count(*) FROM samples WHERE line NOT IN (SELECT line FROM lines)"
        " GROUP BY line"
    ).fetchall():
        why = (
            f"{_DAMAGED}: the name of the agent of line {line} is lost; the samples themselves"
            f" are kept ({counted(count, 'sample')})"
        )
        yield Loss(None, None, None, None, why, now_ns)
    # The oldest sessions are forgotten on purpose, and their samples stay for the line.
    for agent_id, first, last, count in rows.execute(
        "SELECT agent_id, min(id), max(id), count(*) FROM samples JOIN lines USING (line)"
        " WHERE agent_id IS NOT NULL AND session NOT IN (SELECT session FROM sessions)"
        " AND session > ifnull("
        "  (SELECT min(session) FROM sessions WHERE line = lines.line), 0)"
        " GROUP BY agent_id, session"
    ).fetchall():
        why = (
            f"{_DAMAGED}: the name of their session is lost; the samples themselves are kept"
            f" ({counted(count, 'sample')})"
        )
        yield Loss(agent_id, None, first, last, why, now_ns)
