"""Has a store for one broker alone: by the lock file beside it, and by the file itself."""

import contextlib
import fcntl
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from broker.recorder.sqlite.place import finish, give
from broker.recorder.sqlite.wal import refuse_lone_log
from quartet.errors import InUseError, StoreError
from quartet.lock import FileLock

log = logging.getLogger(__name__)


# Elsewhere a lock of flock(2) keeps SQLite out, whose locks are of the other kind.
_IS_APART = sys.platform == "linux"


def lock_path(path: Path) -> Path:
    """The lock file of a store. Two names of one file are one store."""
    file = path.resolve()
    return file.with_name(f"{file.name}.lock")


class Hold:
    """Holds a store until close() or the end of the process. StoreError where it cannot be had.

    The lock file says who holds it. The lock on the file itself, which is made where there is
    none, holds also when the lock file is deleted; on Linux alone. Its descriptor must live as
    long as SQLite has the file open: to close one drops SQLite's locks in this process.
    """

    def __init__(self, path: Path, *, replaces: bool = False) -> None:
        """`replaces`: a log without its file is no obstacle, as both are to be replaced."""
        self._path = path
        if not path.parent.is_dir():
            raise StoreError(
                f"{path}: there is no directory {path.parent}: create it, or choose another"
            )
        with ExitStack() as undo:
            try:
                self._lock_path = lock_path(path)
                is_new = not self._lock_path.exists()
                self._lock = FileLock(self._lock_path)
                if is_new:
                    give(self._lock_path, path.parent)
            except StoreError:
                raise
            except OSError as error:
                raise StoreError(
                    f"{path}: cannot be written beside: {error.strerror}: give the broker's user"
                    f" {path.parent}, or choose another path"
                ) from error
            undo.callback(self._lock.close)
            finish(path)
            if not replaces:
                refuse_lone_log(path)
            self._is_new = not path.exists()
            self._descriptor = _lock_itself(path)
            undo.pop_all()

    @property
    def note(self) -> str:
        """What an owner has left in the lock file."""
        return self._lock.note

    def write_note(self, text: str) -> None:
        """Leave a note in the lock file. Raises OSError."""
        self._lock.write_note(text)

    def renew(self) -> None:
        """Make the lock file again, if it was deleted. InUseError where another process did."""
        if self._lock.is_in_place():
            return
        try:
            lock = FileLock(self._lock_path)
        except InUseError:
            raise
        except OSError as error:
            log.debug("%s: cannot be made again: %s", self._lock_path, error)
            return
        try:
            lock.write_note(self._lock.note)
        except OSError as error:
            lock.close()
            log.debug("%s: cannot be written: %s", self._lock_path, error)
            return
        self._lock.close()
        self._lock = lock
        log.warning("%s: was deleted while in use: it is created again", self._lock_path)

    def stamp(self) -> tuple[int, int]:
        """Size of the file itself and when it was changed, wherever it is now."""
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def is_deleted(self) -> bool:
        """Whether the file itself has no name any more."""
        return os.fstat(self._descriptor).st_nlink == 0

    def close(self) -> None:
        """Let the next broker have it, once SQLite has closed the file.

        A file that was made here, and that nobody has written to, goes.
        """
        if self._is_new and not self.stamp()[0]:
            with contextlib.suppress(OSError):
                if os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                    self._path.unlink()
        os.close(self._descriptor)
        self._lock.close()


def _lock_itself(path: Path) -> int:
    """A descriptor of the file, which is locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: cannot be used: {error.strerror}") from error
    if not _IS_APART:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUseError(
            f"{path}: is in use by another process, whose lock file was deleted: stop that one"
            " first, or choose another path",
            "unknown",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{path}: cannot be locked: {error.strerror}") from error
    return descriptor
