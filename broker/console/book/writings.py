"""What people write: acknowledgements, notes, audit. In a transaction; raises sqlite3.Error."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from broker.console.book.model import (
    ASKED_FOR_RESET,
    MOST_NAME,
    MOST_TEXT,
    Acknowledgement,
    Act,
    AlarmQuery,
    AlarmState,
    Note,
    RecordedAlarm,
)
from broker.errors import CommandError
from broker.recorder.reader import Span

# Of the audit, by verb: whoever guesses passwords or downloads very often fills no disk with it,
# and drives nothing else out.
MOST_ACTS = 20_000

_PRUNE = """
    DELETE FROM audit WHERE act IN (
        SELECT act FROM (
            SELECT act, row_number() OVER (PARTITION BY verb ORDER BY act DESC) AS place FROM audit
        ) WHERE place > ?
    )
"""

# The broker stamps an alarm and its first sample one after the other, where an agent stamps none.
_NEAR_NS = 10**9

# Of one agent: one in four hours, for five years.
MOST_NOTES = 10_000

# Of one picture: 400 KB of text at most.
MOST_SHOWN = 200

_ALARM = (
    "SELECT agents.agent_id, alarms.begun_at_ns, latest_at_ns, is_open, reason, samples,"
    " name, at_ns, note FROM alarms JOIN agents USING (agent) LEFT JOIN acknowledgements AS known"
    " ON known.agent_id = agents.agent_id AND known.begun_at_ns = alarms.begun_at_ns"
)

_STATES = {
    AlarmState.OPEN: "is_open AND name IS NULL",
    AlarmState.ACKNOWLEDGED: "is_open AND name IS NOT NULL",
    AlarmState.ENDED: "NOT is_open",
}


def alarms(rows: sqlite3.Connection, query: AlarmQuery) -> Sequence[RecordedAlarm]:
    """Those that meet the query, newest first; of one time, by agent."""
    where = ["alarms.begun_at_ns < ?", "(is_open OR latest_at_ns >= ?)"]
    values: list[Any] = [query.span.until_ns, query.span.since_ns]
    if query.state:
        where.append(_STATES[query.state])
    if query.is_acknowledged is not None:
        where.append("name IS NOT NULL" if query.is_acknowledged else "name IS NULL")
    if query.agent_id is not None:
        where.append("agents.agent_id = ?")
        values.append(query.agent_id)
    if query.part:
        where.append("instr(lower(agents.agent_id), lower(?)) > 0")
        values.append(query.part)
    if query.behind:
        begun_at_ns, agent_id = query.behind
        where.append("(alarms.begun_at_ns < ? OR alarms.begun_at_ns = ? AND agents.agent_id > ?)")
        values += (begun_at_ns, begun_at_ns, agent_id)
    found = rows.execute(
        f"{_ALARM} WHERE {' AND '.join(where)}"
        " ORDER BY alarms.begun_at_ns DESC, agents.agent_id LIMIT ?",
        (*values, query.most),
    )
    return [_alarm(row) for row in found]


def acknowledge(
    rows: sqlite3.Connection, agent_id: str, at_ns: int, known: Acknowledgement
) -> None:
    """Note that somebody knows of the alarm that began, or was on, at a time.

    In place of what was noted before. CommandError: there is no such alarm, or no such text.
    """
    _check(known.by, known.note)
    found = rows.execute(
        "SELECT begun_at_ns FROM alarms JOIN agents USING (agent) WHERE agent_id = ?1"
        " AND begun_at_ns <= ?2 + ?3 AND latest_at_ns >= ?2 - ?3"  # an open one may have ended
        " ORDER BY begun_at_ns > ?2, begun_at_ns DESC LIMIT 1",
        (agent_id, at_ns, _NEAR_NS),
    ).fetchone()
    if not found:
        raise CommandError(f"{agent_id} had no alarm at this time: reload the page")
    rows.execute(
        "INSERT OR REPLACE INTO acknowledgements VALUES (?, ?, ?, ?, ?)",
        (agent_id, found[0], known.at_ns, known.by, known.note),
    )


def open_alarms(rows: sqlite3.Connection) -> Sequence[RecordedAlarm]:
    """The alarms that have not ended: one of an agent at the most."""
    return [_alarm(row) for row in rows.execute(f"{_ALARM} WHERE is_open")]


def add_note(rows: sqlite3.Connection, agent_id: str, note: Note) -> None:
    """Add a note. CommandError for a text that is empty or too long."""
    if not note.text.strip():
        raise CommandError("the note is empty: write what you saw")
    _check(note.by, note.text)
    (count,) = rows.execute("SELECT count(*) FROM notes WHERE agent_id = ?", (agent_id,)).fetchone()
    if count >= MOST_NOTES:
        raise CommandError(f"{agent_id} has {count} notes: no more are kept")
    rows.execute(
        "INSERT INTO notes (agent_id, at_ns, name, text, written_at_ns) VALUES (?, ?, ?, ?, ?)",
        (agent_id, note.at_ns, note.by, note.text, note.written_at_ns),
    )


def notes(rows: sqlite3.Connection, agent_id: str, span: Span) -> Sequence[Note]:
    """What was noted about an agent in a span, in its order: the latest, MOST_SHOWN and one."""
    found = rows.execute(
        "SELECT at_ns, name, text, written_at_ns FROM notes"
        " WHERE agent_id = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns DESC, note DESC LIMIT ?",
        (agent_id, span.since_ns, span.until_ns, MOST_SHOWN + 1),
    ).fetchall()
    return [Note(*row) for row in reversed(found)]


def resets(rows: sqlite3.Connection, agent_id: str) -> Sequence[tuple[int, str]]:
    """When a reset of an agent's model was asked for at the console, and by whom, in order."""
    return rows.execute(
        "SELECT at_ns, name FROM notes WHERE agent_id = ? AND text = ? ORDER BY at_ns",
        (agent_id, ASKED_FOR_RESET),
    ).fetchall()


def record(rows: sqlite3.Connection, act: Act, most: int = MOST_ACTS) -> None:
    """Add an act to the audit. Of each verb the newest are kept, `most` or up to a tenth more."""
    at = rows.execute(
        "INSERT INTO audit (at_ns, name, address, verb, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (act.at_ns, act.by, act.address, act.verb, act.subject, act.detail),
    ).lastrowid
    if (at or 0) % max(1, most // 10) == 0:
        rows.execute(_PRUNE, (most,))


def acts(rows: sqlite3.Connection, before: int, most: int) -> Sequence[tuple[int, Act]]:
    """The acts of the audit whose number is below one, with their numbers, newest first."""
    found = rows.execute(
        "SELECT act, at_ns, name, address, verb, subject, detail FROM audit WHERE act < ?"
        " ORDER BY act DESC LIMIT ?",
        (before, most),
    )
    return [(number, Act(*row)) for number, *row in found]


def _check(by: str, text: str) -> None:
    if not by.strip() or len(by) > MOST_NAME or not by.isprintable():
        raise CommandError(f"a name has 1 to {MOST_NAME} visible characters")
    if len(text) > MOST_TEXT:
        raise CommandError(f"the text has {len(text)} characters: at most {MOST_TEXT} are kept")


def _alarm(row: tuple[Any, ...]) -> RecordedAlarm:
    agent_id, begun_at_ns, latest_at_ns, is_open, reason, samples, name, at_ns, note = row
    known = None if name is None else Acknowledgement(name, at_ns, note)
    ended_at_ns = None if is_open else latest_at_ns
    return RecordedAlarm(agent_id, begun_at_ns, ended_at_ns, reason or "", samples, known)
