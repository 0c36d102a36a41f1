"""What is written to the store's tables and read from them, verified."""

import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.sqlite.aside import Asides
from broker.recorder.sqlite.bases import Bases
from broker.recorder.sqlite.checksums import (
    SAMPLE_COLUMNS,
    SENSORS,
    line_checksum,
    line_verifies,
    sample_checksum,
    sample_verifies,
    session_verifies,
)
from broker.recorder.sqlite.events import Events, Happened
from broker.recorder.sqlite.history import History
from broker.recorder.sqlite.keeping import REHEARSAL, Keeping
from broker.recorder.sqlite.rehearsals import mark, unmark
from broker.recorder.sqlite.replay import Replays
from broker.recorder.sqlite.sessions import Sessions
from broker.recorder.sqlite.timed import Timed
from broker.records import Basis, Batch, Claim, Lease, taken_at_ns
from quartet.clock import Clock
from quartet.errors import DamagedError
from quartet.plural import counted
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)


_ADD = "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class _Place(NamedTuple):
    """Where the batches of a claim belong."""

    line: int
    """Its number; 0 before the first commit of the line."""
    session: int
    """Its number; 0 where it was not looked for yet, or is new."""


class _Begun(NamedTuple):
    """What begins in a transaction, and is so once it is committed."""

    lines: dict[Lease, int]
    places: dict[Claim, _Place]


