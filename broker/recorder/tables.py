"""What is written to the store's tables and read from them: SQL, and nothing but."""

import itertools
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broker.model import Answer, Sample
from broker.recorder import Basis, Batch
from quartet.database import transaction
from wire.metadata import StreamHeader

_SENSORS = struct.Struct("<4f")

# What SQLite's integers hold; a peer may announce times far beyond its own life.
_MAX_NS = 2**63 - 1

# As many samples are read at a time as are replayed in some milliseconds.
_CHUNK = 500

# Of an agent that restarts every hour, the sessions of six weeks. The last ids of
# more, to be told from new ones, nobody will send again.
MOST_SESSIONS = 1000

# An agent that leaves out every other id would name one for each sample; from
# here on its session only counts.
_MOST_GAPS = 1000

_ADD_TO_SESSION = """
    UPDATE sessions SET
        first_id = coalesce(first_id, :first_id), last_id = coalesce(:last_id, last_id),
        received = received + :received, answered = answered + :answered,
        duplicates = duplicates + :duplicates, refused = refused + :refused,
        gaps = gaps + :gaps, digest = :digest
    WHERE session = :session
"""
_BEGIN_SESSION = """
    INSERT INTO sessions VALUES (
        :session, :line, :id, :first_id, :last_id, :received, :answered, :duplicates, :refused,
        :gaps, :digest, :arrived_at_ns
    )
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a stream's line and session."""

    line: int | None
    session: int | None
    last_id: int | None


