"""What a person knows of a recording: which of its rows were faulty."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quartet.errors import TableError
from quartet.foreign import shown
from quartet.recording import Row
from quartet.recording.times import moment

# More lines than a person writes. A recording that is named by mistake has more.
_MOST_INTERVALS = 10_000

_WORDS = {"true": True, "false": False, "": False}


def is_fault(label: str) -> bool:
    """What a cell of a column of labels says. ValueError for one that says neither."""
    text = label.strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"label '{shown(label)}' is neither a number nor true or false")
    return number != 0


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it: rows from 0, or Unix ns."""

    first: int
    last: int
    is_time: bool


def read_intervals(path: Path) -> list[Interval]:
    """The lines `FROM,TO` of a file, each two rows or two times. TableError names the line."""
    intervals: list[Interval] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if number > _MOST_INTERVALS:
                    raise TableError(f"{path}: more than {_MOST_INTERVALS} lines")
                cells = [cell.strip() for cell in line.split(",")]
                if cells == [""] or (number == 1 and not _has_digit(line)):
                    continue
                try:
                    intervals.append(_interval(cells))
                except ValueError as error:
                    raise TableError(f"{path}: line {number}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise TableError(f"{path}: cannot be read: {reason}") from error
    return intervals


class Faults:
    """Whether a row lies in one of the intervals."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        intervals = list(intervals)
        self._rows = _Ranges(each for each in intervals if not each.is_time)
        self._times = _Ranges(each for each in intervals if each.is_time)

    def hold(self, number: int, row: Row) -> bool:
        """Whether one of them holds a row, which is counted from 0.

        ValueError for a row without a time, where an interval is given by time."""
        in_rows = self._rows.hold(number)
        if not self._times.first:
            return in_rows
        if row.at_ns is None:
            raise ValueError("it has no time, and an interval is given by time: give rows instead")
        return self._times.hold(row.at_ns) or in_rows

    def unmet(self) -> int:
        """How many intervals hold none of the rows so far."""
        return self._rows.unmet.count(True) + self._times.unmet.count(True)


class _Ranges:
    """Ranges in order, those that touch as one."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.first: list[int] = []
        self._last: list[int] = []
        for each in sorted(intervals, key=lambda each: each.first):
            if self._last and each.first <= self._last[-1]:
                self._last[-1] = max(self._last[-1], each.last)
            else:
                self.first.append(each.first)
                self._last.append(each.last)
        self.unmet = [True] * len(self.first)

    def hold(self, number: int) -> bool:
        place = bisect_right(self.first, number) - 1
        if place < 0 or number > self._last[place]:
            return False
        self.unmet[place] = False
        return True


def _interval(cells: list[str]) -> Interval:
    if len(cells) != 2:
        raise ValueError(f"expected FROM,TO: two rows or two times, got {shown(','.join(cells))}")
    if are_rows := all(cell.isascii() and cell.isdigit() for cell in cells):
        first, last = map(int, cells)
    else:
        first, last = map(_time_ns, cells)
    if first > last:
        raise ValueError(f"{shown(cells[0])} is after {shown(cells[1])}")
    return Interval(first, last, not are_rows)


def _time_ns(text: str) -> int:
    """Of a time without a zone, as if it were UTC: so a recording's times are read."""
    at_ns = moment(text) if re.match(r"\d{4}-", text) else None
    if at_ns is None:
        raise ValueError(f"{shown(text)} is neither a row nor a time such as 2026-01-31 14:05:00")
    return at_ns


def _has_digit(line: str) -> bool:
    return any(character.isdigit() for character in line)
