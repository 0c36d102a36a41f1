"""What happened to lines, and how they stand: few rows, and the newest alone."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from broker.model import Alarm, Learning, Standing
from broker.records import ENDED_BY_AGENT, Batch, Claim, Event, EventKind
from quartet.foreign import shown

_ADD = """
    INSERT INTO events (line, at_ns, kind, text) SELECT line, ?, ?, ? FROM lines
    WHERE line = ? AND agent_id IS NOT NULL
"""

# Of its streams and of its predictor each: who only opens streams pushes out nothing else. And
# since when a predictor learns outlasts all restarts.
_OF_STREAMS = "kind IN ('opened', 'ended', 'superseded')"
_BOUNDS = [
    f"""
    DELETE FROM events WHERE line = ?1 AND {kinds} AND event <= (
        SELECT event FROM events WHERE line = ?1 AND {kinds} ORDER BY event DESC LIMIT 1 OFFSET ?2
    ) AND event IS NOT (SELECT max(event) FROM events WHERE line = ?1 AND kind = 'begun')
    """  # noqa: S608
    for kinds in (_OF_STREAMS, f"NOT {_OF_STREAMS}")
]
# An agent whose readings were late ends its stream, and opens the next at once.
_NEXT_STREAM_NS = 10**9
_LATEST_OF_STREAMS = f"""
    SELECT event, kind, text, at_ns FROM events WHERE line = ? AND {_OF_STREAMS}
    ORDER BY event DESC LIMIT 2
"""  # noqa: S608
_CERTIFICATE = """
    INSERT INTO standings (line, certificate_until_ns) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET certificate_until_ns = excluded.certificate_until_ns
"""
_STANDING = """
    INSERT INTO standings (line, learned, to_learn, alarm_since_ns, alarm_reason, shift)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET learned = excluded.learned, to_learn = excluded.to_learn,
        alarm_since_ns = excluded.alarm_since_ns, alarm_reason = excluded.alarm_reason,
        shift = excluded.shift
"""
STANDING_COLUMNS = (
    "learned, to_learn, alarm_since_ns, CAST(alarm_reason AS BLOB), CAST(shift AS BLOB)"
)
"""What standing_of() needs of a row of `standings`."""


class Happened(NamedTuple):
    """The end of a stream, and when it was."""

    claim: Claim
    line: int
    """0: that of its claim, where it begins in the same round."""
    at_ns: int
    event: Event


class Events:
    """Written within the transactions of others. One thread at a time; raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, most: int) -> None:
        """`most`: of one line."""
        self._connection = connection
        self._most = most

    def write(self, batch: Batch, line: int) -> None:
        """Add what a batch of an agent tells, apart from its samples."""
        if batch.opened:
            self._connection.execute(_CERTIFICATE, (line, batch.opened.certificate_until_ns))
            opened = Event(EventKind.OPENED, f"from {batch.claim.peer}")
            if not self._continues(line, opened, batch.arrived_at_ns):
                self.add(line, batch.arrived_at_ns, [opened])
        self.add(line, batch.arrived_at_ns, batch.events)
        if standing := batch.standing:
            learning, alarm = standing.learning, standing.alarm
            learned = (learning.seen, learning.needed) if learning else (None, None)
            alarmed = (alarm.since_ns, alarm.reason) if alarm else (None, None)
            self._connection.execute(_STANDING, (line, *learned, *alarmed, standing.shift))

    def add(self, line: int, at_ns: int, events: Sequence[Event]) -> None:
        """Add events of an agent's line; those of one that is gone are left out."""
        if not events:
            return
        self._connection.executemany(
            _ADD, ((at_ns, event.kind, shown(event.text), line) for event in events)
        )
        for bound in _BOUNDS:
            self._connection.execute(bound, (line, self._most))

    def standing(self, line: int) -> Standing:
        """How a line stands on record."""
        row = self._connection.execute(
            f"SELECT {STANDING_COLUMNS} FROM standings WHERE line = ?",  # noqa: S608
            (line,),
        ).fetchone()
        return standing_of(*row) if row else Standing()

    def _continues(self, line: int, opened: Event, at_ns: int) -> bool:
        """Whether the stream before was ended for this one; then its end is taken back."""
        before = self._connection.execute(_LATEST_OF_STREAMS, (line,)).fetchall()
        if [row[1:3] for row in before] != [
            (EventKind.ENDED, ENDED_BY_AGENT),
            (EventKind.OPENED, shown(opened.text)),
        ]:
            return False
        event, *_, ended_at_ns = before[0]
        if at_ns - ended_at_ns >= _NEXT_STREAM_NS:
            return False
        self._connection.execute("DELETE FROM events WHERE event = ?", (event,))
        return True


def standing_of(
    learned: int | None,
    to_learn: int | None,
    alarm_since_ns: int | None,
    reason: bytes | None,
    shift: bytes | None,
) -> Standing:
    """A row of STANDING_COLUMNS, which has no checksum: what cannot be read of it is left out."""
    learning = alarm = None
    if isinstance(learned, int) and isinstance(to_learn, int):
        learning = Learning(learned, to_learn)
    if isinstance(alarm_since_ns, int):
        alarm = Alarm(alarm_since_ns, _text(reason))
    return Standing(learning, alarm, _text(shift) or None)


def _text(raw: bytes | None) -> str:
    return shown((raw or b"").decode(errors="replace"))


def certificate_of(until_ns: object) -> int | None:
    """When a certificate expires; None where that cannot be read either."""
    return until_ns if isinstance(until_ns, int) else None


def delete_old(connection: sqlite3.Connection, before_ns: int, after: int, most: int) -> int:
    """Delete what is old of the next `most` events behind one; the last of them, 0 at the end.

    The latest opening or end of a line's streams stays: it tells whether its agent is connected.
    In a transaction.
    """
    rows = connection.execute(
        "SELECT event, at_ns FROM events WHERE event > ? ORDER BY event LIMIT ?", (after, most)
    ).fetchall()
    old = [event for event, at_ns in rows if at_ns < before_ns]
    connection.executemany(
        "DELETE FROM events WHERE event = ?1 AND event != ifnull((SELECT max(event)"  # noqa: S608
        f" FROM events AS other WHERE other.line = events.line AND {_OF_STREAMS}), 0)",
        ((event,) for event in old),
    )
    return int(rows[-1][0]) if len(old) == most else 0
