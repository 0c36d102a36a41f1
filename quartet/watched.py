"""Files that may change while a program runs."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from quartet.errors import SettingsError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_Look = tuple[tuple[int, int, int] | None, ...]


class Watched(Generic[Value]):
    """What was read from files, and is read again when one of them has changed. One thread."""

    def __init__(self, paths: Sequence[str], read: Callable[[], Value]) -> None:
        """Raises what `read` raises: SettingsError for what a person wrote."""
        self._paths = paths
        self._read = read
        self._seen = self._look()
        self._unusable: _Look | None = None
        self._said: _Look | None = None
        self.value = read()

    def refresh(self) -> bool:
        """Whether there is a new value.

        The former one is kept while the files cannot be used; that is said when they
        are the same at the second look, as two files are not replaced in one moment.
        """
        look = self._look()
        if look == self._seen:
            return False
        try:
            value = self._read()
        except SettingsError as error:
            if look == self._unusable and look != self._said:
                log.error("%s; the former one is used until that is mended", error)  # noqa: TRY400
                self._said = look
            self._unusable = look
            return False
        self._seen, self.value = look, value
        self._unusable = self._said = None
        return True

    def _look(self) -> _Look:
        return tuple(map(_look_at, self._paths))


def _look_at(path: str) -> tuple[int, int, int] | None:
    try:
        of = Path(path).stat()
    except (OSError, ValueError):
        return None
    return of.st_mtime_ns, of.st_size, of.st_ino
