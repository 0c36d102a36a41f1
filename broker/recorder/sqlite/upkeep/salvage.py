"""Fills a new store with all rows of a damaged one that can be read and verify."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any

from broker.recorder.sqlite.checksums import (
    SENSORS,
    labels_verify,
    line_verifies,
    sample_verifies,
    session_verifies,
    snapshot_verifies,
)
from broker.recorder.sqlite.upkeep.pages import Pages, Record, Value
from broker.records import EventKind
from wire.metadata import AGENT_ID, SESSION_ID

# Rows and index entries are known by their shape, so that neither the schema nor the way to
# their page need be whole. i: integer, t: text, b: bytes; capital: or NULL; N: NULL.
_ROWS = {
    "Niiibiii": "samples",  # as before there were checksums
    "NiiibiiiI": "samples",
    "NTt": "lines",  # the same
    "NTtI": "lines",
    "NiTIIiiiiiti": "sessions",  # the same
    "NiTIIiiiiitiI": "sessions",
    "iitBiii": "snapshots",
    "Nitb": "former_snapshots",
    "NttiI": "commands",
    "Niiit": "explanations",
    "TTIIti": "losses",
    "Niitt": "events",
    "NIIIIT": "standings",  # as before there were shifts
    "NIIIITT": "standings",
    "Nibi": "labels",
    "Niitbii": "asides",
    "tttiT": "schema",
}
# Columns of those that had one less once: most of them no checksum.
_COLUMNS = {"samples": 9, "lines": 4, "sessions": 13, "standings": 7}
_ENTRIES = {"Ti": "lines", "iTi": "sessions", "iii": "numbers"}


class _Kind(Enum):
    ROW = _ROWS
    ENTRY = _ENTRIES


# Indexes that tell nothing beyond the rows.
_USELESS = (
    *("samples_by_line", "explanations_by_line", "labels_by_line", "asides_by_line"),
    "sqlite_autoindex_snapshots_1",
)

_INSERT = {
    "samples": "INSERT OR IGNORE INTO samples VALUES (?,?,?,?,?,?,?,?,?)",
    # Of two states of a row, the later one is right: one that lay in a free page is older.
    "lines": "INSERT INTO lines VALUES (?,?,?,?) ON CONFLICT (line) DO NOTHING"
    " ON CONFLICT (agent_id) DO UPDATE SET line = excluded.line, peer = excluded.peer,"
    " checksum = excluded.checksum"
    " WHERE excluded.line > line",
    "sessions": "INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (session) DO UPDATE SET first_id = excluded.first_id,"
    " last_id = excluded.last_id, received = excluded.received, answered = excluded.answered,"
    " duplicates = excluded.duplicates, refused = excluded.refused, gaps = excluded.gaps,"
    " digest = excluded.digest WHERE excluded.received > received ON CONFLICT DO NOTHING",
    "snapshots": "INSERT OR IGNORE INTO snapshots VALUES (?,?,?,?,?,?,?)",
    "former_snapshots": "INSERT INTO former_snapshots VALUES (?,?,?,?) ON CONFLICT DO UPDATE"
    " SET position = excluded.position, digest = excluded.digest, state = excluded.state"
    " WHERE excluded.position > position",
    "commands": "INSERT INTO commands VALUES (?,?,?,?,?)"
    " ON CONFLICT DO UPDATE SET position = excluded.position WHERE position IS NULL",
    "explanations": "INSERT OR IGNORE INTO explanations VALUES (?,?,?,?,?)",
    "losses": "INSERT INTO losses VALUES (?,?,?,?,?,?)",
    "events": "INSERT OR IGNORE INTO events VALUES (?,?,?,?,?)",
    "standings": "INSERT OR IGNORE INTO standings VALUES (?,?,?,?,?,?,?)",
    "labels": "INSERT OR IGNORE INTO labels VALUES (?,?,?,?)",
    "asides": "INSERT OR IGNORE INTO asides VALUES (?,?,?,?,?,?,?)",
}

_MARKS = ",".join("?" * _COLUMNS["sessions"])

# What indexes tell of rows that are lost.
_EVIDENCE = """
    CREATE TEMP TABLE known_lines (agent_id, line INTEGER);
    CREATE TEMP TABLE known_sessions (line, id, session INTEGER);
    CREATE TEMP TABLE lost_samples (session, id, position INTEGER PRIMARY KEY);
    CREATE TEMP TABLE likely_gaps (session, first, last);
    CREATE TEMP TABLE misnamed_sessions AS SELECT * FROM sessions;
    CREATE TEMP VIEW verified_samples AS
        SELECT session, id FROM samples WHERE checksum IS NOT NULL
