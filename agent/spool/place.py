"""A tier's place: its directory, which this agent owns, and the file in it that is open."""

import contextlib
import logging
from pathlib import Path

from agent.spool.directories import FILE, occupy
from agent.spool.tier import COMPANIONS
from quartet.errors import StoreError
from quartet.lock import FileLock

log = logging.getLogger(__name__)

Identity = tuple[int, int]
"""Device and inode: what a path leads to."""


class Place:
    """Knows whether the file that is open is still the one at its path. One thread at a time.

    It looks with `stat` alone: a file that is opened and closed a second time in a process
    loses the locks of SQLite.
    """

    def __init__(self, directory: Path, setting: str) -> None:
        self.directory = directory
        self.file = directory / FILE
        self._setting = setting
        self._lock: FileLock | None = None
        self._noted: dict[Path, Identity] = {}

    def own(self) -> bool:
        """Own the directory, unless it is full, read-only or broken now.

        StoreError where it cannot be used; InUseError where a running agent uses it.
        """
        if self._lock and not self._lock.is_in_place():
            log.error(
                "%s: the lock was removed while the agent was using it; it is created again",
                self.directory,
            )
            self._lock.close()
            self._lock = None
        if not self._lock:
            self._lock = occupy(self.directory, self._setting, is_open=bool(self._noted))
        return self._lock is not None

    def note(self) -> None:
        """The file was opened just now."""
        self._noted = {}
        self._note_new()

    def forget(self) -> None:
        """No file is open."""
        self._noted = {}

    def check(self) -> None:
        """StoreError where the directory, its lock or the file is not what was opened."""
        if not self.own():
            raise StoreError(f"{self.directory}: cannot be written", self.file)
        for path, identity in self._noted.items():
            now = _identity(path)
            if now != identity:
                how = "replaced" if now else "removed"
                raise StoreError(
                    f"{path}: was {how} while the agent was using it: stop the agent before you"
                    " touch its files",
                    self.file,
                )
        self._note_new()

    def holds_own_file(self) -> bool:
        """Whether the path leads to the file that is open."""
        return self.file in self._noted and _identity(self.file) == self._noted[self.file]

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _note_new(self) -> None:
        for companion in ("", *COMPANIONS):  # SQLite makes the two as it needs them
            path = Path(f"{self.file}{companion}")
            if path not in self._noted and (identity := _identity(path)):
                self._noted[path] = identity


def _identity(path: Path) -> Identity | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None
