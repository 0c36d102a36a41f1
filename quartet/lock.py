"""A file that one process owns at a time: who comes second is told who was first."""

import errno
import fcntl
import os
from pathlib import Path

from quartet.errors import StoreError


class FileLock:
    """Holds `path` until close() or the end of the process, however that comes.

    StoreError, naming the process, where another one holds it; OSError where the
    file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"{path.parent}: is in use by process {owner or 'unknown'} ({path.name}):"
                " stop that one first, or give this one a place of its own"
            ) from None
        try:
            self._sign()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)

    def _sign(self) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # on a full disk the lock holds, without a name
                raise