class Tables:
    """An open store. One thread at a time; each method raises sqlite3.Error."""

    def __init__(
        self, connection: sqlite3.Connection, digest: str, keeping: Keeping, clock: Clock
    ) -> None:
        self._connection = connection
        self._transaction = Timed(connection, clock)
        self._keeping = keeping
        self._position = self._newest(
            "position", ("samples", "snapshots", "former_snapshots", "asides", "commands")
        )
        asides = Asides(connection, digest)
        self._history = History(connection, digest, asides)
        self._bases = Bases(connection, digest, self._history, asides, replay=keeping.replay)
        self._events = Events(connection, keeping.events)
        self._replays = Replays(connection, keeping.gaps)
        self._tokens = itertools.count(1)
        self._leases: WeakValueDictionary[str, Lease] = WeakValueDictionary()
        # The numbers of lines and sessions that are committed, and the next ones. None is used
        # twice: somebody may hold one whose row is deleted, and a repair has kept samples with
        # one whose row is lost.
        self._lines: WeakKeyDictionary[Lease, int] = WeakKeyDictionary()
        self._places: WeakKeyDictionary[Claim, _Place] = WeakKeyDictionary()
        kept = ["samples"] if self._value("SELECT count(*) FROM losses") else []
        self._next_line = 1 + self._newest("line", ["lines", "sessions", *kept])
        next_session = 1 + self._newest("session", ["sessions", *kept])
        self._sessions = Sessions(connection, digest, keeping, asides, next_session)

    def line(self, claim: Claim) -> int:
        """The number of a claim's line; 0 before its first commit."""
        return self._place(claim).line

    @property
    def position(self) -> int:
        """The position of the newest sample that is committed."""
        return self._position

    @property
    def took_s(self) -> float:
        """How long the latest write() took."""
        return self._transaction.took_s

    @property
    def at_file_s(self) -> float:
        """How long of that it has waited for its lock and for its commit."""
        return self._transaction.at_file_s

    def fail_leases(self, error: RecordError) -> None:
        """Fail all leases: every line must be claimed again."""
        for lease in [*self._leases.values(), *self._lines]:
            lease.fail(error)

    # Writing

    def write(
        self, entries: Sequence[Batch | Happened], *, begun: Callable[[], None] | None = None
    ) -> list[tuple[int, Batch]]:
        """Add batches and events, in their order: all of them or, if it raises, none.

        `begun` is called once no other program can write. The batches, with the numbers of their
        lines.
        """
        position = self._position
        new = _Begun({}, {})
        written: list[tuple[int, Batch]] = []
        rows: list[Iterator[tuple[object, ...]]] = []
        with self._history, self._transaction:
            if begun:
                begun()
            for entry in entries:
                if isinstance(entry, Happened):
                    line = entry.line or new.lines.get(entry.claim.lease, 0)
                    self._events.add(line, entry.at_ns, [entry.event])
                    continue
                place = self._write(entry, position, new)
                written.append((place.line, entry))
                rows.append(_rows(entry, place, position))
                position += len(entry.samples)
            self._connection.executemany(_ADD, itertools.chain.from_iterable(rows))
        self._position = position
        if new.places:
            self._lines.update(new.lines)
            self._places.update(new.places)
        return written

    def _write(self, batch: Batch, position: int, new: _Begun) -> _Place:
        """Add all of a batch but its samples, which come behind a position."""
        claim = batch.claim
        known = new.places.get(claim) or self._place(claim)
        line = known.line or new.lines.get(claim.lease, 0)
        if not line:
            line = new.lines[claim.lease] = self._begin_line(batch)
        if batch.opened:
            unmark(self._connection, batch)
        session = self._sessions.write(batch, line, known.session or self._session(claim, line))
        if batch.rebased_by:
            self._write_rebase(batch, position)
        if claim.header:
            self._history.write(batch, line, position)
            if batch.opened or batch.events or batch.standing:
                self._events.write(batch, line)
        if batch.explanations:
            self._write_explanations(batch, line, session, position)
        if session == known.session:
            return known
        place = new.places[claim] = _Place(line, session)
        return place

    def _begin_line(self, batch: Batch) -> int:
        claim = batch.claim
        line, self._next_line = self._next_line, self._next_line + 1
        agent_id = claim.header.agent_id if claim.header else None
        row = (line, agent_id, claim.peer, line_checksum(line, agent_id))
        self._connection.execute("INSERT INTO lines VALUES (?, ?, ?, ?)", row)
        mark(self._connection, batch)
        return line

    def _place(self, claim: Claim) -> _Place:
        """What is committed of a claim."""
        return self._places.get(claim) or _Place(self._lines.get(claim.lease, 0), 0)

    def _session(self, claim: Claim, line: int) -> int:
        """The number of a session that was not looked for yet; 0 where it is new."""
        if claim.header is None:
            return 0
        return self._sessions.number(line, claim.header.session_id)

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

    def _write_rebase(self, batch: Batch, position: int) -> None:
        """Note where it was applied. Of those that were, the last one of an agent tells all."""
        header = batch.claim.header
        if header is None:
            return
        self._connection.execute(
            "UPDATE commands SET position = ? WHERE command = ?", (position, batch.rebased_by)
        )
        self._connection.execute(
            "DELETE FROM commands WHERE agent_id = ? AND command < ? AND name != ?",
            (header.agent_id, batch.rebased_by, REHEARSAL),
        )

    # Reading

    def claim(self, header: StreamHeader, peer: str) -> Claim:
        """Take hold of an agent's line. Writes nothing. DamagedError: its row is another one."""
        row = self._connection.execute(
            "SELECT lines.line, session, last_id, answered + gaps = last_id - first_id + 1,"
            " opened_at_ns, lines.checksum, sessions.checksum"
            " FROM lines LEFT JOIN sessions ON sessions.line = lines.line AND id = ?"
            " WHERE agent_id = ?",
            (header.session_id, header.agent_id),
        ).fetchone()
        line, session, last_id, balances, opened_at_ns, *checksums = row or (None,) * 7
        is_named = line is None or line_verifies((line, header.agent_id, checksums[0]))
        if session:
            named = (session, line, header.session_id, opened_at_ns, checksums[1])
            is_named = is_named and session_verifies(named)
        if not is_named:
            raise DamagedError(f"the row of {header.agent_id} or its session has a wrong checksum")
        if balances == 0 and session and last_id is not None:
            last_id = self._recorded_id(session, last_id, header.agent_id)
        lease = self._leases.get(header.agent_id)
        if lease is None or not lease.is_good:
            lease = self._leases[header.agent_id] = Lease(next(self._tokens))
        claim = Claim(
            header,
            peer,
            lease,
            last_id,
            has_records=line is not None,
            keeps_state=True,
            standing=self._events.standing(line or 0),
        )
        if line is not None:
            self._lines[lease] = line
            self._places[claim] = _Place(line, session or 0)
        return claim

    def _recorded_id(self, session: int, last_id: int, agent_id: str) -> int:
        """The last id of a session whose counters cannot be right, by its samples."""
        recorded = self._value(
            "SELECT ifnull(max(id), ?) FROM samples WHERE session = ?", last_id, session
        )
        log.error(
            "%s: the counters of its session are damaged, see 'broker ledger': its last recorded"
            " sample is %d",
            *(agent_id, recorded),
        )
        return recorded

    def fail_lease(self, agent_id: str, reason: str) -> None:
        """Have nothing be recorded any more with an agent's lease: its records are deleted."""
        if lease := self._leases.pop(agent_id, None):
            lease.fail(RecordError(reason))

    def answers(self, claim: Claim, first_id: int, count: int) -> list[Answer]:
        """The recorded answers to `count` ids of a session, from `first_id` on, that verify."""
        place = self._place(claim)
        session = place.session or self._session(claim, place.line)
        rows = self._connection.execute(
            f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE session = ? AND id >= ? AND id < ?"  # noqa: S608
            " ORDER BY id",
            (session, first_id, first_id + count),
        ).fetchall()
        whole = [row for row in rows if sample_verifies(row)]
        if len(whole) < len(rows) and claim.header:
            damaged = counted(len(rows) - len(whole), "recorded answer", "is", "are")
            log.error(
                "%s: %s damaged, from sample %d on, and cannot be sent again",
                *(claim.header.agent_id, damaged, first_id),
            )
        return [Answer(id_, bool(prediction)) for _, _, _, id_, _, _, _, prediction, _ in whole]

    def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from."""
        line = self._value("SELECT ifnull(max(line), 0) FROM lines WHERE agent_id = ?", agent_id)
        if with_snapshot:
            basis = self._bases.basis(line, agent_id, self._position)
        else:
            basis = self._bases.fresh(line)
        self._replays.begin(agent_id, line, basis.position)
        return basis

    def needed_from(self, line: int) -> int:
        """The position behind which samples are needed to rebuild a line's black box."""
        return self._bases.needed_from(line)

    def samples(self, agent_id: str, after: int) -> list[tuple[int, Sample]]:
        """The next samples of a line behind a position, with theirs."""
        return self._replays.samples(agent_id, after)

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

    def _newest(self, column: str, tables: Sequence[str]) -> int:
        """The highest number in a column of any of the tables; 0 for none."""
        return max(self._value(f"SELECT ifnull(max({column}), 0) FROM {table}") for table in tables)  # noqa: S608

    def _value(self, query: str, *parameters: object) -> int:
        value: int = self._connection.execute(query, parameters).fetchone()[0]
        return value


def _rows(batch: Batch, place: _Place, position: int) -> Iterator[tuple[object, ...]]:
    """The rows of a batch's samples, which come behind a position. Of a backlog, one at a time."""
    line, session = place
    arrived_at_ns = batch.arrived_at_ns
    header = batch.claim.header
    answered = zip(batch.samples, batch.answers, strict=True)
    for at, (sample, answer) in enumerate(answered, position + 1):
        sampled_at_ns = taken_at_ns(header, sample.id, arrived_at_ns)
        # As an int: SQLite's module looks for an adapter of a bool.
        sensors, prediction = SENSORS.pack(*sample.values), int(answer.prediction)
        row = (at, line, session, sample.id, sensors, sampled_at_ns, arrived_at_ns, prediction)
        yield (*row, sample_checksum(*row))
