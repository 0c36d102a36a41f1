"""Text in columns, two spaces apart, for a terminal."""

import unicodedata
from collections.abc import Iterable, Sequence

from quartet.foreign import shown

# A list of names and values looks alike whichever of its names are there.
_LEAST_NAME_WIDTH = 16


def aligned(rows: Sequence[Sequence[str]], *, names: int = 0) -> list[str]:
    """A line for each row, all of one length: the first `names` cells to the left, numbers right.

    No line ends with spaces, and none is broken by what a cell holds.
    """
    rows = [[*map(shown, row)] for row in rows]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + _fill(cell, most) if number < names else _fill(cell, most) + cell
            for number, (cell, most) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def named(values: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each name with its value, the values below each other."""
    pairs = [(shown(name), shown(value)) for name, value in values]
    most = max([_LEAST_NAME_WIDTH, *(width(name) for name, _ in pairs)])
    return [f"{name}{_fill(name, most)}  {value}" for name, value in pairs]


def width(text: str) -> int:
    """The columns that a text takes on a terminal: two for a wide character, none for a mark."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, columns: int) -> str:
    """As much of a text's beginning as fits into so many columns of a terminal."""
    taken = 0
    for end, character in enumerate(text):
        taken += _width(character)
        if taken > columns:
            return text[:end]
    return text


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):  # drawn over the one before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fill(text: str, columns: int) -> str:
    return " " * (columns - width(text))
