"""A file that cannot be opened as it is: moved aside, never deleted; what it holds is saved."""

import contextlib
import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.model import Session
from agent.spool.account import Account
from agent.spool.books import EARLIER
from agent.spool.tier import COMPANIONS, Key, Row, Tier, accounts, delete, unpack
from quartet.database import Synchronous
from quartet.errors import DamagedError, NewerSchemaError, StoreError
from wire.metadata import SESSION_ID

log = logging.getLogger(__name__)

Looked = TypeVar("Looked")


def open_tier(
    path: Path, synchronous: Synchronous, look: Callable[[Tier], Looked]
) -> tuple[Tier, Looked, bool]:
    """Open a tier whatever became of its file; what `look` sees there, and if it is another one.

    Raises StoreError where the place cannot be used at all.
    """
    _finish_replacement(path)
    try:
        return *open_checked(path, synchronous, look), False
    except NewerSchemaError as error:
        aside = _move(path, f"schema-{error.version}")
        log.warning("%s; it is now %s, and a fresh one is used", error, aside)
        tier = Tier(path, synchronous)
        return tier, look(tier), True
    except DamagedError as error:
        tier = replace_damaged(path, synchronous, str(error))
        return tier, look(tier), True


def replace_damaged(path: Path, synchronous: Synchronous, reason: str) -> Tier:
    """Move a damaged file aside; a fresh one with all that could be read of it.

    Done again from the start where it is cut short before all is saved, and to
    the end where it is after that. StoreError where there is no room to save.
    """
    saving, saved = _beside(path, "saving"), _beside(path, "saved")
    delete(saving)
    with contextlib.closing(Tier(saving, synchronous)) as tier:
        count = _salvage(path, tier)
    saving.rename(saved)
    aside = _finish_replacement(path)
    log.error("%s; it is now %s, and %d samples were saved from it", reason, aside, count)
    return Tier(path, synchronous)


def _finish_replacement(path: Path) -> Path | None:
    """Put what was saved from a damaged file in its place; where that one is now."""
    saved = _beside(path, "saved")
    if not saved.exists():
        return None
    aside = _move(path, "damaged")
    saved.rename(path)
    return aside


def _beside(path: Path, state: str) -> Path:
    return path.with_name(f"{path.stem}.{state}{path.suffix}")


def open_checked(
    path: Path, synchronous: Synchronous, look: Callable[[Tier], Looked]
) -> tuple[Tier, Looked]:
    """Open a tier, and what `look` sees in it. StoreError, DamagedError or NewerSchemaError."""
    tier = Tier(path, synchronous)
    try:
        return tier, look(tier)
    except (StoreError, msgspec.MsgspecError, TypeError, ValueError) as error:
        tier.close()
        if isinstance(error, StoreError):
            raise
        raise DamagedError(f"{path}: is damaged ({error})", path) from error


def _move(path: Path, why: str) -> Path:
    """Rename a file with its companions to a name that is free.

    The file comes last: where that is cut short, its log waits under the name that is
    still free, and is joined by it when it is moved again.
    """
    names = (f"{path.stem}.{why}{number}{path.suffix}" for number in _numbers())
    free = next(name for name in map(path.with_name, names) if not name.exists())
    for companion in (*COMPANIONS, ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{free}{companion}")
    return free


def _numbers() -> Iterator[str]:
    return itertools.chain([""], (f"-{number}" for number in itertools.count(2)))


def _salvage(path: Path, tier: Tier) -> int:
    """Copy what can be read of a damaged file, as far as it is sound; how many samples."""
    try:
        damaged = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    with contextlib.closing(damaged):
        sessions = {entry[0].sequence: entry for entry in _sound_sessions(damaged)}
        rows = (
            row
            for row in map(Row._make, _readable(damaged, "samples", "session, id, reading"))
            if _is_sound(row, sessions)
        )
        keys = map(Key._make, _readable(damaged, "settled", "session, id"))
        settled = (key for key in keys if all(isinstance(part, int) for part in key))
        tier.write(sessions=sessions.values(), rows=rows, settle=settled)
    return tier.size()


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
    """Whether a row is what was once written, as far as its session is known."""
    if not (
        isinstance(row.session, int) and isinstance(row.id, int) and isinstance(row.reading, bytes)
    ):
        return False
    entry = sessions.get(row.session)
    return entry is None or unpack(row, entry[0]) is not None


def _readable(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows from both ends towards the damage; some perhaps twice."""
    key = columns.split(", ")[:2]
    for order in ("", " DESC"):
        by = ", ".join(column + order for column in key)
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            yield from damaged.execute(f"SELECT {columns} FROM {table} ORDER BY {by}")  # noqa: S608
