"""Predictions as a CSV: a line for each sample, with its time and values or without them."""

import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import IO, Self

from quartet.channels import Values, shortest
from quartet.errors import SettingsError

HEADER = "id,time,sensor1,sensor2,sensor3,sensor4,prediction\n"

_ROW = re.compile(rb"[0-9]{1,10}(,[^,\n]*){5},[01]\n")
_HEADER = HEADER.encode()
_BARE_TORN = re.compile(rb"[0-9]{0,10}(,[01]?)?")
_BARE_ROW = re.compile(rb"[0-9]{1,10},[01]\n")

# What a crash or a power failure leaves torn at the end is shorter than this.
_TAIL_BYTES = 1 << 16

_STDOUT = Path("-")


class Existing(Enum):
    """What becomes of a file that is there already."""

    REFUSE = auto()
    OVERWRITE = auto()
    APPEND = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """Where predictions are written, and how; "-" is standard output."""

    path: Path
    is_bare: bool = False
    """Without a header: `id,prediction` alone."""
    existing: Existing = Existing.REFUSE

    @property
    def is_stdout(self) -> bool:
        """Whether it is standard output."""
        return self.path == _STDOUT

    def check(self) -> None:
        """Raise SettingsError where a file is there that must stay, or cannot be continued."""
        if self.is_stdout or not self.path.is_file():
            return
        if self.existing is Existing.REFUSE:
            raise SettingsError(
                f"{self.path}: exists already: give --overwrite to replace it, --append to add to"
                " it, or another name"
            )
        if self.existing is Existing.APPEND:
            try:
                self._end()
            except OSError as error:
                raise SettingsError(f"{self.path}: cannot be read: {error.strerror}") from error

    def open(self, buffering: int) -> IO[str]:
        """The file, behind its header. OSError; SettingsError as check()."""
        if self.is_stdout:
            return self._begun(os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering))
        mode = "w" if self.existing is Existing.OVERWRITE else "x"
        if self.path.exists() and not self.path.is_file():  # a pipe, a terminal
            mode = "w"
        elif self.existing is Existing.APPEND:
            mode = "a"
            if self.path.exists():
                os.truncate(self.path, end := self._end())
                if end:
                    return self.path.open(mode, buffering, encoding="ascii", newline="\n")
        return self._begun(self.path.open(mode, buffering, encoding="ascii", newline="\n"))

    def _begun(self, file: IO[str]) -> IO[str]:
        if not self.is_bare:
            file.write(HEADER)
        return file

    def _end(self) -> int:
        """How long the file is up to its last whole line."""
        row, first = (_BARE_ROW, _BARE_ROW) if self.is_bare else (_ROW, re.compile(_HEADER))
        with self.path.open("rb") as file:
            head = file.read(len(HEADER))
            is_torn = _BARE_TORN.fullmatch(head) if self.is_bare else _HEADER.startswith(head)
            if not (is_torn or first.match(head)):
                columns = "id,prediction" if self.is_bare else HEADER.strip()
                raise SettingsError(
                    f"{self.path}: cannot be continued: its lines are not {columns}: choose another"
                    " file"
                )
            begin = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
            file.seek(begin)
            lines = file.read().splitlines(keepends=True)
        end = begin + sum(map(len, lines))
        while lines and not row.fullmatch(lines[-1]) and not first.fullmatch(lines[-1]):
            if lines[-1].endswith(b"\n") and b"\0" not in lines[-1]:
                raise SettingsError(
                    f"{self.path}: cannot be continued: its last line is not a prediction: choose"
                    " another file"
                )
            end -= len(lines.pop())
        if begin and not lines:
            raise SettingsError(f"{self.path}: cannot be continued: its end is damaged")
        return end


class PredictionFile:
    """Writes predictions. One thread. OSError where that fails.

    With `at_once`, each line is in the file when write() returns.
    """

    def __init__(self, target: Target, *, at_once: bool) -> None:
        self._is_bare = target.is_bare
        self._file = target.open(1 if at_once else -1)

    def write(self, id_: int, at_ns: int | None, values: Values, *, prediction: bool) -> None:
        """Write one line; values are float32, and the time is Unix ns, or None for unknown."""
        if self._is_bare:
            self._file.write(f"{id_},{prediction:d}\n")
            return
        time = "" if at_ns is None else _time(at_ns)
        self._file.write(f"{id_},{time},{','.join(map(shortest, values))},{prediction:d}\n")

    def close(self) -> None:
        """Write out what is held back, and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _time(at_ns: int) -> str:
    seconds, rest_ns = divmod(at_ns, 10**9)
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
