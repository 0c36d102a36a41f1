"""Times as people and loggers write them, read as nanoseconds since 1970 in UTC.

A time without a zone counts as UTC. What has no date (a time of day, seconds since a start)
counts from 1970-01-01.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Literal

Order = Literal["YMD", "DMY", "MDY"]
"""Of the numbers in a date: year, month, day."""

_ORDERS: tuple[Order, ...] = ("DMY", "MDY", "YMD")

_NS = 10**9
_DAY_NS = 86_400 * _NS
_UNIX = datetime(1970, 1, 1)
_UNIX_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_DAY = date(1970, 1, 1).toordinal()

_NUMERIC = re.compile(r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})")
_TIME_OF_DAY = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,:](?P<f>\d{1,9})\d*)?)?"
    r"\s*(?P<half>[aApP](?:\.?\s?[mM])?\.?(?![^\W_]))?\s*(?P<zone>(?:UTC|GMT)?[+-]\d{2}:?\d{2}|Z|UTC|GMT)?"
)

# Between a date and a time of day.
_MARK = re.compile(r"(?<=\d)T?\s*\Z")

# No date is longer, in any language.
_LONGEST = 60

_ISO = re.compile(r"\d{4}")

# Years of two digits are of this century, as no logger is older.
_CENTURY = 2000


def moment(text: str, order: Order = "DMY") -> int | None:
    """When a cell says it was, in ns; None where that cannot be read."""
    text = text.strip()
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return _written_otherwise(text, order)
    since = when - (_UNIX_UTC if when.tzinfo else _UNIX)
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000


def has_date(text: str) -> bool:
    """Whether a cell holds more than a time of day."""
    return bool(_TIME_OF_DAY.sub("", text).strip())


def has_time_of_day(text: str) -> bool:
    """Whether a cell holds more than a date."""
    return bool(_TIME_OF_DAY.search(text)) or "T" in text


def day_token(text: str) -> str:
    """The date in a cell, where it is made of numbers; otherwise ""."""
    found = _NUMERIC.match(text.strip())
    return found[0] if found else ""


def find_order(tokens: Sequence[str], example: str = "") -> tuple[Order, str]:
    """In which order dates are written, and why, in words: "" where no other is possible.

    `tokens` are the different dates of a file, in order. Where they leave it open, an `example`
    with AM or PM has the month first.
    """
    tokens = [token for token in tokens if not _ISO.match(token)]
    # With points between, nobody writes the month first.
    orders = [each for each in _ORDERS if each != "MDY" or not any("." in t for t in tokens)]
    if example.lower().rstrip(".").endswith("m"):
        orders.sort(key="MDY".__ne__)
    fitting = {each: days for each in orders if (days := _ordinals(tokens, each)) is not None}
    if not fitting or not tokens:
        return "DMY", ""
    if len(fitting) == 1:
        order = next(iter(fitting))
        return order, _decided(tokens, order)
    order = min(fitting, key=lambda each: (_disorder(fitting[each]), orders.index(each)))
    others = [days for each, days in fitting.items() if each != order]
    words = _IN_WORDS[order]
    if all(_disorder(days) > _disorder(fitting[order]) for days in others):
        return order, f"{tokens[0]} is read as {words}: only so do the dates follow each other"
    return order, f"{tokens[0]} is read as {words}: nothing in the file tells which it is"


_IN_WORDS = {"DMY": "day, month, year", "MDY": "month, day, year", "YMD": "year, month, day"}


def _decided(tokens: Iterable[str], order: Order) -> str:
    """The date that decides between day and month, where one had to."""
    place = {"DMY": 0, "MDY": 1}.get(order)
    if place is None:
        return ""
    token = next((t for t in tokens if int(re.split(r"[-/.]", t)[place]) > 12), "")
    return f"dates are read as {_IN_WORDS[order]}, because of {token}" if token else ""


def _disorder(days: Sequence[int]) -> int:
    """How far apart dates are in time, and how often they fall back."""
    falls = sum(later < earlier for earlier, later in pairwise(days))
    return max(days) - min(days) + 1000 * falls


def _ordinals(tokens: Iterable[str], order: Order) -> list[int] | None:
    days = [_numeric_day(token, order) for token in tokens]
    return None if None in days else [day for day in days if day is not None]


def _written_otherwise(text: str, order: Order) -> int | None:
    if len(text) > _LONGEST:
        return None
    found = _TIME_OF_DAY.search(text)
    if not found:
        day = _day(text, order)
        return None if day is None else day * _DAY_NS
    rest = f"{_MARK.sub('', text[: found.start()])} {text[found.end() :]}".strip(" ,;")
    day = _day(rest, order) if rest else 0
    time_ns = _since_midnight(found)
    return None if day is None or time_ns is None else day * _DAY_NS + time_ns


def _since_midnight(found: re.Match[str]) -> int | None:
    hour, minute, second = int(found["h"]), int(found["m"]), int(found["s"] or 0)
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 24 or minute > 59 or second > 60:
        return None
    fraction_ns = int((found["f"] or "0").ljust(9, "0"))
    zone = re.sub(r"[A-Z:]", "", found["zone"] or "")
    offset_s = int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[3:]) * 60) if zone else 0
    return (hour * 3600 + minute * 60 + second - offset_s) * _NS + fraction_ns


@lru_cache(maxsize=256)
def _day(text: str, order: Order) -> int | None:
    """Days since 1970 of a date alone."""
    found = _NUMERIC.fullmatch(text)
    return _numeric_day(text, order) if found else _day_in_words(text)


def _numeric_day(text: str, order: Order) -> int | None:
    first, second, third = re.split(r"[-/.]", text)
    if len(first) == 4:
        order = "YMD"
    elif order == "YMD" and len(third) == 4:
        return None
    parts = dict(zip(order, (first, second, third), strict=True))
    year = int(parts["Y"]) + (_CENTURY if len(parts["Y"]) <= 2 else 0)
    try:
        return date(year, int(parts["M"]), int(parts["D"])).toordinal() - _UNIX_DAY
    except ValueError:
        return None


def _day_in_words(text: str) -> int | None:
    """A date with the name of a month, in a few languages."""
    if not any(map(str.isalpha, text)) or len(re.findall(r"\d+", text)) != 2:
        return None
    from quartet.recording.months import parse  # noqa: PLC0415 - slow to import, and for few

    day = parse(text)
    return None if day is None else day.toordinal() - _UNIX_DAY
