"""Where the spool lives, and that one agent alone lives there."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.config import SpoolSettings
from agent.spool.tier import FILE
from quartet.errors import StoreError
from quartet.lock import FileLock

# What a disk says that may pass while we run; anything else about a directory
# is a mistake of the installation.
_PASSING = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of the two tiers."""

    hot: Path
    cold: Path
    private: bool = False
    """They go with the process, and so does what waits in them."""


def configured(settings: SpoolSettings) -> Places | None:
    """What is configured, or else what systemd made for the service; None for neither."""
    hot = settings.hot_directory or _first("RUNTIME_DIRECTORY")
    cold = settings.directory or _first("STATE_DIRECTORY")
    if not (hot or cold):
        return None
    return Places(Path(hot or DEFAULT.hot), Path(cold or DEFAULT.cold))


@contextmanager
def places(settings: SpoolSettings, *, simulated: bool) -> Iterator[Places]:
    """The places to use while entered. A simulation that has none gets private ones."""
    if found := configured(settings):
        yield found
    elif not simulated:
        yield DEFAULT
    else:
        with tempfile.TemporaryDirectory(prefix="agent-spool-") as directory:
            hot, cold = Path(directory, "hot"), Path(directory, "cold")
            hot.mkdir()
            cold.mkdir()
            yield Places(hot, cold, private=True)


DEFAULT = Places(Path("/run/agent"), Path("/var/lib/agent"))
"""What the unit of the service names."""


def occupy(directory: Path, setting: str) -> FileLock | None:
    """Own a directory. None where its disk is full, read-only or broken: that may pass.

    StoreError, with the setting, where it cannot be used; where it belongs to a
    running agent, with that one's process id.
    """
    if not directory.is_dir():
        raise StoreError(
            f"{setting}: {directory} is no directory: 'sudo install -d -o $USER {directory}' makes"
            " it; a service has it from systemd"
        )
    try:
        with contextlib.suppress(FileNotFoundError), (directory / FILE).open("r+b"):
            pass
        return FileLock(directory / "spool.lock")
    except StoreError:
        raise
    except OSError as error:
        if error.errno in _PASSING:
            return None
        raise StoreError(f"{setting}: {directory} cannot be written: {error.strerror}") from error


def _first(variable: str) -> str | None:
    """systemd gives several directories with colons between."""
    return os.environ.get(variable, "").split(":")[0] or None
