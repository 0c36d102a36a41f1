"""The rows of a store that moves elsewhere."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
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
from broker.recorder.sqlite.beside import checked
from broker.recorder.sqlite.checksums import SENSORS
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.keeping import NOBODY, REHEARSAL
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.signature import Signature
from broker.recorder.sqlite.upkeep.check import check
from quartet.database import connect_to_read, store_error, transaction_to_read
from quartet.errors import StoreError

# What is being erased is left behind.
_LINES = f"SELECT line FROM lines WHERE agent_id IS NOT NULL OR peer != '{NOBODY}'"

# The notes that a store writes for itself are commands as well, and stay: what was deleted to
# make room is on record nowhere.
_QUERIES = {
    MovedLine: f"""
        SELECT line, agent_id, peer, EXISTS (
                SELECT 1 FROM commands
                WHERE commands.agent_id = lines.agent_id AND name = '{REHEARSAL}'
            ),
            (SELECT ifnull(sum(answered), 0) FROM sessions WHERE sessions.line = lines.line),
            (SELECT count(*) FROM samples WHERE samples.line = lines.line),
            ifnull((SELECT id FROM sessions WHERE sessions.line = lines.line
                ORDER BY session DESC LIMIT 1), ''),
            ifnull((SELECT max(opened_at_ns) FROM sessions WHERE sessions.line = lines.line), 0)
        FROM lines WHERE line IN ({_LINES}) ORDER BY line
    """,
    MovedSession: f"""
        SELECT session, line, ifnull(id, ''), first_id, last_id, received, answered, duplicates,
            refused, gaps, digest, opened_at_ns
        FROM sessions WHERE line IN ({_LINES}) ORDER BY session
    """,
    MovedGap: f"""
        SELECT session, first, last FROM gaps JOIN sessions USING (session)
        WHERE line IN ({_LINES}) ORDER BY session, first
    """,
    MovedLabels: f"""
        SELECT session, line, CAST(sensors AS BLOB) FROM labels WHERE line IN ({_LINES})
        ORDER BY session
    """,
    MovedSample: """
        SELECT position, line, session, id, sensors, sampled_at_ns, arrived_at_ns, prediction
        FROM samples ORDER BY position
    """,
    MovedExplanation: f"""
        SELECT explanations.line, explanations.position, explanations.session, explanations.id,
            sampled_at_ns, arrived_at_ns, text
        FROM explanations JOIN samples USING (position)
        WHERE explanations.line IN ({_LINES}) ORDER BY position
    """,
    # A line has none of the former ones once it has another.
    MovedSnapshot: f"""
        SELECT line, position, digest, CAST(state AS BLOB), arrived_at_ns, is_kept FROM snapshots
        WHERE line IN ({_LINES})
        UNION ALL SELECT line, position, digest, CAST(state AS BLOB), ifnull((
                SELECT arrived_at_ns FROM samples WHERE samples.line = former_snapshots.line
                    AND samples.position <= former_snapshots.position
                ORDER BY samples.position DESC LIMIT 1
            ), 0), 0
        FROM former_snapshots WHERE line IN ({_LINES}) ORDER BY 1, 2
    """,
    MovedAside: f"""
        SELECT line, position, (
                SELECT sum(answered) FROM sessions WHERE sessions.line = asides.line
            ) - answered, digest, CAST(state AS BLOB), coalesce((
                SELECT arrived_at_ns FROM samples WHERE samples.line = asides.line
                    AND samples.position <= asides.position
                ORDER BY samples.position DESC LIMIT 1
            ), (
                SELECT arrived_at_ns FROM samples WHERE samples.line = asides.line
                ORDER BY samples.position LIMIT 1
            ), 0)
        FROM asides WHERE line IN ({_LINES}) ORDER BY aside
    """,
    MovedCommand: """
        SELECT commands.agent_id, ifnull(line, 0), name, at_ns, position FROM commands
        LEFT JOIN lines USING (agent_id) WHERE name IN ('rebase', 'forget') ORDER BY command
    """,
    MovedEvent: f"""
        SELECT line, at_ns, kind, text FROM events WHERE line IN ({_LINES}) ORDER BY event
    """,
    MovedStanding: f"""
        SELECT line, certificate_until_ns, learned, to_learn, alarm_since_ns, alarm_reason, shift
        FROM standings WHERE line IN ({_LINES})
    """,
    MovedLoss: "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY rowid",
}

_RANKED = (MovedExplanation, MovedSnapshot, MovedAside)


@contextmanager
def open_source(path: Path) -> Iterator["SqliteSource"]:
    """A store for us alone while entered. StoreError: it is not there, in use, or damaged."""
    path = path.resolve()
    with checked(path), closing(Hold(path)) as hold:
        signature = Signature(path, hold)
        signature.check()
        with closing(connect_to_read(path, len(MIGRATIONS))) as rows:
            if problems := check(path).problems:
                raise StoreError(f"{path}: {problems[0]}")
            rows.text_factory = _text
            with transaction_to_read(rows):
                yield SqliteSource(path, rows)
        signature.end()


class SqliteSource:
    """A MoveSource in a file. What SQLite raises is a StoreError."""

    def __init__(self, path: Path, rows: sqlite3.Connection) -> None:
        self._path = path
        self._rows = rows
        self._milestones = Milestones()
        self._lines: set[int] = set()

    async def rows(self, kind: type[Row]) -> AsyncIterator[Row]:
        """All rows of a kind."""
        try:
            for row in self._read(kind):
                yield row
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error

    def _read(self, kind: type[Row]) -> Iterator[Row]:
        found = self._rows.execute(_QUERIES[kind])
        if kind is MovedLine:
            return self._read_lines(found)
        if kind is MovedSample:
            return self._read_samples(found)
        if kind in _RANKED:
            return (kind(*self._ranked(row)) for row in found)
        if kind is MovedCommand:
            return self._read_commands(found)
        return (kind(*row) for row in found)

    def _read_lines(self, found: Iterable[Any]) -> Iterator[MovedLine]:
        for line, agent_id, peer, is_rehearsal, answered, on_record, *more in found:
            self._lines.add(line)
            counts = max(answered, on_record), on_record
            yield MovedLine(line, agent_id, peer, bool(is_rehearsal), *counts, *more)

    def _read_samples(self, found: Iterable[Any]) -> Iterator[MovedSample]:
        for position, line, session, id_, sensors, sampled_at_ns, arrived_at_ns, answer in found:
            if line in self._lines:
                self._milestones.add(line, position)
                times = sampled_at_ns, arrived_at_ns
                values = SENSORS.unpack(sensors)
                yield MovedSample(line, session, id_, values, *times, bool(answer))

    def _read_commands(self, found: Iterable[Any]) -> Iterator[MovedCommand]:
        for agent_id, line, name, at_ns, position in found:
            rank = None if position is None else self._rank(line, position)
            yield MovedCommand(agent_id, line, name, at_ns, rank)

    def _ranked(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row with a line and a rank, in place of a position, at its beginning."""
        line, position, *more = row
        return line, self._rank(line, position), *more

    def _rank(self, line: int, position: int) -> int:
        """How many samples of a line are on record up to a position."""
        rank, at, is_dense = self._milestones.before(line, position)
        if not rank or is_dense:
            return rank + position - at if rank else 0
        (more,) = self._rows.execute(
            "SELECT count(*) FROM samples WHERE line = ? AND position > ? AND position <= ?",
            (line, at, position),
        ).fetchone()
        return rank + int(more)


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
