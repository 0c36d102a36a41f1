"""What people wrote, as far as a damaged console.db can still be read."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# The columns of what nothing can make again, with their types. Sign-ins are left out: who was
# signed in signs in again.
KEPT = {
    "acknowledgements": "agent_id:t begun_at_ns:i at_ns:i name:t note:t",
    "notes": "note:i agent_id:t at_ns:i name:t text:t written_at_ns:i",
    "users": "name:t role:t salt:b hash:b made_at_ns:i",
    "audit": "act:i at_ns:i name:t address:t verb:t subject:t detail:t",
}

Row = tuple[Any, ...]


def readable(path: Path) -> dict[str, list[Row]]:
    """By table, the rows that can be read and are of the right types. Raises nothing."""
    try:
        damaged = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return {}
    damaged.text_factory = bytes
    with contextlib.closing(damaged):
        with contextlib.suppress(sqlite3.Error):
            # SQLite then reads also what is shorter than it says, or has a table that is none.
            damaged.execute("PRAGMA writable_schema = on")
        return {table: _table(damaged, table) for table in KEPT}


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> int:
    """Write saved rows into a new file; how many. Raises sqlite3.Error."""
    marks = ", ".join("?" for _ in KEPT[table].split())
    return connection.executemany(
        f"INSERT OR IGNORE INTO {table} ({_names(table)}) VALUES ({marks})",  # noqa: S608
        rows,
    ).rowcount


def _names(table: str) -> str:
    return ", ".join(column.partition(":")[0] for column in KEPT[table].split())


def _table(damaged: sqlite3.Connection, table: str) -> list[Row]:
    """From both ends towards the damage."""
    found: dict[Row, None] = {}
    for order in ("ASC", "DESC"):
        found.update(dict.fromkeys(_rows(damaged, table, order)))
    return [*found]


def _rows(damaged: sqlite3.Connection, table: str, order: str) -> Iterator[Row]:
    kinds = [column.partition(":")[2] for column in KEPT[table].split()]
    with contextlib.suppress(sqlite3.Error):
        for row in damaged.execute(
            f"SELECT {_names(table)} FROM {table} ORDER BY rowid {order}"  # noqa: S608
        ):
            with contextlib.suppress(UnicodeDecodeError, TypeError):
                yield tuple(_value(value, kind) for value, kind in zip(row, kinds, strict=True))


def _value(value: object, kind: str) -> int | str | bytes:
    if kind == "i" and isinstance(value, int):
        return value
    if kind != "i" and isinstance(value, bytes):
        return value.decode() if kind == "t" else value
    raise TypeError(f"{value!r} is of another type")
