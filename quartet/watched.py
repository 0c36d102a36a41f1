"""Files that may change while a program runs."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from quartet.clock import Clock
from quartet.errors import SettingsError
from quartet.outage import Outage

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_Look = tuple[tuple[int, int, int] | None, ...]


class Watched(Generic[Value]):
    """What was read from files, and is read again when one of them has changed. One thread."""

    def __init__(
        self, paths: Sequence[str], read: Callable[[], Value], clock: Clock = time
    ) -> None:
        """Raises what `read` raises: SettingsError for what a person wrote."""
        self._paths = paths
        self._read = read
        self._seen = self._look()
        self._unusable: _Look | None = None
        self._said: _Look | None = None
        self._outage = Outage(log, clock)
        self.value = read()

    def refresh(self) -> bool:
        """Whether there is a new value.

        The former one is kept while the files cannot be used. That is logged when they
        are the same at the second look, as two files are not replaced in one moment,
        and again for each further mistake.
        """
        look = self._look()
        if look == self._seen:
            self._worked()
            return False
        try:
            value = self._read()
        except SettingsError as error:
            self._failed(look, error)
            return False
        self._seen, self.value = look, value
        self._worked()
        return True

    def _worked(self) -> None:
        self._unusable = self._said = None
        self._outage.ended("%s can be used again", " and ".join(self._paths))

    def _failed(self, look: _Look, error: SettingsError) -> None:
        if look == self._unusable and look != self._said:
            self._outage.begin()
            log.error("%s; the old one stays in use", error)
            self._said = look
        self._unusable = look

    def _look(self) -> _Look:
        return tuple(map(_look_at, self._paths))


def _look_at(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
