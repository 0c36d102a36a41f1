"""What can still be read of a damaged file: from both ends towards the damage."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.model import Session
from agent.spool.account import EARLIER, Account, Sessions
from agent.spool.row import Key, Row, unpack
from agent.spool.tier import Tier, accounts
from wire.metadata import SESSION_ID


def salvage(path: Path, tier: Tier) -> int:
    """Copy what is readable and sound in a damaged file; the number of samples."""
    with _opened(path) as damaged:
        if damaged:
            sessions, rows, settled = _sound(damaged)
            tier.write(sessions=sessions, rows=rows, settled=settled)
    return tier.size()


def readable(path: Path) -> tuple[list[Row], list[Key]]:
    """The rows that are readable and sound in a damaged file, and the keys that are settled."""
    with _opened(path) as damaged:
        if damaged is None:
            return [], []
        _, rows, settled = _sound(damaged)
        return [*{row.key: row for row in rows}.values()], [*settled]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    try:
        damaged = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        yield None
        return
    with contextlib.closing(damaged):
        yield damaged


def _sound(damaged: sqlite3.Connection) -> tuple[Sessions, Iterator[Row], Iterator[Key]]:
    sessions = {entry[0].sequence: entry for entry in _sound_sessions(damaged)}
    rows = (
        row
        for row in map(Row._make, _readable(damaged, "samples", "session, id, reading"))
        if _is_sound(row, sessions)
    )
    keys = map(Key._make, _readable(damaged, "settled", "session, id"))
    settled = (key for key in keys if all(isinstance(part, int) for part in key))
    return [*sessions.values()], rows, settled


def _sound_sessions(damaged: sqlite3.Connection) -> Iterator[tuple[Session, Account]]:
    seen = set()
    columns = "sequence, id, period_ns, started_at_ns, account"
    for sequence, id_, period_ns, started_at_ns, account in _readable(damaged, "sessions", columns):
        numbers = (sequence, period_ns, started_at_ns)
        if not all(isinstance(number, int) for number in numbers) or id_ in seen:
            continue
        with contextlib.suppress(msgspec.MsgspecError, TypeError):
            if id_ == EARLIER or SESSION_ID.fullmatch(id_):
                seen.add(id_)
                yield Session(sequence, id_, period_ns, started_at_ns), accounts.decode(account)


def _is_sound(row: Row, sessions: dict[int, tuple[Session, Account]]) -> bool:
    """Whether a row has the right types, and the right checksum where its session is known."""
    if not (
        isinstance(row.session, int) and isinstance(row.id, int) and isinstance(row.reading, bytes)
    ):
        return False
    entry = sessions.get(row.session)
    return entry is None or unpack(row, entry[0]) is not None


def _readable(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows, read from both ends towards the damage, and by the columns' places alone.

    Some come more than once.
    """
    names = columns.split(", ")
    rising, falling = (", ".join(name + order for name in names[:2]) for order in ("", " DESC"))
    by_place = f"WITH found({columns}) AS (SELECT * FROM {table}) SELECT * FROM found"  # noqa: S608
    for query in (
        f"SELECT {columns} FROM {table} ORDER BY {rising}",  # noqa: S608
        f"SELECT {columns} FROM {table} ORDER BY {falling}",  # noqa: S608
        by_place,
    ):
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            yield from damaged.execute(query)
