"""What becomes of the history where the store is another one, or a former state of itself.

Raises sqlite3.Error, in a transaction.
"""

import sqlite3
from collections.abc import Collection

from broker.console.book import tables
from broker.console.book.rollups import LEVELS, Level
from broker.recorder.reader import LineState, Span

_MS = 10**6


def known(rows: sqlite3.Connection, lines: Collection[LineState]) -> set[str]:
    """The agents whose lines are those that were read: the store is the same one then."""
    return {
        line.agent_id
        for line in lines
        if line.peer and tables.peer(rows, line.agent_id) == line.peer
    }


def is_foreign(rows: sqlite3.Connection, lines: Collection[LineState]) -> bool:
    """Whether a store has no line that was read, but others."""
    has_read = any(tables.peer(rows, agent_id) for agent_id in tables.agents(rows))
    return has_read and bool(lines) and not known(rows, lines)


def go_on(rows: sqlite3.Connection, same: Collection[str], cursor: str) -> None:
    """Read on behind a cursor. Agents but for these have no line that is known.

    Nobody has forgotten them, so that their history stays.
    """
    for agent_id in tables.agents(rows):
        if agent_id not in same:
            rows.execute(
                "DELETE FROM tails WHERE agent = (SELECT agent FROM agents WHERE agent_id = ?)",
                (agent_id,),
            )
            rows.execute("UPDATE agents SET peer = '' WHERE agent_id = ?", (agent_id,))
    rows.execute("UPDATE progress SET cursor = ?", (cursor,))


def delete_step(rows: sqlite3.Connection, line: LineState) -> bool:
    """Delete a part of what a line's samples give again; whether there may be more.

    Not what is older than they are: of this, nothing is left but the history.
    """
    if line.oldest_ns is None or line.latest is None:
        return False
    span = Span(line.oldest_ns, line.latest.sampled_at_ns)
    for level in LEVELS:
        first = span.since_ns // level.width_ns
        last = span.until_ns // level.width_ns
        if _has_more(rows, line.agent_id, level, first, span):
            first += 1
        if _has_more(rows, line.agent_id, level, last, span):
            last -= 1
        if tables.delete_between(rows, line.agent_id, level, first, last):
            return True
    rows.execute(
        "DELETE FROM alarms WHERE agent = (SELECT agent FROM agents WHERE agent_id = ?)"
        " AND begun_at_ns BETWEEN ? AND ?",
        (line.agent_id, span.since_ns, span.until_ns),
    )
    return False


def _has_more(
    rows: sqlite3.Connection, agent_id: str, level: Level, number: int, span: Span
) -> bool:
    """Whether a bucket has samples before or after a span."""
    stats = dict(tables.buckets(rows, agent_id, level, number, number)).get(number)
    if stats is None:
        return False
    begin_ms = number * level.width_ns // _MS
    return (
        begin_ms + stats.first_ms < span.since_ns // _MS
        or begin_ms + stats.last_ms > span.until_ns // _MS
    )