"""

_KINDS = frozenset(EventKind)

_BATCH = 1000


class Salvage:
    """A new store that is filled; its connection has the tables, and a transaction is open.

    Leaves what indexes know of lost rows in temporary tables beside them. Raises sqlite3.Error.
    """

    def __init__(self, rows: sqlite3.Connection) -> None:
        self._rows = rows
        self._roots: dict[str, int] = {}
        self.unsound = 0
        """Rows that were read, and that do not verify."""
        self.torn: frozenset[str] = frozenset()
        """Of `sessions` and `losses`: of which not all rows could be read, after fill()."""

    def fill(self, pages: Pages) -> None:
        """Copy the rows, then what the indexes know beyond them."""
        for statement in _EVIDENCE.split(";"):
            self._rows.execute(statement)
        for table, rows in _batches(self._sound(pages.rows())):
            self._rows.executemany(_INSERT[table], rows)
        self._read_indexes(pages)
        # A store of an older version has no losses.
        is_older = "sessions" in self._roots and "losses" not in self._roots
        self.torn = frozenset(
            table
            for table in (("sessions",) if is_older else ("sessions", "losses"))
            if not pages.is_whole(self._roots.get(table, 0))
        )

    def _sound(self, records: Iterator[Record]) -> Iterator[tuple[str, Sequence[Value]]]:
        for record in records:
            table = _shape(tuple(map(type, record.values)), _Kind.ROW)
            if table == "schema":
                name, root = record.values[1], record.values[3]
                self._roots[str(name)] = int(root)  # type: ignore[arg-type]
            elif table:
                row = _completed(table, record)
                if _SOUND.get(table, _always)(row):
                    yield table, row
                else:
                    self.unsound += 1
                    if table == "sessions":
                        self._add(f"misnamed_sessions VALUES ({_MARKS})", [row])

    def _read_indexes(self, pages: Pages) -> None:
        ids, gaps, *others = (
            pages.tree(self._roots.get(name, 0)) for name in ("samples_by_id", "gaps", *_USELESS)
        )
        for kind, entries in _batches(
            (kind, (*record.values, record.page))
            for record in pages.entries(frozenset().union(*others))
            if (kind := _shape(tuple(map(type, record.values)), _Kind.ENTRY))
        ):
            if kind == "lines":
                self._add("known_lines VALUES (?,?)", (e[:2] for e in entries))
            elif kind == "sessions":
                self._add("known_sessions VALUES (?,?,?)", (e[:3] for e in entries))
            else:
                self._add(
                    "lost_samples SELECT ?1, ?2, ?3"
                    " WHERE NOT EXISTS (SELECT 1 FROM samples WHERE position = ?3)",
                    (e[:3] for e in entries if e[3] in ids),
                )
                self._add("gaps VALUES (?,?,?)", (e[:3] for e in entries if e[3] in gaps))
                self._add(
                    "likely_gaps VALUES (?,?,?)",
                    (e[:3] for e in entries if e[3] not in ids and e[3] not in gaps),
                )

    def _add(self, what: str, entries: Iterable[Sequence[Value]]) -> None:
        self._rows.executemany(f"INSERT OR IGNORE INTO {what}", entries)


@lru_cache(maxsize=1024)
def _shape(types: tuple[type, ...], kind: _Kind) -> str | None:
    """Which table has columns of these types."""
    for shape, table in kind.value.items():
        if len(shape) == len(types) and all(map(_fits, types, shape)):
            return str(table)
    return None


def _fits(type_: type, wanted: str) -> bool:
    if type_ is NoneType:
        return wanted.isupper()
    return wanted != "N" and type_ is {"i": int, "t": str, "b": bytes}[wanted.lower()]


def _completed(table: str, record: Record) -> Sequence[Value]:
    """A row with its key, which SQLite keeps apart, and with the columns of this version."""
    values = record.values
    row = [record.row, *values[1:]] if values[0] is None and table != "losses" else values
    return [*row, None] if len(row) < _COLUMNS.get(table, 0) else row


def _is_sample(row: Sequence[Value]) -> bool:
    sensors, prediction = row[4], row[7]
    return (
        isinstance(sensors, bytes)
        and len(sensors) == SENSORS.size
        and prediction in (0, 1)
        and sample_verifies(row)
    )


def _is_line(row: Sequence[Value]) -> bool:
    line, agent_id, _, checksum = row
    is_name = agent_id is None or bool(AGENT_ID.fullmatch(str(agent_id)))
    return is_name and line_verifies((line, agent_id, checksum))


def _is_session(row: Sequence[Value]) -> bool:
    numbers = [number for number in row[3:10] if isinstance(number, int)]
    is_name = row[2] is None or bool(SESSION_ID.fullmatch(str(row[2])))
    return min(numbers) >= 0 and is_name and session_verifies((*row[:3], *row[11:]))


def _is_snapshot(row: Sequence[Any]) -> bool:
    line, position, digest, state, arrived_at_ns, _, checksum = row
    return snapshot_verifies((line, position, digest.encode(), state, arrived_at_ns, checksum))


def _is_aside(row: Sequence[Any]) -> bool:
    _, line, position, digest, *more = row
    return snapshot_verifies((line, position, digest.encode(), *more))


def _is_event(row: Sequence[Value]) -> bool:
    return row[3] in _KINDS


def _always(_: Sequence[Value]) -> bool:
    return True


_SOUND: dict[str, Callable[[Sequence[Any]], bool]] = {
    "samples": _is_sample,
    "lines": _is_line,
    "sessions": _is_session,
    "snapshots": _is_snapshot,
    "events": _is_event,
    "labels": labels_verify,
    "asides": _is_aside,
}


def _batches(
    pairs: Iterator[tuple[str, Sequence[Value]]],
) -> Iterator[tuple[str, list[Sequence[Value]]]]:
    """The rows of each table, some at a time."""
    waiting: dict[str, list[Sequence[Value]]] = {}
    for table, row in pairs:
        rows = waiting.setdefault(table, [])
        rows.append(row)
        if len(rows) >= _BATCH:
            yield table, waiting.pop(table)
    yield from waiting.items()
