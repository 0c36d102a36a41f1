"""What can still be read of a damaged file: from both ends towards the damage."""

import contextlib
import logging
import sqlite3
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.model import Session
from agent.spool import runs
from agent.spool.account import EARLIER, Account, Sessions
from agent.spool.checksums import key_verifies, session_verifies, unsealed
from agent.spool.row import Key, Row, unpack
from agent.spool.tier import Tier, accounts
from wire.metadata import SESSION_ID

log = logging.getLogger(__name__)


def salvage(path: Path, tier: Tier, elsewhere: Container[str] = ()) -> int:
    """Copy what is readable and sound in a damaged file; the number of samples.

    Of a session whose id is `elsewhere`, another tier has an account: none is made up for it.
    """
    with _opened(path) as damaged:
        if damaged:
            sessions, rows, settled = _sound(damaged, path, elsewhere)
            tier.write(sessions=sessions, rows=rows, settled=settled)
    return tier.size()


def readable(path: Path) -> tuple[list[Row], list[Key]]:
    """The rows that are readable and sound in a damaged file, and the keys that are settled."""
    with _opened(path) as damaged:
        if damaged is None:
            return [], []
        _, rows, settled = _sound(damaged, path, ())
        return [*{row.key: row for row in rows}.values()], [*settled]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    try:
        damaged = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        yield None
        return
    damaged.text_factory = lambda raw: raw.decode(errors="replace")
    with contextlib.closing(damaged):
        yield damaged


def _sound(
    damaged: sqlite3.Connection, path: Path, elsewhere: Container[str]
) -> tuple[Sessions, Iterator[Row], Iterator[Key]]:
    sessions: dict[int, tuple[Session, Account]] = {}
    doubtful: dict[str, Session] = {}
    for session, account in _readable_sessions(damaged):
        if account:
            sessions[session.sequence] = session, account
        else:
            doubtful[session.id] = session
    for session, _ in sessions.values():
        doubtful.pop(session.id, None)
    for session in doubtful.values():
        if session.sequence not in sessions and session.id not in elsewhere:
            sessions |= _rebuilt(damaged, path, session)
    rows = (row for row in _rows(damaged) if _is_sound(row, sessions))
    settled = (
        Key(sequence, id_)
        for sequence, id_, checksum in _with_newer(damaged, "settled", "session, id", ("checksum",))
        if key_verifies(sequence, id_, checksum)
    )
    return [*sessions.values()], rows, settled


def _rebuilt(
    damaged: sqlite3.Connection, path: Path, session: Session
) -> dict[int, tuple[Session, Account]]:
    """A session whose row does not verify, by its sequence, where samples prove its id.

    The sample's checksum is of that id. Of the account, nothing but the samples is known.
    """
    own = {session.sequence: (session, Account())}
    of_session = (row for row in _rows(damaged) if row.session == session.sequence)
    ids = sorted({row.id for row in of_session if _is_sound(row, own)})
    if not ids:
        log.error(
            "%s: the account of its session number %s is damaged, and no sample tells the session's"
            " name: it is left out",
            *(path, session.sequence),
        )
        return {}
    log.error(
        "%s: the account of session %s is damaged: of its samples up to %d, those that are not"
        " there are booked as unknown, though some may be answered",
        *(path, session.id, ids[-1]),
    )
    left = runs.gather(ids)
    account = Account(sampled=ids[-1] + 1, ended=True)
    if missing := account.waiting - len(ids):
        account.lose(missing, left)
    return {session.sequence: (session, account)}


def _readable_sessions(damaged: sqlite3.Connection) -> Iterator[tuple[Session, Account | None]]:
    """Each session once that is sound by its looks, with its account where the row verifies."""
    seen = set()
    columns = "sequence, id, period_ns, started_at_ns, account"
    for *row, encoded, checksum, labels in _with_newer(
        damaged, "sessions", columns, ("checksum", "sensors")
    ):
        sequence, id_, period_ns, started_at_ns = row
        numbers = (sequence, period_ns, started_at_ns)
        if not all(isinstance(number, int) for number in numbers) or id_ in seen:
            continue
        if isinstance(id_, str) and (id_ == EARLIER or SESSION_ID.fullmatch(id_)):
            seen.add(id_)
            sensors = unsealed(id_, labels) if isinstance(labels, bytes) else b""
            session, account = Session(sequence, id_, period_ns, started_at_ns, sensors), None
            if session_verifies(session, encoded, checksum):
                with contextlib.suppress(msgspec.MsgspecError, TypeError):
                    account = accounts.decode(encoded)
            yield session, account


def _rows(damaged: sqlite3.Connection) -> Iterator[Row]:
    return map(Row._make, _readable(damaged, "samples", "session, id, reading"))


def _is_sound(row: Row, sessions: dict[int, tuple[Session, Account]]) -> bool:
    """Whether a row has the right types, and the right checksum where its session is known."""
    if not (
        isinstance(row.session, int) and isinstance(row.id, int) and isinstance(row.reading, bytes)
    ):
        return False
    entry = sessions.get(row.session)
    return entry is None or unpack(row, entry[0]) is not None


def _with_newer(
    damaged: sqlite3.Connection, table: str, columns: str, newer: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """The rows with columns that newer versions brought, as _readable(); None for those missing."""
    for count in range(len(newer), -1, -1):
        is_there = False
        for row in _readable(damaged, table, ", ".join([columns, *newer[:count]])):
            is_there = True
            yield *row, *[None] * (len(newer) - count)
        if is_there:
            return


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
