"""What a line's black box went through: its states on record, and the samples behind them."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from broker.recorder.reader import Course, RecordedSample, RecordedSnapshot
from broker.recorder.sqlite.checksums import SNAPSHOT_COLUMNS, snapshot_verifies
from broker.recorder.sqlite.keeping import CUT
from broker.recorder.sqlite.rows import SAMPLE, sample_of

# In the column `is_kept`: the black box was a fresh one there.
_REBASED = 2

_LINE = "(SELECT line FROM lines WHERE agent_id = ?)"


def recent(
    rows: sqlite3.Connection, agent_id: str, since_ns: int, most: int
) -> list[RecordedSample]:
    """The newest samples that arrived at this time or later, in their order."""
    found = rows.execute(
        f"{SAMPLE} WHERE samples.line = {_LINE} ORDER BY position DESC LIMIT ?",
        (agent_id, most),
    )
    young = takewhile(lambda row: row[5] >= since_ns, found)
    return [sample_of(row) for row in young][::-1]


def snapshot(rows: sqlite3.Connection, agent_id: str, at_ns: int) -> RecordedSnapshot | None:
    """The newest state up to this time of sampling; where there is none, the oldest behind it."""
    found = rows.execute("SELECT line FROM lines WHERE agent_id = ?", (agent_id,)).fetchone()
    if found is None:
        return None
    oldest = None
    for each in _snapshots(rows, found[0]):
        oldest = each
        if each.sampled_at_ns <= at_ns:
            return each
    return _beginning(rows, found[0]) or oldest


def course(rows: sqlite3.Connection, agent_id: str, cursor: str, most: int) -> Course:
    """The next samples of a line behind a cursor, with the states on record between them."""
    after = int(cursor)
    found = rows.execute(
        f"{SAMPLE} WHERE samples.line = {_LINE} AND position > ? ORDER BY position LIMIT ?",
        (agent_id, after, most),
    ).fetchall()
    positions = [row[-1] for row in found]
    end = positions[-1] if positions else after
    (line,) = rows.execute(f"SELECT {_LINE}", (agent_id,)).fetchone()
    between = rows.execute(
        f"SELECT {SNAPSHOT_COLUMNS}, is_kept FROM snapshots"  # noqa: S608
        " WHERE line = ? AND position > ? AND position <= ? ORDER BY position",
        (line, after, end),
    )
    snapshots = []
    for *row, is_kept in between.fetchall():
        if snapshot_verifies(row):
            number = bisect_right(positions, row[1])
            taken_ns = found[number - 1][4] if number else row[4]
            snapshots.append((number, _snapshot(row, is_kept, taken_ns)))
    return Course([sample_of(row) for row in found], snapshots, str(end))


def _snapshots(rows: sqlite3.Connection, line: int) -> Iterator[RecordedSnapshot]:
    """Those that a black box can begin with, the newest first."""
    positions = rows.execute(
        "SELECT position FROM snapshots WHERE line = ? AND state IS NOT NULL"
        " UNION SELECT position FROM snapshots WHERE line = ? AND is_kept = ?"
        " ORDER BY position DESC",
        (line, line, _REBASED),
    ).fetchall()
    for (position,) in positions:
        taken = rows.execute(
            "SELECT sampled_at_ns FROM samples WHERE line = ? AND position <= ?"
            " ORDER BY position DESC LIMIT 1",
            (line, position),
        ).fetchone()
        *row, is_kept = rows.execute(
            f"SELECT {SNAPSHOT_COLUMNS}, is_kept FROM snapshots WHERE line = ? AND position = ?",  # noqa: S608
            (line, position),
        ).fetchone()
        if snapshot_verifies(row):
            yield _snapshot(row, is_kept, taken[0] if taken else row[4])


def _snapshot(row: list[Any], is_kept: int, sampled_at_ns: int) -> RecordedSnapshot:
    _, position, digest, state_of, arrived_at_ns, _ = row
    return RecordedSnapshot(
        digest.decode(),
        state_of,
        is_kept == _REBASED,
        sampled_at_ns,
        arrived_at_ns,
        str(position),
    )


def _beginning(rows: sqlite3.Connection, line: int) -> RecordedSnapshot | None:
    """A fresh black box before the line's first sample, where that is still on record."""
    first = rows.execute(
        "SELECT position, session, id, sampled_at_ns, arrived_at_ns FROM samples"
        " WHERE line = ? ORDER BY position LIMIT 1",
        (line,),
    ).fetchone()
    session = rows.execute(
        "SELECT session, first_id, digest FROM sessions WHERE line = ? ORDER BY session LIMIT 1",
        (line,),
    ).fetchone()
    if first is None or session is None or first[1:3] != session[:2]:
        return None
    was_cut = rows.execute(
        "SELECT 1 FROM commands JOIN lines USING (agent_id) WHERE line = ? AND name = ?",
        (line, CUT),
    ).fetchone()
    position, _, _, sampled_at_ns, arrived_at_ns = first
    if was_cut:
        return None
    return RecordedSnapshot(session[2], None, True, sampled_at_ns, arrived_at_ns, str(position - 1))
