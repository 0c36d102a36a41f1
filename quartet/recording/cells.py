"""A cell of a table: a number, a word for a missing reading, or neither, and why."""

import math
import re

from quartet.channels import FLOAT32_MAX
from quartet.foreign import shown

# Of a cell that is quoted in a message.
_MOST_IN_CELL = 43

_MISSING = (
    "na n/a #n/a n.a. nan -nan +nan null none nil - -- --- ? * . unavailable unknown undefined"
    " missing invalid bad err error fault fail failed ol +ol -ol o.l. 0.l overload overrange"
    " underrange over under +over -over overflow ovr ovrflw -1.#ind 1.#ind -1.#qnan 1.#qnan"
    " -1.#inf 1.#inf burnout burn-out open disconnected"
    " \u221e -\u221e +\u221e +++ ++++ +++++ ++++++ +++++++ ---- ----- ------ -------"
    " #value! #div/0! #ref! #num! #name? #null! #error! #nv #wert! #bezug! #zahl! nodata timeout"
    " offline"
)
_PHRASES = (
    "no data",
    "no sensor",
    "not available",
    "not connected",
    "out of range",
    "comm error",
    "read error",
    "sensor error",
    "timeout error",
)
MISSING = frozenset((*_MISSING.split(), *_PHRASES))
"""What instruments and programs write for a reading that failed, in lower case."""

OVERLOAD = 9.9e37
"""What SCPI instruments write for an overload, with either sign."""

OVERLOADS = (OVERLOAD, 9.91e37)
"""What SCPI instruments write, without its sign, for an overload and for no reading."""

_BLANKS_BEHIND_SIGN = re.compile(r"\A([+-])\s+(?=[\d.,])")
_DASHES = re.compile(r"-+\.-+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:[,.'\u2019 \xa0\u202f]\d{3})+(?:[.,]\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def number(cell: str, decimal: str = ".") -> float | None:
    """The number that a cell holds, NaN for an empty one; None where it holds none."""
    text = _BLANKS_BEHIND_SIGN.sub(r"\1", cell.strip().replace("\u2212", "-"))
    if not text:
        return math.nan
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".", 1)
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def is_missing(cell: str) -> bool:
    """Whether a cell holds a word for a missing reading."""
    text = cell.strip().lower()
    if text in MISSING or _DASHES.fullmatch(text):
        return True
    value = number(text.replace(",", ".", 1))
    return value is not None and abs(value) in OVERLOADS


def reading(cell: str, decimal: str = ".") -> float:
    """The value of a sensor's cell; ValueError says why it is none. NaN for a missing one."""
    if is_missing(cell):
        return math.nan
    value = number(cell, decimal)
    if value is None:
        raise ValueError(f"{quoted(cell)} is not a number{_hint(cell.strip(), decimal)}")
    if abs(value) > FLOAT32_MAX and "inf" not in cell.lower():
        raise ValueError(f"{quoted(cell)} is too large for a 32-bit float")
    return value


def has_thousands_mark(cell: str) -> bool:
    """Whether a cell can be a number with a mark between its thousands."""
    return bool(_THOUSANDS.fullmatch(cell.strip()))


def quoted(cell: str) -> str:
    """A cell as a message shows it."""
    return f"'{shown(cell.strip(), _MOST_IN_CELL)}'"


def _hint(text: str, decimal: str) -> str:
    if has_thousands_mark(text):
        return ": it seems to have a thousands mark: write the numbers without"
    if decimal == "." and _COMMA.fullmatch(text):
        return ": write the decimal point as '.'"
    if decimal == "," and number(text) is not None:
        return ": the other numbers have a decimal comma: write it with one, too"
    return ""
