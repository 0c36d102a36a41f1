"""What is written to the store's tables and read from them: SQL, and nothing but."""

import itertools
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary, WeakValueDictionary

from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.sqlite.keeping import CUT, Keeping
from broker.records import Basis, Batch, Claim, Lease, Snapshot
from quartet.database import transaction
from wire.metadata import StreamHeader

SENSORS = struct.Struct("<4f")
"""How a sample's four values are kept."""

# What SQLite's integers hold; a peer may announce times far beyond its own life.
_MAX_NS = 2**63 - 1

# As many samples are read at a time as are replayed in some milliseconds.
_CHUNK = 500

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


class Tables:
    """An open store. One thread at a time; each method raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, digest: str, keeping: Keeping) -> None:
        self._connection = connection
        self._digest = digest
        self._keeping = keeping
        self._position: int = self._value(
            "SELECT max((SELECT ifnull(max(position), 0) FROM samples),"
            " (SELECT ifnull(max(position), 0) FROM snapshots),"
            " (SELECT ifnull(max(position), 0) FROM former_snapshots),"
            " (SELECT ifnull(max(position), 0) FROM commands))"
        )
        self._tokens = itertools.count(1)
        self._leases: WeakValueDictionary[str, Lease] = WeakValueDictionary()
        # The numbers of lines and sessions that are committed, and the next ones. None is used
        # twice: somebody may hold one whose row is deleted.
        self._lines: WeakKeyDictionary[Lease, int] = WeakKeyDictionary()
        self._sessions: WeakKeyDictionary[Claim, int] = WeakKeyDictionary()
        self._next_line = 1 + self._value("SELECT ifnull(max(line), 0) FROM lines")
        self._next_session = 1 + self._value("SELECT ifnull(max(session), 0) FROM sessions")

    def line(self, claim: Claim) -> int:
        """The number of a claim's line; 0 before its first commit."""
        return self._lines.get(claim.lease, 0)

    @property
    def position(self) -> int:
        """The position of the newest sample that is committed."""
        return self._position

    # Writing

    def write(self, batches: Sequence[Batch]) -> None:
        """Add batches, in their order: all of them or, if it raises, none."""
        position = self._position
        lines: dict[Lease, int] = {}
        sessions: dict[Claim, int] = {}
        rows: list[tuple[object, ...]] = []
        with transaction(self._connection):
            for batch in batches:
                claim = batch.claim
                line = lines[claim.lease] = (
                    lines.get(claim.lease) or self.line(claim) or self._begin_line(claim)
                )
                session = sessions[claim] = self._write_session(
                    batch, line, sessions.get(claim) or self._session(claim, line)
                )
                if batch.rebased_by:
                    self._write_rebase(batch, line, position)
                if batch.snapshot:
                    self._write_snapshot(batch.snapshot, line, position)
                self._write_explanations(batch, line, session, position)
                rows += _rows(batch, line, session, position)
                position += len(batch.samples)
            self._connection.executemany("INSERT INTO samples VALUES (?,?,?,?,?,?,?,?,NULL)", rows)
        self._position = position
        self._lines.update(lines)
        self._sessions.update(sessions)

    def _begin_line(self, claim: Claim) -> int:
        line, self._next_line = self._next_line, self._next_line + 1
        agent_id = claim.header and claim.header.agent_id
        self._connection.execute("INSERT INTO lines VALUES (?, ?, ?)", (line, agent_id, claim.peer))
        return line

    def _write_session(self, batch: Batch, line: int, session: int) -> int:
        """Count what the batch adds; the number of its session, which begins here if it is new."""
        claim, samples = batch.claim, batch.samples
        values = {
            "session": session,
            "line": line,
            "id": claim.header and claim.header.session_id,
            "first_id": samples[0].id if samples else None,
            "last_id": samples[-1].id if samples else None,
            "received": batch.received,
            "answered": len(samples),
            "duplicates": batch.duplicates,
            "refused": batch.refused,
            "gaps": sum(last - first + 1 for first, last in batch.gaps),
            "digest": self._digest,
            "arrived_at_ns": batch.arrived_at_ns,
        }
        if not self._connection.execute(_ADD_TO_SESSION, values).rowcount:
            session = values["session"] = self._next_session
            self._next_session += 1
            self._connection.execute(_BEGIN_SESSION, values)
            self._forget_sessions(line)
        if batch.gaps:
            self._write_gaps(session, batch.gaps)
        return session

    def _session(self, claim: Claim, line: int) -> int:
        """The number of a claim's session; 0 where it is new."""
        session = self._sessions.get(claim, 0)
        if claim.header and not session:
            row = self._connection.execute(
                "SELECT session FROM sessions WHERE line = ? AND id = ?",
                (line, claim.header.session_id),
            ).fetchone()
            session = row[0] if row else 0
        return session

    def _forget_sessions(self, line: int) -> None:
        """Delete the sessions of a line that are too many. Their samples stay for the line."""
        forgotten = self._connection.execute(
            "SELECT session FROM sessions WHERE line = ? ORDER BY session DESC LIMIT -1 OFFSET ?",
            (line, self._keeping.sessions),
        ).fetchall()
        for table in ("gaps", "sessions"):
            self._connection.executemany(f"DELETE FROM {table} WHERE session = ?", forgotten)  # noqa: S608

    def _write_gaps(self, session: int, gaps: Sequence[tuple[int, int]]) -> None:
        known = self._value("SELECT count(*) FROM gaps WHERE session = ?", session)
        self._connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?)",
            ((session, *gap) for gap in gaps[: max(0, self._keeping.gaps - known)]),
        )

    def _write_snapshot(self, snapshot: Snapshot, line: int, position: int) -> None:
        self._forget_snapshots(line)
        if snapshot.state is not None:
            self._connection.execute(
                "INSERT INTO snapshots VALUES (?, ?, ?, ?, 0, 0, 0)",
                (line, position + snapshot.after, self._digest, snapshot.state),
            )

    def _write_explanations(self, batch: Batch, line: int, session: int, position: int) -> None:
        self._connection.executemany(
            "INSERT INTO explanations VALUES (?, ?, ?, ?, ?)",
            (
                (
                    *(position + each.after, line, session),
                    *(batch.samples[each.after - 1].id, each.text),
                )
                for each in batch.explanations
            ),
        )

    def _write_rebase(self, batch: Batch, line: int, position: int) -> None:
        """Note where it was applied. Of those that were, the last one of an agent tells all.

        No snapshot from before it is restored any more, whatever black box comes.
        """
        header = batch.claim.header
        if header is None:
            return
        self._forget_snapshots(line)
        self._connection.execute(
            "UPDATE commands SET position = ? WHERE command = ?", (position, batch.rebased_by)
        )
        self._connection.execute(
            "DELETE FROM commands WHERE agent_id = ? AND command < ?",
            (header.agent_id, batch.rebased_by),
        )

    def _forget_snapshots(self, line: int) -> None:
        for table in ("snapshots", "former_snapshots"):
            self._connection.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608

    # Reading

    def claim(self, header: StreamHeader, peer: str) -> Claim:
        """Take hold of an agent's line. Writes nothing."""
        row = self._connection.execute(
            "SELECT lines.line, session, last_id FROM lines"
            " LEFT JOIN sessions ON sessions.line = lines.line AND id = ? WHERE agent_id = ?",
            (header.session_id, header.agent_id),
        ).fetchone()
        line, session, last_id = row or (None, None, None)
        lease = self._leases.get(header.agent_id)
        if lease is None or not lease.is_good:
            lease = self._leases[header.agent_id] = Lease(next(self._tokens))
        claim = Claim(header, peer, lease, last_id, has_records=line is not None, keeps_state=True)
        if line is not None:
            self._lines[lease] = line
        if session is not None:
            self._sessions[claim] = session
        return claim

    def fail_lease(self, agent_id: str, reason: str) -> None:
        """Have nothing be recorded any more with an agent's lease: its records are deleted."""
        if lease := self._leases.pop(agent_id, None):
            lease.fail(RecordError(reason))

    def answers(self, claim: Claim, first_id: int, count: int) -> list[Answer]:
        """The recorded answers to `count` ids of a session, from `first_id` on."""
        rows = self._connection.execute(
            "SELECT id, prediction FROM samples WHERE session = ? AND id >= ? AND id < ?"
            " ORDER BY id",
            (self._session(claim, self.line(claim)), first_id, first_id + count),
        )
        return [Answer(id_, bool(prediction)) for id_, prediction in rows]

    def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from; a snapshot of another one is deleted."""
        line = self._value("SELECT ifnull(max(line), 0) FROM lines WHERE agent_id = ?", agent_id)
        outdated = False
        if with_snapshot:
            row = self._connection.execute(
                "SELECT position, digest, state FROM snapshots WHERE line = :line UNION ALL"
                " SELECT position, digest, state FROM former_snapshots WHERE line = :line"
                " ORDER BY position DESC LIMIT 1",
                {"line": line},
            ).fetchone()
            if row and row[1] == self._digest:
                return Basis(row[0], row[2])
            if outdated := row is not None:
                self._forget_snapshots(line)
        position, is_cut = self._replay(line)
        return Basis(position, outdated=outdated, is_cut=is_cut)

    def replayed_from(self, line: int) -> int:
        """The position behind which a fresh black box begins, where there is no snapshot."""
        return self._replay(line)[0]

    def _replay(self, line: int) -> tuple[int, bool]:
        """The same, and whether samples that belong to it were deleted to make room."""
        command = self._connection.execute(
            "SELECT position, name FROM lines JOIN commands USING (agent_id)"
            " WHERE line = ? AND position IS NOT NULL ORDER BY position DESC, command DESC LIMIT 1",
            (line,),
        ).fetchone()
        position, name = command or (0, "")
        row = self._connection.execute(
            "SELECT position FROM samples WHERE line = ? ORDER BY position DESC LIMIT 1 OFFSET ?",
            (line, self._keeping.replay),
        ).fetchone()
        if row and row[0] >= position:
            return row[0], False
        return position, name == CUT

    def samples(self, agent_id: str, after: int) -> list[tuple[int, Sample]]:
        """The next samples of a line behind a position, with theirs."""
        rows = self._connection.execute(
            "SELECT position, id, sensors FROM samples"
            " WHERE line = (SELECT line FROM lines WHERE agent_id = ?) AND position > ?"
            " ORDER BY position LIMIT ?",
            (agent_id, after, _CHUNK),
        )
        return [(position, Sample(id_, SENSORS.unpack(sensors))) for position, id_, sensors in rows]

    def forgets(self) -> list[str]:
        """The agents that are to be forgotten."""
        rows = self._connection.execute("SELECT agent_id FROM commands WHERE name = 'forget'")
        return [agent_id for (agent_id,) in rows]

    def rebases(self) -> dict[str, int]:
        """By agent id, the newest rebase command that is not applied yet."""
        return dict(
            self._connection.execute(
                "SELECT agent_id, max(command) FROM commands"
                " WHERE position IS NULL AND name = 'rebase' GROUP BY agent_id"
            )
        )

    def _value(self, query: str, *parameters: object) -> int:
        value: int = self._connection.execute(query, parameters).fetchone()[0]
        return value


def _rows(batch: Batch, line: int, session: int, position: int) -> Iterator[tuple[object, ...]]:
    arrived_at_ns = batch.arrived_at_ns
    taken = zip(
        itertools.count(position + 1), batch.samples, batch.answers, _times(batch), strict=False
    )
    for at, sample, answer, sampled_at_ns in taken:
        yield (
            *(at, line, session, sample.id, SENSORS.pack(*sample.values)),
            *(sampled_at_ns, arrived_at_ns, answer.prediction),
        )


def _times(batch: Batch) -> Iterator[int]:
    """When each sample was taken; when it arrived, where nobody says."""
    header = batch.claim.header
    if header is None:
        return itertools.repeat(batch.arrived_at_ns)
    if header.sample_period_ns:
        return (min(header.sampled_at_ns(sample.id), _MAX_NS) for sample in batch.samples)
    return (
        header.first_sampled_at_ns if sample.id == header.first_id else batch.arrived_at_ns
        for sample in batch.samples
    )
