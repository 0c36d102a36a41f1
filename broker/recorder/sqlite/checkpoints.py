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
from quartet.database import schema_version
from quartet.errors import DamagedError, StoreError

# SQLite's own default for the same.
_FRAMES = 1000

# Who commits waits for the end of a checkpoint. With 100 agents that send 20 samples a second, 1000
# frames are written in an eighth of a second. They are of the same pages mostly, so that a
# checkpoint of more of them takes little longer.
_APART_S = 0.5

# Flushed at a time. The kernel works on these for half a millisecond, and may let nobody else
# have that processor meanwhile, such as the event loop.
_FLUSH_FRAMES = 500

# A start after a kill reads all of it.
_MOST_FRAMES = 5000
# Commits on the loop go on beside a flush up to here, which are 25 MB.
_MOST_BESIDE = _MOST_FRAMES + _FRAMES

# macOS has no fdatasync.
_flush = getattr(os, "fdatasync", os.fsync)

# In the index: the frames that are committed, and those of them that are in the file.
_COUNTS = struct.Struct("=16xI76xI")


class Checkpoints:
    """Of one open store. One thread at a time; raises sqlite3.Error.

    They have a connection of their own, so that commits may be made beside flush() and copy().
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """StoreError where the index cannot be read."""
        self._monotonic = clock.monotonic
        self._next_s = clock.monotonic()
        self._left = 0
        self._flushed = 0
        file = path.resolve()
        with ExitStack() as undo:
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            undo.callback(self._connection.close)
            schema_version(self._connection)  # opens the log, which may be another one later
            # To close any descriptor of a file drops SQLite's locks on it: see close().
            self._file = _opened(str(file), undo)
            self._log = _opened(f"{file}-wal", undo)
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
        """Whether there is enough to flush or to save. Any thread."""
        committed, saved = _COUNTS.unpack_from(self._index)
        if committed < self._flushed:  # the log has begun again
            self._flushed = 0
        return committed - max(saved, self._flushed) >= _FLUSH_FRAMES or self.is_long()

    def is_long(self) -> bool:
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
        """Flush the log as it is now. Commits may be made beside it. Raises OSError."""
        self._flushed, _ = _COUNTS.unpack_from(self._index)
        _flush(self._log)

    def copy(self) -> None:
        """Save most of what step() would, and flush it. Commits may be made beside it.

        SQLite flushes the file only once nothing is left in the log. DamagedError where the
        flush fails: what is saved counts as such from then on, and the log begins again over it.
        """
        self._save()
        try:
            _flush(self._file)
        except OSError as error:
            raise DamagedError(f"the file cannot be flushed: {error.strerror}") from error

    def step(self) -> None:
        """Save what no reader needs in the log. No commit may be made beside it."""
        self._save()
        self._left = self.unsaved()
        self._next_s = self._monotonic() + _APART_S

    def _save(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Let the log go, once the connection that commits is closed."""
        self._connection.close()
        self._index.close()
        for descriptor in (self._file, self._log, self._descriptor):
            os.close(descriptor)

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
