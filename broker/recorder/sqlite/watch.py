"""Whether the files that a recorder has open are those that people see under their names."""

import os
from dataclasses import dataclass
from pathlib import Path

from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.wal import put_back

LOGS = ("-wal", "-shm")
"""What SQLite keeps beside a file that is open."""

_NOTHING_LEAVES = "nothing is recorded, and no sample is answered"


@dataclass(frozen=True, slots=True)
class Change:
    """What is not as it was when the store was opened, as a person is told."""

    text: str
    is_mendable: bool = False
    """Only what SQLite keeps beside the file is gone, and nobody has made it again."""


class Watch:
    """Looks at a store that is open. With `stat` alone: see Hold. One thread at a time."""

    def __init__(self, path: Path, hold: Hold) -> None:
        self._path = path
        self._file = path.resolve()
        self._hold = hold
        self._name = str(path)
        self._logs = [f"{self._file}{log}" for log in LOGS]
        self._names = [self._name, *self._logs]
        self._opened = _identity(self._name)
        self._opened_logs = list(map(_identity, self._logs))
        self._all_opened = (self._opened, *self._opened_logs)
        self._size = 0
        self._away: tuple[int, int] | None = None

    def look(self) -> Change | None:
        """What has changed, if something has."""
        return None if self._is_as_opened() else self._change()

    def _is_as_opened(self) -> bool:
        """Whether nothing has changed. Asked for each commit."""
        try:
            file, log, index = map(os.stat, self._names)
        except OSError:
            return False
        found = (file.st_dev, file.st_ino), (log.st_dev, log.st_ino), (index.st_dev, index.st_ino)
        if found != self._all_opened or self._away or file.st_size < self._size:
            return False
        self._size = file.st_size
        return True

    def _change(self) -> Change | None:
        seen = _stat(self._name)
        if seen is None or (seen.st_dev, seen.st_ino) != self._opened:
            self._away = self._away or self._hold.stamp()
            return self._missing() if seen is None else self._replaced()
        if self._away and self._away != self._hold.stamp():
            return Change(
                f"{self._path}: was changed while it was moved away: {_NOTHING_LEAVES}: stop the"
                " broker, and start it again"
            )
        self._away = None
        if seen.st_size < self._size:  # SQLite makes it smaller at a VACUUM alone
            return Change(
                f"{self._path}: was overwritten while in use: {_NOTHING_LEAVES}: stop the broker,"
                " run 'broker store restore' with a backup, and start it"
            )
        self._size = seen.st_size
        logs = list(map(_identity, self._logs))
        if logs == self._opened_logs:
            return None
        each = zip(self._logs, logs, self._opened_logs, strict=True)
        changed = {name: now for name, now, opened in each if now != opened}
        names = " and ".join(changed)
        if any(changed.values()):
            return Change(
                f"{names}: another program has replaced this file of the broker:"
                f" {_NOTHING_LEAVES}: end that program, then stop the broker, which saves its"
                " records, and start it again"
            )
        return Change(f"{names}: was deleted while in use", is_mendable=True)

    def _missing(self) -> Change:
        if self._hold.is_deleted():
            return Change(
                f"{self._path}: was deleted while in use: {_NOTHING_LEAVES}: stop the broker,"
                f" {put_back(self._file)}, and start it"
            )
        return Change(
            f"{self._path}: was moved away while in use{_why(self._path)}: {_NOTHING_LEAVES}:"
            " put it back, and the broker continues; or stop the broker, run 'broker store restore'"
            " with a backup, and start it"
        )

    def _replaced(self) -> Change:
        return Change(
            f"{self._path}: is another file than the one in use: {_NOTHING_LEAVES}: stop"
            " the broker. Then put the old file back beside its -wal, or restore a backup with"
            " 'broker store restore'; or, to use the file that is there now, move"
            f" {self._file}-wal and {self._file}-shm away. Then start the broker again"
        )


def _why(path: Path) -> str:
    """What the system says, where that is more than that there is no such file."""
    try:
        path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f", or cannot be reached ({error.strerror})"
    return ""


def _stat(name: str) -> os.stat_result | None:
    """What has this name; None: nothing that can be seen."""
    try:
        return os.stat(name)  # noqa: PTH116 - asked for each commit
    except OSError:
        return None


def _identity(name: str) -> tuple[int, int] | None:
    """Which file that is."""
    seen = _stat(name)
    return (seen.st_dev, seen.st_ino) if seen else None
