"""Puts a new file into the place of a store: the former one is set aside, never deleted.

A new file is made beside the store, and has a name of its own once it is whole and on the
medium. From then on the exchange is finished by whoever comes next: it may be cut short
anywhere.
"""

import contextlib
import itertools
import os
from pathlib import Path

from quartet.errors import StoreError

_COMPANIONS = ("-wal", "-shm", "-journal")

# How a new file is called that is whole, and how the one that it replaces is called then.
_ASIDE = {"repaired": "damaged", "restored": "replaced"}


def draft(path: Path) -> Path:
    """An empty file beside the store, to be filled; what an earlier try left there is deleted.

    StoreError where the directory does not let it.
    """
    new = _beside(path, "draft")
    try:
        for companion in ("", *_COMPANIONS):
            Path(f"{new}{companion}").unlink(missing_ok=True)
        create(new, path if path.exists() else path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    return new


def create(path: Path, like: Path) -> None:
    """Make an empty file for the owner of another one alone. Raises OSError."""
    # Not for others at any moment, whatever the umask: it holds what a plant's sensors say.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    give(path, like)


def exchange(path: Path, new: Path, state: str) -> Path | None:
    """Put a draft that is whole into the store's place; where the former file is now.

    `state`: "repaired" or "restored". StoreError where the directory does not let it.
    """
    try:
        flush(new)
        new.rename(_beside(path, state))
        _flush_directory(path)
    except OSError as error:
        raise _refused(path, error) from error
    return finish(path)


def finish(path: Path) -> Path | None:
    """Finish an exchange that was cut short; where the former file is now, if there was one."""
    aside = None
    try:
        for state, why in _ASIDE.items():
            new = _beside(path, state)
            if new.exists():
                aside = _set_aside(path, why)
                _flush_directory(path)
                new.rename(path)
                _flush_directory(path)
    except OSError as error:
        raise _refused(path, error) from error
    return aside


def is_pending(path: Path) -> bool:
    """Whether an exchange was cut short."""
    return any(_beside(path, state).exists() for state in _ASIDE)


def flush(path: Path) -> None:
    """Have a file on the medium. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give(path: Path, like: Path) -> None:
    """Have a file belong to whom another belongs: root may have made it for the broker."""
    stat = like.stat()
    with contextlib.suppress(PermissionError):
        os.chown(path, stat.st_uid, stat.st_gid)


def _set_aside(path: Path, why: str) -> Path | None:
    """Rename a file with its companions to a name that is free; the file comes last.

    One without content, as a lock makes it, goes. Where this is cut short, the same name still
    counts as free, as long as the file is not there.
    """
    if path.exists() and not path.stat().st_size and not Path(f"{path}-wal").exists():
        path.unlink()
        return None
    names = itertools.chain([why], (f"{why}-{number}" for number in itertools.count(2)))
    free = next(name for name in (_beside(path, why) for why in names) if not name.exists())
    for companion in (*_COMPANIONS, ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{free}{companion}")
    return free if free.exists() else None


def _beside(path: Path, state: str) -> Path:
    return path.with_name(f"{path.stem}.{state}{path.suffix}")


def _flush_directory(path: Path) -> None:
    flush(path.parent)


def _refused(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be replaced: {error.strerror}: give the user {path.parent}")
