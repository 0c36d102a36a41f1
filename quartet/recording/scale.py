"""In what unit, and from which moment on, a column of numbers counts the time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from quartet.recording import hints

_NS = 10**9
_DAY_NS = 86_400 * _NS
_SCALES_NS = (_NS, 10**6, 10**3, 1)

# The years 2000 to 2100 since 1970; LabVIEW's seconds since 1904 and Excel's days since 1900 for
# the years 2000 to 2030 and to 2050.
_UNIX_S = (946_684_800, 4_102_444_800)
_LABVIEW_S = (3_029_529_600, 3_976_214_400)
_LABVIEW_ZERO_S = 2_082_844_800
_EXCEL_DAYS = (36_526, 54_789)
_EXCEL_ZERO_DAYS = 25_569

_DIGITS = {6: "%H%M%S", 14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}


# Values among which a clock that counts seconds, or anything else, has one that is no 173059.
_ENOUGH = 61
_MOST_TRIED = 4000


@dataclass(frozen=True, slots=True)
class Scale:
    """How a number becomes a time: it times `unit_ns` plus `zero_ns` is in ns since 1970."""

    unit_ns: int
    zero_ns: int = 0
    least: float = float("-inf")
    most: float = float("inf")
    """A number outside of these two is no time."""
    digits: int = 0
    """Length of a number that is a date in digits, as 20240501120000 is; else 0."""
    is_guess: bool = False
    """Whether nothing tells the unit."""


class Scales:
    """Finds the scale of a column by most of its values, and by the unit that it names."""

    def __init__(self, name: str, unit: str) -> None:
        self._name = name
        self._said_ns = hints.unit_ns(name, unit)
        self._counts: Counter[int] = Counter()
        self._total = 0
        self._are_times_of_day = True

    def add(self, values: Sequence[float], most: float) -> None:
        """Take the next values in, the greatest of which is given."""
        if self._total < _ENOUGH and self._are_times_of_day:
            self._are_times_of_day = all(map(_is_time_of_day, values[:_MOST_TRIED]))
        self._total += len(values)
        for scale in _SCALES_NS if most >= _UNIX_S[0] else ():
            low, high = _UNIX_S[0] * (_NS // scale), _UNIX_S[1] * (_NS // scale)
            if low <= most:
                self._counts[scale] += sum(low <= value <= high for value in values)

    def unix_ns(self) -> int:
        """The unit in which most values are times since 1970 or 1904; 0 where they are not."""
        return next(
            (
                scale
                for scale in _SCALES_NS
                if 2 * self._counts[scale] > self._total and self._said_ns in (None, scale)
            ),
            0,
        )

    def digits(self, least: float, most: float) -> int:
        """The length of dates in digits, where all values are such dates; else 0."""
        length = len(f"{least:.0f}")
        is_dates = all(_is_date(value, length) for value in (least, most))
        return length if is_dates and hints.is_of_time(self._name) else 0

    def _is_of_day(self, most: float) -> bool:
        """Whether it is a time of day in digits where its first values all can be; 60 s cannot."""
        return hints.is_of_time(self._name) and self._said_ns is None and 100 <= most < 240_000

    def found(self, least: float, most: float, *, is_whole: bool) -> Scale:
        """The scale of a clock."""
        digits = self.digits(least, most)
        if (
            not digits
            and self._are_times_of_day
            and self._total >= _ENOUGH
            and self._is_of_day(most)
        ):
            digits = 6
        if digits:
            return Scale(1, digits=digits)
        if unix_ns := self.unix_ns():
            per_second = _NS // unix_ns
            low, high = _UNIX_S[0] * per_second, _UNIX_S[1] * per_second
            is_labview = unix_ns == _NS and _LABVIEW_S[0] <= most <= _LABVIEW_S[1]
            return Scale(unix_ns, -_LABVIEW_ZERO_S * _NS if is_labview else 0, low, high)
        is_excel = not is_whole and _EXCEL_DAYS[0] <= least <= most <= _EXCEL_DAYS[1]
        if is_excel and self._said_ns in (None, _DAY_NS):
            return Scale(_DAY_NS, -_EXCEL_ZERO_DAYS * _DAY_NS)
        return Scale(self._said_ns or _NS, is_guess=self._said_ns is None)


def digits_ns(cell: str, length: int) -> int | None:
    """The time that a date in digits is; None where it is none."""
    digits = cell.strip().partition(".")[0].zfill(length)
    zero = datetime(1900, 1, 1) if length == 6 else _UNIX
    try:
        since = datetime.strptime(digits, _DIGITS[length]) - zero
    except ValueError:
        return None
    return (since.days * 86_400 + since.seconds) * _NS


_UNIX = datetime(1970, 1, 1)


def _is_time_of_day(value: float) -> bool:
    return (
        value.is_integer() and 0 <= value < 240_000 and value % 100 < 60 and value % 10_000 < 6000
    )


def _is_date(value: float, length: int) -> bool:
    if length not in _DIGITS or length == 6 or not value.is_integer():
        return False
    at_ns = digits_ns(f"{value:.0f}", length)
    return at_ns is not None and _UNIX_S[0] <= at_ns / _NS <= _UNIX_S[1]
