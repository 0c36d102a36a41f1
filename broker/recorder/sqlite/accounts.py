"""What became of each sample, as the sessions of a store have counted."""

import sqlite3

from broker.recorder.reader import Accounts, PlainAccount, SessionAccount, Sessions
from broker.recorder.sqlite.keeping import REHEARSAL
from broker.recorder.sqlite.rows import IS_REHEARSAL, LABELS, sensors_of
from broker.recorder.upkeep import Loss
from quartet.plural import counted

# Ranges that one session of a page names.
_MOST_MISSING = 100


_SESSIONS = (
    "SELECT session, agent_id, id, first_id, last_id, received, answered, duplicates, refused,"  # noqa: S608
    f" gaps, digest, {IS_REHEARSAL} FROM sessions JOIN lines USING (line)"
)


def accounts(rows: sqlite3.Connection) -> Accounts:
    """Those of all sessions. Raises DatabaseError where the indexes of samples are damaged."""
    _look_through(rows)
    missing: dict[int, list[tuple[int, int]]] = {}
    for session, first, last in rows.execute("SELECT * FROM gaps ORDER BY session, first"):
        missing.setdefault(session, []).append((first, last))
    labels = {row[0]: sensors_of(row) for row in rows.execute(LABELS)}
    found = rows.execute(f"{_SESSIONS} WHERE agent_id IS NOT NULL ORDER BY session", (REHEARSAL,))
    lost = rows.execute(
        "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY rowid"
    )
    return Accounts(
        [
            SessionAccount(
                *[*row, missing.get(session, []), bool(is_rehearsal), labels.get(session)]
            )
            for session, *row, is_rehearsal in found
        ],
        plain(rows),
        [Loss(*row) for row in lost],
    )


def sessions(rows: sqlite3.Connection, agent_id: str, most: int) -> Sessions:
    """Those of an agent's newest sessions, without a look at its samples."""
    found = rows.execute(
        f"{_SESSIONS} WHERE agent_id = ? ORDER BY session DESC LIMIT ?",
        (REHEARSAL, agent_id, most),
    ).fetchall()
    newest = []
    for session, *row, is_rehearsal in found:
        missing = rows.execute(
            "SELECT first, last FROM gaps WHERE session = ? ORDER BY first LIMIT ?",
            (session, _MOST_MISSING),
        ).fetchall()
        label = rows.execute(f"{LABELS} WHERE session = ?", (session,)).fetchone()
        sensors = sensors_of(label) if label else None
        newest.append(SessionAccount(*[*row, missing, bool(is_rehearsal), sensors]))
    (count,) = rows.execute(
        "SELECT count(*) FROM sessions JOIN lines USING (line) WHERE agent_id = ?", (agent_id,)
    ).fetchone()
    return Sessions(newest, count)


def plain(rows: sqlite3.Connection) -> PlainAccount:
    """The sum over the streams of plain peers that are still on record."""
    counts = rows.execute(
        "SELECT count(*), ifnull(sum(received), 0), ifnull(sum(answered), 0)"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NULL AND id IS NULL"
    ).fetchone()
    return PlainAccount(*counts)


def _look_through(rows: sqlite3.Connection) -> None:
    """Raise DatabaseError where the indexes of samples are damaged. Reads no sample."""
    by_id, by_line = rows.execute(
        "SELECT (SELECT count(*) FROM samples INDEXED BY samples_by_id WHERE session > 0),"
        " (SELECT count(*) FROM samples INDEXED BY samples_by_line WHERE line > 0)"
    ).fetchone()
    if by_id != by_line:
        raise sqlite3.DatabaseError(
            f"{counted(by_id, 'sample')} by their ids, {by_line} by their agents"
        )