class Tables:
    """An open store. One thread at a time; each method raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, digest: str, replay: int) -> None:
        self._connection = connection
        self._digest = digest
        self._replay = replay
        self._position: int = self._value(
            "SELECT max((SELECT ifnull(max(position), 0) FROM samples),"
            " (SELECT ifnull(max(position), 0) FROM snapshots),"
            " (SELECT ifnull(max(position), 0) FROM commands))"
        )

    def greatest(self) -> tuple[int, int]:
        """The highest numbers of a line and a session that were ever used, or 0."""
        return (
            self._value("SELECT ifnull(max(line), 0) FROM lines"),
            self._value("SELECT ifnull(max(session), 0) FROM sessions"),
        )

    # Writing

    def write(self, batches: Sequence[Batch]) -> None:
        """Add batches, in their order: all of them or, if it raises, none."""
        position = self._position
        rows: list[tuple[object, ...]] = []
        with transaction(self._connection):
            for batch in batches:
                self._write_session(batch)
                if batch.rebase:
                    self._write_rebase(batch, position)
                if batch.snapshot:
                    self._write_snapshot(batch, position)
                self._write_explanations(batch, position)
                rows += _rows(batch, position)
                position += len(batch.samples)
            self._connection.executemany("INSERT INTO samples VALUES (?,?,?,?,?,?,?,?)", rows)
        self._position = position

    def _write_session(self, batch: Batch) -> None:
        origin, samples = batch.origin, batch.samples
        values = {
            "session": origin.session,
            "line": origin.line,
            "id": origin.header and origin.header.session_id,
            "first_id": samples[0].id if samples else None,
            "last_id": samples[-1].id if samples else None,
            "received": batch.received,
            "answered": len(samples),
            "duplicates": batch.duplicates,
            "refused": batch.refused,
            "gaps": sum(last - first + 1 for first, last in batch.gaps),
            "digest": origin.digest,
            "arrived_at_ns": batch.arrived_at_ns,
        }
        if not self._connection.execute(_ADD_TO_SESSION, values).rowcount:
            agent_id = origin.header and origin.header.agent_id
            self._connection.execute(
                "INSERT INTO lines VALUES (?, ?, ?) ON CONFLICT (line) DO NOTHING",
                (origin.line, agent_id, origin.peer),
            )
            self._connection.execute(_BEGIN_SESSION, values)
            self._forget_sessions(origin.line)
        if batch.gaps:
            self._write_gaps(origin.session, batch.gaps)

    def _forget_sessions(self, line: int) -> None:
        """Delete the sessions of a line that are too many. Their samples stay for the line."""
        forgotten = self._connection.execute(
            "SELECT session FROM sessions WHERE line = ? ORDER BY session DESC LIMIT -1 OFFSET ?",
            (line, MOST_SESSIONS),
        ).fetchall()
        for table in ("gaps", "sessions"):
            self._connection.executemany(f"DELETE FROM {table} WHERE session = ?", forgotten)  # noqa: S608

    def _write_gaps(self, session: int, gaps: Sequence[tuple[int, int]]) -> None:
        known = self._value("SELECT count(*) FROM gaps WHERE session = ?", session)
        self._connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?)",
            ((session, *gap) for gap in gaps[: max(0, _MOST_GAPS - known)]),
        )

    def _write_snapshot(self, batch: Batch, position: int) -> None:
        origin, snapshot = batch.origin, batch.snapshot
        if snapshot and snapshot.state is not None:
            self._connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)",
                (origin.line, position + snapshot.after, origin.digest, snapshot.state),
            )
        else:
            self._forget_snapshot(origin.line)

    def _write_explanations(self, batch: Batch, position: int) -> None:
        self._connection.executemany(
            "INSERT INTO explanations VALUES (?, ?, ?, ?, ?)",
            (
                (
                    *(position + each.after, batch.origin.line, batch.origin.session),
                    *(batch.samples[each.after - 1].id, each.text),
                )
                for each in batch.explanations
            ),
        )

    def _write_rebase(self, batch: Batch, position: int) -> None:
        """Note where it was applied. Of those that were, the last one of an agent tells all.

        No snapshot from before it is restored any more, whatever black box comes.
        """
        header = batch.origin.header
        if header is None:
            return
        self._forget_snapshot(batch.origin.line)
        self._connection.execute(
            "UPDATE commands SET position = ? WHERE command = ?", (position, batch.rebase)
        )
        self._connection.execute(
            "DELETE FROM commands WHERE agent_id = ? AND command < ?",
            (header.agent_id, batch.rebase),
        )

    def _forget_snapshot(self, line: int) -> None:
        self._connection.execute("DELETE FROM snapshots WHERE line = ?", (line,))

    # Reading

    def find(self, header: StreamHeader) -> Known:
        """Look a stream's line and session up."""
        row = self._connection.execute(
            "SELECT lines.line, session, last_id FROM lines"
            " LEFT JOIN sessions ON sessions.line = lines.line AND id = ? WHERE agent_id = ?",
            (header.session_id, header.agent_id),
        ).fetchone()
        return Known(*row) if row else Known(None, None, None)

    def answers(self, session: int, first_id: int, count: int) -> list[Answer]:
        """The recorded answers to `count` ids from `first_id` on."""
        rows = self._connection.execute(
            "SELECT id, prediction FROM samples WHERE session = ? AND id >= ? AND id < ?"
            " ORDER BY id",
            (session, first_id, first_id + count),
        )
        return [Answer(id_, bool(prediction)) for id_, prediction in rows]

    def basis(self, line: int, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from; a snapshot of another one is deleted."""
        outdated = False
        if with_snapshot:
            row = self._connection.execute(
                "SELECT position, digest, state FROM snapshots WHERE line = ?", (line,)
            ).fetchone()
            if row and row[1] == self._digest:
                return Basis(row[0], row[2])
            if outdated := row is not None:
                self._forget_snapshot(line)
        return Basis(self.replayed_from(line), outdated=outdated)

    def replayed_from(self, line: int) -> int:
        """The position behind which a fresh black box begins, where there is no snapshot."""
        rebased: int = self._value(
            "SELECT ifnull(max(position), 0) FROM lines JOIN commands USING (agent_id)"
            " WHERE line = ?",
            line,
        )
        row = self._connection.execute(
            "SELECT position FROM samples WHERE line = ? ORDER BY position DESC LIMIT 1 OFFSET ?",
            (line, self._replay),
        ).fetchone()
        return max(rebased, row[0] if row else 0)

    def samples(self, line: int, after: int) -> list[tuple[int, Sample]]:
        """The next samples of a line behind a position, with theirs."""
        rows = self._connection.execute(
            "SELECT position, id, sensors FROM samples WHERE line = ? AND position > ?"
            " ORDER BY position LIMIT ?",
            (line, after, _CHUNK),
        )
        return [
            (position, Sample(id_, _SENSORS.unpack(sensors))) for position, id_, sensors in rows
        ]

    def rebases(self) -> dict[str, int]:
        """By agent id, the newest command to begin anew that is not applied yet."""
        return dict(
            self._connection.execute(
                "SELECT agent_id, max(command) FROM commands"
                " WHERE position IS NULL AND name = 'rebase' GROUP BY agent_id"
            )
        )

    def _value(self, query: str, *parameters: object) -> int:
        value: int = self._connection.execute(query, parameters).fetchone()[0]
        return value


def _rows(batch: Batch, position: int) -> Iterator[tuple[object, ...]]:
    origin, arrived_at_ns = batch.origin, batch.arrived_at_ns
    taken = zip(
        itertools.count(position + 1), batch.samples, batch.answers, _times(batch), strict=False
    )
    for at, sample, answer, sampled_at_ns in taken:
        yield (
            *(at, origin.line, origin.session, sample.id, _SENSORS.pack(*sample.values)),
            *(sampled_at_ns, arrived_at_ns, answer.prediction),
        )


def _times(batch: Batch) -> Iterator[int]:
    """When each sample was taken; when it arrived, where nobody says."""
    header = batch.origin.header
    if header is None:
        return itertools.repeat(batch.arrived_at_ns)
    if header.sample_period_ns:
        return (min(header.sampled_at_ns(sample.id), _MAX_NS) for sample in batch.samples)
    return (
        header.first_sampled_at_ns if sample.id == header.first_id else batch.arrived_at_ns
        for sample in batch.samples
    )
