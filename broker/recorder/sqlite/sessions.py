"""The rows of sessions: what each has counted, and the ids that it jumped over."""

import sqlite3
from collections.abc import Sequence

from broker.recorder.sqlite.aside import Asides
from broker.recorder.sqlite.checksums import labels_checksum, session_checksum
from broker.recorder.sqlite.keeping import Keeping
from broker.records import Batch

_ADD = """
    UPDATE sessions SET
        first_id = coalesce(first_id, ?), last_id = coalesce(?, last_id),
        received = received + ?, answered = answered + ?, duplicates = duplicates + ?,
        refused = refused + ?, gaps = gaps + ?, digest = ?
    WHERE session = ?
"""
_BEGIN = "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LABEL = """
    INSERT INTO labels VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET line = excluded.line, sensors = excluded.sensors, checksum = excluded.checksum
"""
_FORGET_LABELS = """
    DELETE FROM labels WHERE line = ?1 AND session <= (
        SELECT session FROM labels WHERE line = ?1 ORDER BY session DESC LIMIT 1 OFFSET ?2
    )
"""


class Sessions:
    """Written within the transactions of others. One thread at a time; raises sqlite3.Error."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        digest: str,
        keeping: Keeping,
        asides: Asides,
        next_number: int,
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._asides = asides
        self._digest = digest
        self._keeping = keeping
        self._next_number = next_number

    def number(self, line: int, session_id: str) -> int:
        """The number of an agent's session; 0 where it is new."""
        row = self._connection.execute(
            "SELECT session FROM sessions WHERE line = ? AND id = ?", (line, session_id)
        ).fetchone()
        return row[0] if row else 0

    def write(self, batch: Batch, line: int, session: int) -> int:
        """Count what a batch adds; the number of its session, which begins here if it is new."""
        header, samples = batch.claim.header, batch.samples
        first_id, last_id = (samples[0].id, samples[-1].id) if samples else (None, None)
        counted = (
            *(first_id, last_id, batch.received, len(samples), batch.duplicates, batch.refused),
            sum(last - first + 1 for first, last in batch.gaps) if batch.gaps else 0,
            self._digest,
        )
        # By position: with named parameters it takes two thirds longer.
        if not self._cursor.execute(_ADD, (*counted, session)).rowcount:
            session, self._next_number = self._next_number, self._next_number + 1
            session_id, opened_at_ns = header.session_id if header else None, batch.arrived_at_ns
            checksum = session_checksum(session, line, session_id, opened_at_ns)
            row = (session, line, session_id, *counted, opened_at_ns, checksum)
            self._connection.execute(_BEGIN, row)
            self._forget(line)
        if batch.gaps:
            self._write_gaps(session, batch.gaps)
        if header and header.sensors and batch.opened:
            checksum = labels_checksum(session, line, header.sensors)
            self._connection.execute(_LABEL, (session, line, header.sensors, checksum))
            self._connection.execute(_FORGET_LABELS, (line, self._keeping.labels))
        return session

    def _forget(self, line: int) -> None:
        """Delete the sessions of a line that are too many. Their samples stay for the line."""
        forgotten = self._connection.execute(
            "SELECT session, answered FROM sessions WHERE line = ?"
            " ORDER BY session DESC LIMIT -1 OFFSET ?",
            (line, self._keeping.sessions),
        ).fetchall()
        if forgotten:
            self._asides.discount(line, sum(answered for _, answered in forgotten))
        for table in ("gaps", "labels", "sessions"):
            self._connection.executemany(
                f"DELETE FROM {table} WHERE session = ?",  # noqa: S608
                [(session,) for session, _ in forgotten],
            )

    def _write_gaps(self, session: int, gaps: Sequence[tuple[int, int]]) -> None:
        known: int = self._connection.execute(
            "SELECT count(*) FROM gaps WHERE session = ?", (session,)
        ).fetchone()[0]
        self._connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?)",
            ((session, *gap) for gap in gaps[: max(0, self._keeping.gaps - known)]),
        )
