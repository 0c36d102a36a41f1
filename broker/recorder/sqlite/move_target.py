"""Makes a store of rows that come from elsewhere."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from broker.recorder.moving import (
    Milestones,
    MovedAside,
    MovedCommand,
    MovedEvent,
    MovedExplanation,
    MovedGap,
    MovedLabels,
    MovedLine,
    MovedLoss,
    MovedSample,
    MovedSession,
    MovedSnapshot,
    MovedStanding,
    Row,
)
from broker.recorder.sqlite import place
from broker.recorder.sqlite.checksums import (
    SENSORS,
    labels_checksum,
    line_checksum,
    sample_checksum,
    session_checksum,
    snapshot_checksum,
)
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.keeping import REHEARSAL
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.signature import Signature
from broker.recorder.sqlite.upkeep.check import check
from quartet.database import store_error
from quartet.errors import StoreError

# What was seen before all samples on record has a position of its own, before theirs.
_BEFORE = 1

_INSERTS: dict[type[Row], str] = {
    MovedLine: "INSERT INTO lines VALUES (?, ?, ?, ?)",
    MovedSession: "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    MovedGap: "INSERT INTO gaps VALUES (?, ?, ?)",
    MovedLabels: "INSERT INTO labels VALUES (?, ?, ?, ?)",
    MovedSample: "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    MovedExplanation: "INSERT INTO explanations VALUES (?, ?, ?, ?, ?)",
    MovedSnapshot: "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)",
    MovedAside: "INSERT INTO asides (line, position, digest, state, answered, checksum)"
    " VALUES (?, ?, ?, ?, ?, ?)",
    MovedCommand: "INSERT INTO commands (agent_id, name, at_ns, position) VALUES (?, ?, ?, ?)",
    MovedEvent: "INSERT INTO events (line, at_ns, kind, text) VALUES (?, ?, ?, ?)",
    MovedStanding: "INSERT INTO standings VALUES (?, ?, ?, ?, ?, ?, ?)",
    MovedLoss: "INSERT INTO losses VALUES (?, ?, ?, ?, ?, ?)",
}


@contextmanager
def open_target(path: Path) -> Iterator["SqliteTarget"]:
    """A store that is there once this ends without an error. StoreError: the place is taken."""
    path = path.resolve()
    if _is_taken(path):
        raise StoreError(f"{path}: already exists: name a new file, or move that one away")
    with closing(Hold(path, replaces=True)) as hold:
        signature = Signature(path, hold)
        new = place.draft(path)
        try:
            with closing(sqlite3.connect(new, isolation_level=None)) as rows:
                # The draft is worth nothing until it is whole, and is flushed then.
                rows.execute("PRAGMA journal_mode = off")
                rows.execute("PRAGMA synchronous = off")
                for version, script in enumerate(MIGRATIONS, 1):
                    rows.executescript(f"{script}; PRAGMA user_version = {version}")
                rows.execute("BEGIN")
                yield SqliteTarget(path, rows)
                rows.execute("COMMIT")
            if problems := check(new).problems:
                raise StoreError(f"{path}: the moved records are not consistent: {problems[0]}")
            place.give(new, path.parent)
            place.exchange(path, new, "restored")
        except sqlite3.Error as error:
            raise store_error(new, error) from error
        finally:
            new.unlink(missing_ok=True)
        signature.end()


def _is_taken(path: Path) -> bool:
    """Whether something is there; who holds a store and is killed leaves a file without content."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: cannot be used: {error.strerror}") from error


class SqliteTarget:
    """A MoveTarget in a file."""

    def __init__(self, path: Path, rows: sqlite3.Connection) -> None:
        self._path = path
        self._rows = rows
        self._milestones = Milestones()
        self._position = _BEFORE
        self._answered: dict[int, int] = {}
        self._rehearsals: list[tuple[str, int]] = []
        self._columns: dict[type[Row], Callable[[Any], Sequence[object]]] = {
            MovedLine: self._line,
            MovedSession: self._session,
            MovedLabels: self._labels,
            MovedSample: self._sample,
            MovedExplanation: self._explanation,
            MovedSnapshot: self._snapshot,
            MovedAside: self._aside,
            MovedCommand: self._command,
        }

    async def write(self, kind: type[Row], rows: AsyncIterator[Row]) -> None:
        """Take over all rows of a kind."""
        insert, columns = _INSERTS[kind], self._columns.get(kind, tuple)
        try:
            async for row in rows:
                self._rows.execute(insert, columns(row))
            if kind is MovedCommand:
                self._rows.executemany(
                    insert,
                    [(agent_id, REHEARSAL, at_ns, None) for agent_id, at_ns in self._rehearsals],
                )
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error

    def _line(self, row: MovedLine) -> tuple[object, ...]:
        if row.is_rehearsal and row.agent_id is not None:
            self._rehearsals.append((row.agent_id, row.heard_at_ns))
        return *row[:3], line_checksum(row.line, row.agent_id)

    def _session(self, row: MovedSession) -> tuple[object, ...]:
        self._answered[row.line] = self._answered.get(row.line, 0) + row.answered
        named = row.session, row.line, row.id or None
        return *named, *row[3:], session_checksum(*named, row.opened_at_ns)

    def _labels(self, row: MovedLabels) -> tuple[object, ...]:
        return *row, labels_checksum(*row)

    def _explanation(self, row: MovedExplanation) -> tuple[object, ...]:
        return self._at(row.line, row.rank), row.line, row.session, row.id, row.text

    def _snapshot(self, row: MovedSnapshot) -> tuple[object, ...]:
        line, position, digest = row.line, self._at(row.line, row.rank), row.digest.encode()
        checksum = snapshot_checksum(line, position, digest, row.state, row.arrived_at_ns)
        return line, position, *row[2:], checksum

    def _aside(self, row: MovedAside) -> tuple[object, ...]:
        line, position, digest = row.line, self._at(row.line, row.rank), row.digest.encode()
        answered = self._answered.get(line, 0) - row.since
        checksum = snapshot_checksum(line, position, digest, row.state, answered)
        return line, position, row.digest, row.state, answered, checksum

    def _command(self, row: MovedCommand) -> tuple[object, ...]:
        position = self._at(row.line, row.rank) if row.rank else row.rank
        return row.agent_id, row.name, row.at_ns, position

    def _sample(self, row: MovedSample) -> tuple[object, ...]:
        self._position += 1
        self._milestones.add(row.line, self._position)
        sensors = SENSORS.pack(*row.values)
        columns = (
            *(self._position, row.line, row.session, row.id, sensors),
            *(row.sampled_at_ns, row.arrived_at_ns, row.prediction),
        )
        return *columns, sample_checksum(*columns)

    def _at(self, line: int, rank: int) -> int:
        """The position of a sample of a line by its rank."""
        if not rank:
            return _BEFORE
        known, at, _ = self._milestones.up_to(line, rank)
        (position,) = self._rows.execute(
            "SELECT position FROM samples WHERE line = ? AND position >= ?"
            " ORDER BY position LIMIT 1 OFFSET ?",
            (line, at, rank - known),
        ).fetchone()
        return int(position)
