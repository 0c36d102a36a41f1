"""Brings commits from the log into the store's file. This flushes, so it is never done on a loop.

https://www.sqlite.org/walformat.html tells the layout of the log's index.
"""

import os
import sqlite3
import struct
from contextlib import ExitStack
from mmap import ACCESS_READ, mmap
from pathlib import Path

from quartet.clock import Clock
from quartet.errors import StoreError

# SQLite's own default for the same.
_FRAMES = 1000

# Who commits waits for a checkpoint, for a few milliseconds. With 100 agents that send 20 samples a
# second, 1000 frames are written in an eighth of a second: one sample in 25 would wait. They are of
# the same pages mostly, so that a checkpoint of more of them takes little longer.
_APART_S = 0.5
# A start after a kill reads all of it.
_MOST_FRAMES = 5000
# Commits on the loop go on beside a flush up to here, which are 25 MB.
_MOST_BESIDE = _MOST_FRAMES + _FRAMES

# macOS has no fdatasync.
_flush = getattr(os, "fdatasync", os.fsync)

# In the index: the frames that are committed, and those of them that are in the file.
_COUNTS = struct.Struct("=16xI76xI")


class Checkpoints:
    """Of one open store. One thread at a time; raises sqlite3.Error."""

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Clock) -> None:
        """StoreError where the index cannot be read."""
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection = connection
        self._monotonic = clock.monotonic
        self._next_s = clock.monotonic()
        self._left = 0
        file = path.resolve()
        with ExitStack() as undo:
            self._log = _opened(f"{file}-wal", undo)
            # To close any descriptor of the index drops SQLite's locks on it: see close().
            self._descriptor = _opened(f"{file}-shm", undo)
            try:
                self._index = mmap(self._descriptor, _COUNTS.size, access=ACCESS_READ)
            except (OSError, ValueError) as error:
                raise StoreError(f"{file}-shm: cannot be read: {error}") from error
            undo.pop_all()

    def unsaved(self) -> int:
        """Number of frames in the log that are not in the file. Costs less than a microsecond.

        After 0 the next commit begins the log again, and flushes it.
        """
        committed, saved = _COUNTS.unpack_from(self._index)
        return committed - saved if committed > saved else 0

    def is_due(self) -> bool:
        """Whether the log is long, and longer than the latest step() left it. Any thread."""
        new = self._new()
        return new >= _FRAMES and (new >= _MOST_FRAMES or self._monotonic() >= self._next_s)

    def takes_commits(self) -> bool:
        """Whether the next commit flushes nothing, and the medium keeps up with the log.

        Any thread.
        """
        new = self._new()
        return new + self._left > 0 and new < _MOST_BESIDE

    def flush(self) -> None:
        """Flush most of what step() would, which is nearly all of its time. Raises OSError.

        Commits may be made beside it.
        """
        _flush(self._log)

    def step(self) -> None:
        """Save what no reader needs in the log, if it is due."""
        if self.is_due():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._left = self.unsaved()
            self._next_s = self._monotonic() + _APART_S

    def close(self) -> None:
        """Let the index go, once the connection is closed."""
        self._index.close()
        os.close(self._descriptor)
        os.close(self._log)

    def _new(self) -> int:
        """Number of frames that are not in the file, beside those that a step() left."""
        unsaved = self.unsaved()
        self._left = min(self._left, unsaved)
        return unsaved - self._left


def _opened(file: str, undo: ExitStack) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error}") from error
    undo.callback(os.close, descriptor)
    return descriptor
