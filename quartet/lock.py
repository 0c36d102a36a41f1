"""A file that one process owns at a time: who comes second is told who was first."""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from quartet.errors import InUseError
from quartet.foreign import shown

# Where Debian has locks of devices: in RAM, for all users. Elsewhere the next best.
_SHARED = Path("/run/lock")

# A process id and a note are some hundred bytes; more is something else's.
_MOST_BYTES = 4096

# To ask takes microseconds, or longer where whoever asks has to wait for a processor.
_TRIES = 1000
_PAUSE_S = 0.001


class FileLock:
    """Holds `path` until close() or the end of the process, however that comes.

    InUseError, naming the process, where another one holds it; OSError where the
    file cannot be made. `shared`: other users may own it in their turn. Behind the id of its
    process, an owner may leave a note, which stays for the next one.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._descriptor = _open(path, shared=shared)
        if not _take(self._descriptor):
            said = _read(self._descriptor).partition("\n")[0].strip()[:20]
            owner = shown(said) or "unknown"
            os.close(self._descriptor)
            raise InUseError(
                f"{_guarded(path)}: is in use by process {owner} ({path.name}):"
                " stop that one first, or give this one a place of its own",
                owner,
            )
        self.note = _read(self._descriptor).partition("\n")[2]
        """What its former owner has left."""
        try:
            self._sign()
        except OSError:
            self.close()
            raise

    def is_in_place(self) -> bool:
        """Whether the path is still the file that is held."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def close(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)

    def write_note(self, text: str) -> None:
        """Leave a note in place of the former one."""
        self.note = text
        self._sign()

    def _sign(self) -> None:
        """Written over the former text, and cut behind it: a death in between leaves no less."""
        text = f"{os.getpid()}\n{self.note}".encode()
        try:
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError as error:
            if error.errno != errno.ENOSPC:  # on a full disk the lock holds, without a name
                raise


def for_all_users(name: str) -> Path:
    """The path of a lock that agents of all users see."""
    directory = _SHARED if _SHARED.is_dir() else _temporary()
    return directory / f"{name}.lock"


def _temporary() -> Path:
    import tempfile  # noqa: PLC0415 - a Pi has a directory of locks

    return Path(tempfile.gettempdir())


def holder(path: Path) -> str:
    """The process that holds a lock file, or "unknown"; empty where none does.

    The lock is tried, and had for no longer than that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _read(descriptor).partition("\n")[0].strip()
        return owner if owner.isdigit() else "unknown"
    finally:
        os.close(descriptor)
    return ""


def read_note(path: Path) -> str:
    """The note in a lock file, whoever holds it; empty where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _read(descriptor).partition("\n")[2]
    finally:
        os.close(descriptor)


def _guarded(path: Path) -> Path:
    """What a lock file is for: the file beside it that it is named after, or its directory."""
    file = path.with_suffix("")
    return file if file.is_file() else path.parent


def _take(descriptor: int) -> bool:
    """Lock a file, unless somebody owns it. Who only asks, by holder(), is in the way for a moment.

    Who asks shares the lock with others; an owner shares it with nobody.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(_PAUSE_S)
    return False


def _read(descriptor: int) -> str:
    return os.pread(descriptor, _MOST_BYTES, 0).decode("ascii", "replace")


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
