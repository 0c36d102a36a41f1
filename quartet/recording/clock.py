"""The time of a row, from the cells of one column or two."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from quartet.recording.binding import Binding
from quartet.recording.cells import number, quoted
from quartet.recording.column import Column, Look
from quartet.recording.profile import Profile
from quartet.recording.scale import Scale, digits_ns
from quartet.recording.times import Order, find_order, moment

_SECOND_NS = 10**9
_DAY_NS = 86_400 * _SECOND_NS
_LEAST_NS, _MOST_NS = -70 * 365 * _DAY_NS, 230 * 366 * _DAY_NS

_EARLY_NS = 365 * _DAY_NS

NEWEST_FIRST = "the newest row comes first: the rows are used in the order of the file"
"""What is said of rows whose times fall."""

# Rises that a file has that begins with its newest row, for each fall: clocks are set.
_SHARE_OF_RISES = 0.1

_DATES = (Look.DATES, Look.DAYS, Look.SAME_TIME)

TimeOf = Callable[[Sequence[str]], int | None]
"""Gives the time of a row's cells in ns since 1970; None where it cannot be read."""


def clock(
    binding: Binding, profiles: Sequence[Profile], rows: Sequence[Sequence[str]], decimal: str
) -> tuple[TimeOf | None, list[str]]:
    """What reads the times, if there is a time, and what is remarkable about it.

    It is tried by `rows`, the first ones. A time outside of the years 1900 to 2200 is none.
    """
    if not binding.time:
        return None, []
    first = binding.time[0]
    profile = profiles[first.number - 1]
    if first.look in (*_DATES, Look.TIMES_OF_DAY, Look.WORDS):
        order, remark = find_order(list(profile.tokens), profile.time)
        parts = [column for column in binding.time if column.look is Look.PART_OF_DATE]
        dates = [column.number - 1 for column in binding.time if column not in parts]
        time_of: TimeOf = _Dates(dates, order)
        if parts:
            time_of = _Milliseconds(time_of, parts[0].number - 1)
        if first.look is Look.TIMES_OF_DAY:
            time_of = _Days(time_of)
    else:
        scale = profile.scale()
        time_of, remark = _Numbers(first.number - 1, scale, decimal), ""
        if scale.is_guess:
            remark = f"{_named(binding.time)} names no unit, and is read as seconds"
    times = [at_ns for row in rows if (at_ns := time_of(row)) is not None]
    if rows and not times:
        text = quoted(_text(binding, rows[0]))
        return None, [f"{_named(binding.time)} is ignored: {text} is not a time"]
    backwards = NEWEST_FIRST if _is_newest_first(times) else ""
    if first.look is Look.TIMES_OF_DAY:
        time_of = _Days(_Dates([first.number - 1], "DMY"))
        if profile.time.strip().replace(":", "", 1).isdecimal():
            remark = f"{quoted(profile.time)} is read as hours and minutes"
    elif isinstance(time_of, _Numbers) and not backwards and rows and _is_early(time_of(rows[0])):
        time_of = Running(time_of)
    return time_of, list(filter(None, (remark, backwards)))


def _is_newest_first(times: Sequence[int]) -> bool:
    """Whether times fall from row to row, but for a few."""
    falls = sum(later < earlier for earlier, later in pairwise(times))
    rises = sum(later > earlier for earlier, later in pairwise(times))
    return falls > 1 and rises <= _SHARE_OF_RISES * falls


def _is_early(at_ns: int | None) -> bool:
    """Whether a clock counts from a start, and not from 1970."""
    return at_ns is not None and abs(at_ns) < _EARLY_NS


class _Numbers:
    """A clock that counts from some moment."""

    def __init__(self, index: int, scale: Scale, decimal: str) -> None:
        self._index = index
        self._scale = scale
        self._unit_ns = scale.unit_ns
        self._least = max(scale.least, (_LEAST_NS - scale.zero_ns) / scale.unit_ns)
        self._most = min(scale.most, (_MOST_NS - scale.zero_ns) / scale.unit_ns)
        self._zero_ns = scale.zero_ns
        self._decimal = decimal

    def __call__(self, cells: Sequence[str]) -> int | None:
        cell = cells[self._index]
        if self._scale.digits:
            return digits_ns(cell, self._scale.digits)
        value: float | None
        try:
            value = int(cell)
        except ValueError:
            value = number(cell, self._decimal)
        if value is None or not self._least <= value <= self._most:
            return None
        return round(value * self._unit_ns) + self._zero_ns


class Running:
    """A clock that counts from a start. When that starts again, the time goes on."""

    def __init__(self, time_of: TimeOf) -> None:
        self._time_of = time_of
        self._before_ns = 0
        self._latest_ns = 0
        self._step_ns = 0
        self.starts = 0
        """How often it has started again."""

    def __call__(self, cells: Sequence[str]) -> int | None:
        """In ns after its first start; None where it cannot be read."""
        at_ns = self._time_of(cells)
        if at_ns is None:
            return None
        step_ns = at_ns - self._latest_ns
        if at_ns < self._latest_ns / 2:
            self.starts += 1
            self._before_ns += self._latest_ns + self._step_ns - at_ns
        elif step_ns > 0:
            self._step_ns = step_ns
        self._latest_ns = at_ns
        return self._before_ns + at_ns


class _Dates:
    """Dates and times in words."""

    def __init__(self, indexes: Sequence[int], order: Order) -> None:
        self._indexes = indexes
        self._order = order

    def __call__(self, cells: Sequence[str]) -> int | None:
        if len(self._indexes) == 1:
            at_ns = moment(cells[self._indexes[0]], self._order)
        else:
            text = " ".join(cells[index].strip() for index in self._indexes)
            at_ns = moment(text, self._order)
        return at_ns if at_ns is not None and _LEAST_NS <= at_ns <= _MOST_NS else None


class _Milliseconds:
    """Whole seconds, and their milliseconds apart."""

    def __init__(self, time_of: TimeOf, index: int) -> None:
        self._time_of = time_of
        self._index = index

    def __call__(self, cells: Sequence[str]) -> int | None:
        at_ns = self._time_of(cells)
        if at_ns is None or at_ns % _SECOND_NS or not cells[self._index].strip().isdecimal():
            return at_ns
        return at_ns + int(cells[self._index]) * 10**6


class _Days:
    """Times of day, of days that follow each other."""

    def __init__(self, time_of: TimeOf) -> None:
        self._time_of = time_of
        self._day_ns = 0
        self._latest_ns = 0

    def __call__(self, cells: Sequence[str]) -> int | None:
        at_ns = self._time_of(cells)
        if at_ns is None:
            return None
        if self._latest_ns - at_ns > _DAY_NS / 2:  # past midnight
            self._day_ns += _DAY_NS
        self._latest_ns = at_ns
        return self._day_ns + at_ns


def _text(binding: Binding, row: Sequence[str]) -> str:
    return " ".join(row[column.number - 1] for column in binding.time)


def _named(columns: Sequence[Column]) -> str:
    return f"the time in {' and '.join(map(str, columns))}"
