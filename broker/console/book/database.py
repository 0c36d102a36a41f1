"""console.db in use: one connection, in a thread of its own, whatever becomes of the file."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Self, TypeVar

from broker.console.book.place import identity, opened, replace
from quartet.clock import Clock, utc
from quartet.database import is_damage, store_error, transaction, transaction_to_read
from quartet.errors import DamagedError, StoreError

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]


class Database:
    """Any task may ask; one at a time is answered. Each method raises StoreError.

    A damaged file is moved aside, and the new one has what people wrote, as far as that can be
    read. So does a file that is damaged, deleted or replaced while it is in use.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "console.db")
        self._connection: sqlite3.Connection | None = None  # guarded by: the thread
        self._file: tuple[int, int] | None = None  # guarded by: the thread
        self.remarks: list[str] = []
        """What was lost and saved, for a page."""

    @classmethod
    async def open(cls, path: Path, clock: Clock = time) -> Self:
        """Open the file, or make it. StoreError for another program's or a newer version's."""
        database = cls(path, clock)
        try:
            await database._call(database._ready)
        except BaseException:
            database._thread.shutdown(wait=False)
            raise
        return database

    async def close(self) -> None:
        """Close it, behind all that was asked for."""
        await self._call(self._close)
        self._thread.shutdown()

    async def read(self, ask: Work[Result]) -> Result:
        """Ask one state of the file. Keep it short: nothing else is answered meanwhile."""
        return await self._call(lambda: self._do(ask, transaction_to_read))

    async def write(self, change: Work[Result]) -> Result:
        """Change the file in one transaction, done as a whole also where the caller is cancelled.

        A constraint that `change` breaks counts as damage.
        """
        return await self._call(lambda: self._do(change, transaction))

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _do(
        self,
        work: Work[Result],
        within: Callable[[sqlite3.Connection], AbstractContextManager[None]],
    ) -> Result:
        connection = self._ready()
        try:
            with within(connection):
                return work(connection)
        except (sqlite3.Error, UnicodeDecodeError, DamagedError) as error:
            found = store_error(self.path, error)
            if is_damage(error):
                self._close()
                self._replace(found)
            raise found from error

    def _ready(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection and self._file == identity(self.path):
            return self._connection
        if self._connection:
            self._close()
            self._remark(f"{self.path}: was deleted or replaced while the console used it")
        try:
            return self._use(opened(self.path))
        except DamagedError as error:
            return self._replace(error)

    def _replace(self, reason: StoreError) -> sqlite3.Connection:
        aside, saved = replace(self.path, utc(self._clock))
        self._remark(
            f"{reason}: it was renamed to {aside}. Notes, acknowledgements, users and audit:"
            f" {saved} saved. The history is built again from the store"
        )
        return self._use(opened(self.path))

    def _use(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        self._connection, self._file = connection, identity(self.path)
        return connection

    def _close(self) -> None:
        if self._connection:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _remark(self, said: str) -> None:
        log.error("%s", said)
        self.remarks.append(said)
