"""The spool's two directories: which ones are used, and that no other agent uses them."""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.config import SpoolSettings
from agent.instance import COLD, HOT
from quartet.errors import StoreError
from quartet.lock import FileLock

FILE = "spool.db"
"""The name of the file in either directory."""

LOCK = "spool.lock"
"""The name of the lock of either directory."""

# What a disk says that may pass while we run; anything else about a directory
# is a mistake of the installation.
_PASSING = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Directories:
    """Where the two tiers keep their files."""

    hot: Path
    cold: Path
    private: bool = False
    """They are deleted at the end of the process, with the samples in them."""


def configured_directories(settings: SpoolSettings) -> Directories | None:
    """Those of the configuration, or those that systemd made for the service; None for neither."""
    hot = settings.hot_directory or _first("RUNTIME_DIRECTORY")
    cold = settings.directory or _first("STATE_DIRECTORY")
    if not (hot or cold):
        return None
    return Directories(Path(hot or DEFAULT.hot), Path(cold or DEFAULT.cold))


@contextmanager
def open_directories(settings: SpoolSettings, *, simulated: bool) -> Iterator[Directories]:
    """Give the directories to use while entered. A simulation without any gets private ones."""
    if found := configured_directories(settings):
        yield found
    elif not simulated:
        yield DEFAULT
    else:
        import tempfile  # noqa: PLC0415 - a device has no use for it

        with tempfile.TemporaryDirectory(prefix="agent-spool-") as directory:
            hot, cold = Path(directory, "hot"), Path(directory, "cold")
            hot.mkdir()
            cold.mkdir()
            yield Directories(hot, cold, private=True)


DEFAULT = Directories(HOT, COLD)
"""Those that the unit of the service names."""


def occupy(directory: Path, setting: str, *, is_open: bool = False) -> FileLock | None:
    """Lock a directory. None where its disk is full, read-only or broken: that may pass.

    StoreError that names the setting where the directory cannot be used; InUseError
    where a running agent uses it. `is_open`: this process has its file open, which a second
    opening would cost the locks of SQLite.
    """
    if not directory.is_dir():
        raise StoreError(
            f"{setting}: {directory} is not a directory: create it with 'sudo install -d -o $USER"
            f" {directory}'; for a service, systemd creates it"
        )
    try:
        if not is_open:
            with contextlib.suppress(FileNotFoundError), (directory / FILE).open("r+b"):
                pass
        return FileLock(directory / LOCK)
    except StoreError:
        raise
    except OSError as error:
        if error.errno in _PASSING:
            return None
        raise StoreError(f"{setting}: {directory} cannot be written: {error.strerror}") from error


def _first(variable: str) -> str | None:
    """The first of the directories that systemd lists, with colons between them."""
    return os.environ.get(variable, "").split(":")[0] or None
