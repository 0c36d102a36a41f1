"""A store that is open: its connection, and all that works on it."""

import sqlite3
from contextlib import ExitStack
from pathlib import Path

from broker.recorder.sqlite.census import Census
from broker.recorder.sqlite.checkpoints import Checkpoints
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.plain import PlainLines
from broker.recorder.sqlite.retention import Retention
from broker.recorder.sqlite.schema import MIGRATIONS, check_kind, damage_told
from broker.recorder.sqlite.signature import Signature
from broker.recorder.sqlite.tables import Tables
from broker.recorder.sqlite.watch import Watch
from quartet.clock import Clock
from quartet.database import BUSY_S, connect, integrity, store_error
from quartet.errors import DamagedError, StoreError

# By these an agent and its sessions are found: who is not found would be new. Few rows.
_SMALL = ("lines", "sessions", "commands")

# Of pages of the store, in place of SQLite's 2000. With 100 agents a commit then reads some pages
# again, out of the system's cache, which adds about 2 % to its time.
_CACHE_KIB = 256


class Opened:
    """One thread at a time. StoreError where the store cannot be opened."""

    def __init__(  # noqa: PLR0917 - what a store is opened with
        self,
        path: Path,
        hold: Hold,
        signature: Signature,
        digest: str,
        keeping: Keeping,
        clock: Clock,
    ) -> None:
        self._path = path
        with damage_told(path), ExitStack() as undo:
            check_kind(path)
            self._connection = connect(path, MIGRATIONS, keeping.synchronous)
            undo.callback(self._connection.close)
            self._is_patient = True
            try:
                self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._build(signature, digest, keeping, clock)
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")
                self.checkpoints = Checkpoints(path, clock)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise store_error(path, error) from error
            undo.pop_all()
        self.watch = Watch(path, hold)

    def _build(self, signature: Signature, digest: str, keeping: Keeping, clock: Clock) -> None:
        """Look at the small tables with their indexes, sign the file, and begin."""
        connection = self._connection
        for table in _SMALL:
            if found := integrity(connection, table):
                raise DamagedError(f"{self._path}: is damaged ({found[0]})", self._path)
        signature.sign(connection)
        self.tables = Tables(connection, digest, keeping, clock)
        self.census = Census(connection, clock)
        self.eraser = Eraser(connection, clock)
        self.plain_lines = PlainLines(connection, keeping.plain_lines, self.census.removed)
        self.retention = Retention(
            *(connection, keeping, clock, self.tables.needed_from),
            census=self.census,
            eraser=self.eraser,
            fail_lease=self.tables.fail_lease,
        )

    def wait_for_locks(self, *, is_patient: bool) -> None:
        """Whether to wait for a lock of another program, or fail at once. Raises sqlite3.Error."""
        if is_patient is not self._is_patient:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000 * is_patient:.0f}")
            self._is_patient = is_patient

    def save(self) -> None:
        """Have all commits in the file itself. StoreError where they are not."""
        try:
            busy, frames, saved = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error
        if busy or frames != saved:
            raise StoreError(f"{self._path}: a program that reads it is in the way")

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()
        self.checkpoints.close()
