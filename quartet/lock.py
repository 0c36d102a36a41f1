"""A file that one process owns at a time: who comes second is told who was first."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from quartet.errors import InUseError

_LOCKS = Path("/proc/locks")


class FileLock:
    """Holds `path` until close() or the end of the process, however that comes.

    InUseError, naming the process, where another one holds it; OSError where the
    file cannot be made. `shared`: other users may own it in their turn.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._descriptor = _open(path, shared=shared)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise InUseError(
                f"{path.parent}: is in use by process {owner} ({path.name}):"
                " stop that one first, or give this one a place of its own",
                owner,
            ) from None
        try:
            self._sign()
        except OSError:
            self.close()
            raise

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to the file that is locked: who comes second would see it.

        It looks with `stat` alone.
        """
        try:
            found = self._path.stat()
        except OSError:
            return False
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

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


def is_locked(path: Path) -> bool:
    """Whether a process holds the FileLock at this path; asked without taking it.

    Where the system does not tell of its locks, whether the process that signed it runs.
    """
    try:
        found = path.stat()
        signed = int(path.read_text("ascii") or 0)
    except (OSError, ValueError):
        return False
    try:
        locks = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return Path("/proc", str(signed)).exists()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for _, kind, _, _, owner, place, *_ in (each for each in locks if "->" not in each):
        where, _, inode = place.rpartition(":")
        # Some file systems tell another device here than to stat().
        is_same = where == device or int(owner) == signed
        if kind == "FLOCK" and int(inode) == found.st_ino and is_same:
            return True
    return False


def _open(path: Path, *, shared: bool) -> int:
    """Open a file, or make it.

    One in a directory for all users is theirs whatever the umask says, never
    behind a symbolic link, and not opened with O_CREAT at once: Linux refuses
    that for a file of another user, to root as well (fs.protected_regular).
    """
    if not shared:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    descriptor = os.open(path, flags | os.O_CREAT, 0o666)
    with contextlib.suppress(PermissionError):  # another user was first after all
        os.fchmod(descriptor, 0o666)
    return descriptor
