"""Brings commits from the log into the store's file. This flushes, so it is never done on a loop.

https://www.sqlite.org/walformat.html tells the layout of the log's index.
"""

import os
import sqlite3
import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path

from quartet.errors import StoreError

# SQLite's own default for the same.
_FRAMES = 1000

# In the index: the frames that are committed, and those of them that are in the file.
_COMMITTED = struct.Struct("=16xI")
_SAVED = struct.Struct("=96xI")


class Checkpoints:
    """Of one open store. One thread at a time; raises sqlite3.Error."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """StoreError where the index cannot be read."""
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection = connection
        self._left = 0
        index = f"{path.resolve()}-shm"
        try:
            # To close any descriptor of this file drops SQLite's locks on it: see close().
            self._descriptor = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
            self._index = mmap(self._descriptor, _SAVED.size, access=ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StoreError(f"{index}: cannot be read: {error}") from error

    def unsaved(self) -> int:
        """Number of frames in the log that are not in the file. Costs less than a microsecond.

        After 0 the next commit begins the log again, and flushes it.
        """
        committed: int = _COMMITTED.unpack_from(self._index)[0]
        saved: int = _SAVED.unpack_from(self._index)[0]
        return max(0, committed - saved)

    def is_due(self) -> bool:
        """Whether the log is long, and longer than the latest step() had to leave it."""
        unsaved = self.unsaved()
        self._left = min(self._left, unsaved)
        return unsaved >= self._left + _FRAMES

    def step(self) -> None:
        """Save what no reader needs in the log, if it is due."""
        if self.is_due():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._left = self.unsaved()

    def close(self) -> None:
        """Let the index go, once the connection is closed."""
        self._index.close()
        os.close(self._descriptor)
