"""Unsent messages, and where the feed was: a file that survives any end of the process."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from broker.notify import words
from broker.notify.message import Message
from quartet.database import connect, store_error, transaction
from quartet.errors import DamagedError, StoreError
from quartet.plural import counted

log = logging.getLogger(__name__)

# Of one receiver. A message is about 1 kB; of a summary, 50 kB.
MOST = 1000

_MIGRATIONS = (
    """
    CREATE TABLE messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        target TEXT NOT NULL,
        id TEXT NOT NULL,
        message BLOB NOT NULL,
        UNIQUE (target, id)
    );
    CREATE INDEX messages_by_target ON messages (target, number);
    CREATE TABLE place (only INTEGER PRIMARY KEY CHECK (only = 0), mark BLOB, held BLOB);
    """,
)

_APPLICATION_ID = 0x51_6E_6F_74

# What a place without room, or a damaged file, causes.
_FAULTS = (sqlite3.Error, UnicodeDecodeError, msgspec.MsgspecError)

_REMOVE = "DELETE FROM messages WHERE target = ? AND id = ?"

Result = TypeVar("Result")


class Place(NamedTuple):
    """Where the feed was, and the events that were not told yet."""

    mark: bytes = b""
    held: bytes = b""


class Outbox:
    """Any task may ask; one at a time is answered, in a thread. Most methods raise StoreError.

    What cannot be written waits in memory, and is sent from there: a full disk is told, too.
    """

    def __init__(
        self, path: Path, targets: Sequence[str], renamed: Mapping[str, str], most: int = MOST
    ) -> None:
        """Opens the file, or makes it. One that is damaged is renamed, and a new one begun.

        `renamed` has targets by their former names: they get the messages of those.
        """
        self.path = path
        self._targets = targets
        self._renamed = {was: now for was, now in renamed.items() if was not in targets}
        self._most = most
        self._unwritten: dict[str, dict[str, Message]] = {target: {} for target in targets}
        """By receiver and id: of what is not in the file."""
        self._unremoved: set[tuple[str, str]] = set()
        """Receiver and id of what is in the file, and needs no more tries."""
        self._thread = ThreadPoolExecutor(1, "notify.db")
        try:
            self._rows = self._opened()
        except DamagedError as error:
            aside = _set_aside(path)
            log.warning("%s: it was renamed to %s: messages in it are lost", error, aside)
            self._rows = self._opened()

    async def close(self) -> None:
        """Close the file, behind all that was asked for."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._rows.close)
        self._thread.shutdown()

    async def place(self) -> Place:
        """As it was saved last."""
        rows = await self._do(lambda rows: rows.execute("SELECT mark, held FROM place").fetchall())
        return Place(*rows[0]) if rows else Place()

    async def save(self, place: Place, messages: Sequence[Message]) -> int:
        """Keep messages for all receivers, and where the feed is behind them: both or nothing.

        How many older messages were put together, to make room. StoreError: the messages wait in
        memory, and the next call keeps them, too.
        """
        new = {message.id: message for message in messages}
        waiting = {target: held | new for target, held in self._unwritten.items()}
        removed = [*self._unremoved]
        try:
            joined = await self._do(lambda rows: self._save(rows, place, waiting, removed))
        except StoreError:
            for held in self._unwritten.values():
                held.update(new)
                _join(held, self._most)
            raise
        for target, written in waiting.items():
            for id_ in written:
                self._unwritten[target].pop(id_, None)
        self._unremoved.difference_update(removed)
        return joined

    async def next(self, target: str) -> Message | None:
        """The oldest message for a receiver; None: there is none."""
        removed = {id_ for to, id_ in self._unremoved if to == target}
        try:
            message = await self._do(lambda rows: _oldest(rows, target, removed))
        except StoreError:
            if not self._unwritten[target]:
                raise
            message = None
        return message or next(iter(self._unwritten[target].values()), None)

    async def remove(self, target: str, message: Message) -> None:
        """It needs no more tries. A file that cannot be written has it until a save() succeeds."""
        self._unwritten[target].pop(message.id, None)
        this = (target, message.id)
        self._unremoved.add(this)
        with contextlib.suppress(StoreError):
            await self._do(lambda rows: rows.execute(_REMOVE, this))
            self._unremoved.discard(this)

    async def count(self) -> int:
        """How many messages wait."""
        found = await self._do(
            lambda rows: rows.execute("SELECT count(*) FROM messages").fetchone()
        )
        return int(found[0])

    def _opened(self) -> sqlite3.Connection:
        _check_kind(self.path)
        rows = connect(self.path, _MIGRATIONS, "full")
        try:
            with transaction(rows):
                rows.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                rows.executemany(
                    "UPDATE OR IGNORE messages SET target = ? WHERE target = ?",
                    [(now, was) for was, now in self._renamed.items()],
                )
                marks = ", ".join("?" * len(self._targets))
                gone = rows.execute(
                    f"DELETE FROM messages WHERE target NOT IN ({marks})",  # noqa: S608
                    tuple(self._targets),
                ).rowcount
                # What is damaged is found now, and not at the next alarm.
                for (said,) in rows.execute("SELECT message FROM messages"):
                    _message(said)
        except _FAULTS as error:
            rows.close()
            raise store_error(self.path, error) from error
        if gone:
            unsent = counted(gone, "unsent message", "was", "were")
            log.warning("%s for receivers that are not configured any more: deleted", unsent)
        return rows

    async def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._within, work)

    def _within(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            with transaction(self._rows):
                return work(self._rows)
        except _FAULTS as error:
            raise store_error(self.path, error) from error

    def _save(
        self,
        rows: sqlite3.Connection,
        place: Place,
        waiting: Mapping[str, Mapping[str, Message]],
        removed: Sequence[tuple[str, str]],
    ) -> int:
        rows.execute("INSERT OR REPLACE INTO place VALUES (0, ?, ?)", place)
        rows.executemany(_REMOVE, removed)
        for target, messages in waiting.items():
            rows.executemany(
                "INSERT OR IGNORE INTO messages (target, id, message) VALUES (?, ?, ?)",
                [(target, id_, msgspec.json.encode(each)) for id_, each in messages.items()],
            )
        return sum(self._shorten(rows, target) for target, new in waiting.items() if new)

    def _shorten(self, rows: sqlite3.Connection, target: str) -> int:
        """Put the older half of too many messages together; of how many."""
        ((count,),) = rows.execute("SELECT count(*) FROM messages WHERE target = ?", (target,))
        if count <= self._most:
            return 0
        found = rows.execute(
            "SELECT number, message FROM messages WHERE target = ? ORDER BY number LIMIT ?",
            (target, max(2, self._most // 2)),
        ).fetchall()
        one = words.unsent([_message(said) for _, said in found])
        numbers = [(number,) for number, _ in found]
        rows.executemany("DELETE FROM messages WHERE number = ?", numbers)
        rows.execute(
            "INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?)",
            (found[0][0], target, one.id, msgspec.json.encode(one)),
        )
        return len(found)


def _oldest(rows: sqlite3.Connection, target: str, but: Collection[str]) -> Message | None:
    found = rows.execute(
        "SELECT id, message FROM messages WHERE target = ? ORDER BY number", (target,)
    )
    return next((_message(said) for id_, said in found if id_ not in but), None)


def _join(held: dict[str, Message], most: int) -> None:
    """Put the older half of too many messages together."""
    if len(held) <= most:
        return
    messages = [*held.values()]
    count = max(2, most // 2)
    held.clear()
    held.update((each.id, each) for each in [words.unsent(messages[:count]), *messages[count:]])


def _message(said: bytes) -> Message:
    return msgspec.json.decode(said, type=Message)


def _check_kind(path: Path) -> None:
    """Raise StoreError for a database of another program."""
    if not path.exists():
        return
    with contextlib.suppress(sqlite3.Error):  # connect() tells it
        rows = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (kind,) = rows.execute("PRAGMA application_id").fetchone()
            (tables,) = rows.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        finally:
            rows.close()
        if tables and kind != _APPLICATION_ID:
            raise StoreError(
                f"{path}: is a database, but not one of 'broker notify': choose another path", path
            )


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    for companion in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").replace(f"{aside}{companion}")
    return aside
