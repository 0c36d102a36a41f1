"""A CSV of four-channel samples, read row by row: never whole, and never silently wrong."""

import csv
import math
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NoReturn, Self

from quartet.channels import CHANNELS, FLOAT32_MAX, Values
from quartet.errors import TableError
from quartet.foreign import shown

# Far above any row of five numbers, and what keeps a file without line ends out of memory.
MAX_LINE_BYTES = 64 * 1024

# Of a cell that is quoted in a message.
_MOST_IN_CELL = 43

_DELIMITERS = (";", "\t", ",")
_ID_NAMES = ("id", "sample_id", "index")
_TIME_NAMES = ("timestamp", "time", "date", "datetime", "sampled_at")


class TableReader:
    """Iterates over the rows of a CSV as tuples of four floats, in file order.

    With or without a header line; with or without a leading id column; with a
    header, also a timestamp column anywhere. Separated by comma, semicolon or
    tab. An empty cell is NaN. Ids and timestamps are checked for form and left
    out. TableError names the file, the line and the column; every row before
    it has been given.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except (OSError, ValueError) as error:
            raise TableError(_unreadable(path, error)) from error
        self._path = path
        self._size = os.fstat(self._file.fileno()).st_size
        self._read_bytes = 0
        self._line = 0
        self._delimiter = ","
        self._roles: list[Callable[[str], float | None]] = []

    def __iter__(self) -> Iterator[Values]:
        rows = self._rows()
        first = next(rows, None)
        if first is not None and _is_header(first):
            self._roles = self._roles_by_name(first)
            first = next(rows, None)
        elif first is not None:
            self._roles = self._roles_by_count(first)
        if first is None:
            self._fail(None, "the file has no rows: expected four numbers on each line")
        yield self._values(first)
        for cells in rows:
            yield self._values(cells)

    @property
    def share_read(self) -> float:
        """How much of the file was read, 0 to 1; 0 where its size is not known."""
        return min(1.0, self._read_bytes / self._size) if self._size else 0.0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self) -> Iterator[list[str]]:
        while line := self._read_line():
            if not line.strip(" \r\n"):
                continue
            try:
                yield next(csv.reader((line,), delimiter=self._delimiter, strict=True))
            except csv.Error as error:
                self._fail(None, f"not a CSV line: {shown(error)}")

    def _read_line(self) -> str:
        try:
            raw = self._file.readline(MAX_LINE_BYTES + 1)
        except OSError as error:
            raise TableError(_unreadable(self._path, error)) from error
        self._line += 1
        self._read_bytes += len(raw)
        if len(raw) > MAX_LINE_BYTES:
            self._fail(None, f"longer than {MAX_LINE_BYTES} bytes: this is not a table of samples")
        if not self._roles:
            self._delimiter = next((d for d in _DELIMITERS if d.encode() in raw), ",")
        try:
            return raw.removeprefix(BOM_UTF8 if self._line == 1 else b"").decode()
        except UnicodeDecodeError as error:
            column = 1 + error.object[: error.start].count(self._delimiter.encode())
            byte = error.object[error.start]
            self._fail(column, f"byte 0x{byte:02x} is not UTF-8: save it as UTF-8")

    def _roles_by_name(self, header: list[str]) -> list[Callable[[str], float | None]]:
        names = [name.strip().lower() for name in header]
        roles: list[Callable[[str], float | None]] = [
            _id if name in _ID_NAMES else _timestamp if name in _TIME_NAMES else _value
            for name in names
        ]
        if roles.count(_value) != CHANNELS or len(set(names)) != len(names):
            self._fail(
                None,
                "expected four differently named sensor columns, besides an id"
                f" ({', '.join(_ID_NAMES)}) and a time ({', '.join(_TIME_NAMES)}),"
                f" got {', '.join(map(_shown, header))}",
            )
        return roles

    def _roles_by_count(self, first: list[str]) -> list[Callable[[str], float | None]]:
        if len(first) not in (CHANNELS, CHANNELS + 1):
            self._fail(None, f"expected 4 columns, or 5 with an id first, got {len(first)}")
        if len(first) > CHANNELS and not first[-1].strip():
            self._fail(
                len(first),
                "empty in the first line: write nan if the fourth sensor failed, or remove the"
                " separator at the ends of the lines",
            )
        leading: list[Callable[[str], float | None]] = [_id] if len(first) > CHANNELS else []
        return leading + [_value] * CHANNELS

    def _values(self, cells: list[str]) -> Values:
        if len(cells) != len(self._roles):
            self._fail(None, f"expected {len(self._roles)} columns, got {len(cells)}")
        values: list[float] = []
        for column, (cell, role) in enumerate(zip(cells, self._roles, strict=True), 1):
            try:
                value = role(cell.strip())
            except ValueError as error:
                self._fail(column, str(error))
            if value is not None:
                values.append(value)
        first, second, third, fourth = values
        return first, second, third, fourth

    def _fail(self, column: int | None, reason: str) -> NoReturn:
        where = f", column {column}" if column else ""
        raise TableError(f"{self._path}: line {max(self._line, 1)}{where}: {reason}")


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    return f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"


def _is_header(cells: list[str]) -> bool:
    """Whether all that stands in the cells are names; '0,5' and '1.5V' are none, but mistakes."""
    words = [cell.strip() for cell in cells if cell.strip()]
    return bool(words) and all(
        word[0] not in "0123456789+-." and not _is_number(word) for word in words
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _value(cell: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = None
    if value is None or "_" in cell:
        hint = ": write the decimal point as '.'" if "," in cell else ""
        raise ValueError(f"{_shown(cell)} is not a number{hint}")
    said_infinite = "inf" in cell.lower()
    if abs(value) > FLOAT32_MAX and not said_infinite:
        raise ValueError(f"{_shown(cell)} is too large for a 32-bit float")
    return value


def _id(cell: str) -> None:
    if not (cell.isascii() and cell.isdigit()):
        raise ValueError(f"{_shown(cell)} is not an id: expected a whole number from 0")


def _timestamp(cell: str) -> None:
    try:
        if not (_is_number(cell) and math.isfinite(float(cell))):
            datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(
            f"{_shown(cell)} is not a timestamp: expected ISO 8601 or Unix seconds"
        ) from None


def _shown(cell: str) -> str:
    return f"'{shown(cell, _MOST_IN_CELL)}'"
