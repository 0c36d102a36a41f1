"""What stands above the rows of a table: the names of its columns, and their units."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quartet.recording.cells import is_missing, number
from quartet.recording.dialect import COMMENTS, Dialect, is_comment, is_data, is_time

# Names, units, kinds of values: no logger writes more lines about its columns.
_MOST_HEADERS = 4

# Rows that tell that a line above them is none, although it has numbers.
_ROWS_BELOW = 3
_MOST = 0.9

_UNIT = re.compile(
    r"\W*(?:[a-zA-Z]{0,2}[VAWΩFHJNKC]|[munµ]?s(?:ec)?|m|[munµ]?m(?:/s[²2]?)?|m/s[²2^]*|[kM]?Pa|"
    r"m?bar|psi|g|k?g|rpm|r/min|hz|[kM]hz|%(?:rh)?|°?[CFK]|deg ?[CF]?|degrees? ?[CF]?|volts?|"
    r"seconds?|amps?|mv|ma|°|ohms?|l/min|ppm|lux|dB|yyyy.*|hh:mm.*|ts|rn|n\.?a\.?|-|none|raw|"
    r"counts?)\W*",
    re.IGNORECASE,
)
_EXTRA_NAMES = ("", "comment", "comments", "remark", "remarks", "note", "notes")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above the rows, and in which line, from 0."""

    line: int | None = None
    names: Sequence[str] = ()
    units: Sequence[str] = ()
    lines: tuple[int, ...] = ()
    """All lines that are about the columns."""


def find_header(lines: Sequence[str], begin: int, dialect: Dialect) -> Header:
    """The lines above the first row that hold words, the one of the names chosen among them."""
    wordy: list[tuple[int, list[str]]] = []
    mixed: list[str] = []
    for index in range(begin - 1, -1, -1):
        line = lines[index]
        if not line.strip() or is_comment(line):
            continue
        cells = dialect.try_split(line)
        if not wordy and not mixed and _are_mixed(cells, dialect):
            mixed = cells
            continue
        if not are_names(cells, dialect) or (wordy and len(cells) != len(wordy[0][1])):
            break
        wordy.append((index, cells))
        if len(wordy) == _MOST_HEADERS:
            break
    if not wordy:
        return _in_comment(lines, begin, dialect)
    at, names = wordy[0]
    units = mixed
    used = [at]
    for index, cells in wordy[1:]:
        if not (are_units(names) or _distinct(names) < _distinct(cells)):
            break
        units = names if are_units(names) else units
        at, names = index, cells
        used.append(index)
    return Header(at, names, units, tuple(used))


def numbered_header(
    lines: Sequence[str], begin: int, rows: Sequence[Sequence[str]], dialect: Dialect
) -> Header | None:
    """The first of the rows as a header, where it only names columns by numbers."""
    first = [cell.strip() for cell in dialect.try_split(lines[begin])]
    if len(rows) < _ROWS_BELOW or not _are_labels(first):
        return None
    named = any(_is_word_above_data(cell, index, rows, dialect) for index, cell in enumerate(first))
    numbers = [index for index, cell in enumerate(first) if cell.isdecimal()]
    above_decimals = len(numbers) > 1 and _most(
        all(dialect.decimal in row[index] for index in numbers) for row in rows
    )
    is_even = len({int(first[b]) - int(first[a]) for a, b in pairwise(numbers)}) == 1
    is_pandas = not first[0] and all(row[0] == str(number) for number, row in enumerate(rows))
    if not named and not ((above_decimals or is_pandas) and is_even):
        return None
    units: Sequence[str] = ()
    used = [begin]
    following = next((line for line in lines[begin + 1 :] if line.strip()), "")
    cells = dialect.try_split(following)
    if len(cells) == len(first) and are_units(cells) and are_names(cells, dialect):
        units = cells
        used.append(lines.index(following, begin + 1))
    return Header(begin, first, units, tuple(used))


def numbers_in_doubt(first: Sequence[str], rows: Sequence[Sequence[str]], line_number: int) -> str:
    """Why a first row of whole numbers can be names as well; "" where it cannot."""
    filled = [index for index, cell in enumerate(first) if cell]
    if len(rows) < _ROWS_BELOW or len(filled) < 3 or not _are_labels(first):
        return ""
    whole = [index for index in filled if first[index].isdecimal()]
    steps = {int(first[b]) - int(first[a]) for a, b in pairwise(whole)}
    if len(whole) < len(filled) or len(steps) != 1:
        return ""
    for index in whole:
        below = [value for row in rows if (value := number(row[index])) is not None]
        others = [value for value in below if value == value]  # noqa: PLR0124 - no NaN
        if not others or min(others) <= int(first[index]) <= max(others):
            return ""
    return (
        f"line {line_number} can be a row, or the numbers of the columns: delete it, or write a"
        " name above each column"
    )


def _are_labels(first: Sequence[str]) -> bool:
    """Whether cells are distinct words and whole numbers, as names are."""
    filled = [cell for cell in first if cell]
    numbers = [cell for cell in filled if number(cell) is not None]
    return len(set(filled)) == len(filled) and all(map(str.isdecimal, numbers)) and bool(numbers)


def _is_word_above_data(
    cell: str, index: int, rows: Sequence[Sequence[str]], dialect: Dialect
) -> bool:
    below = [row[index] for row in rows if row[index] and not is_missing(row[index])]
    is_word = bool(cell and below) and not is_data(cell, dialect.decimal)
    return is_word and _most(is_data(each, dialect.decimal) for each in below)


def _most(each: Iterable[bool]) -> bool:
    """Whether it holds for all but a few, such as another header further down."""
    holds = list(each)
    return sum(holds) >= _MOST * len(holds)


def _in_comment(lines: Sequence[str], begin: int, dialect: Dialect) -> Header:
    width = len(dialect.try_split(lines[begin]))
    for index in range(begin - 1, -1, -1):
        cells = dialect.try_split(lines[index].strip().lstrip("".join(COMMENTS)).strip())
        if is_comment(lines[index]) and len(cells) == width and are_names(cells, dialect):
            return Header(index, cells, (), (index,))
    return Header()


def are_names(cells: Sequence[str], dialect: Dialect) -> bool:
    """Whether cells can be names: some are words, and none is a number or a time."""
    words = [cell for cell in cells if cell.strip()]
    return bool(words) and not any(
        number(word, dialect.decimal) is not None or is_time(word) for word in words
    )


def are_units(cells: Sequence[str]) -> bool:
    """Whether most cells are units."""
    words = [cell.strip() for cell in cells if cell.strip()]
    fitting = sum(bool(_UNIT.fullmatch(word)) or word[0] in "([" for word in words)
    return fitting * 2 >= len(words) and bool(words)


def _are_mixed(cells: Sequence[str], dialect: Dialect) -> bool:
    """Whether cells are units, and behind them numbers that are about all of the file."""
    filled = [cell for cell in cells if cell.strip()]
    words = [cell for cell in filled if number(cell, dialect.decimal) is None]
    is_apart = len(words) > 1 and words == filled[: len(words)] and len(words) < len(filled)
    return is_apart and are_units(words)


def _distinct(cells: Sequence[str]) -> int:
    return len({cell.strip() for cell in cells if cell.strip()})


def fitted(
    header: Header, rows: Sequence[Sequence[str]], width: int
) -> tuple[tuple[str, ...], str]:
    """The names, one for each cell; or none, and why the header does not fit."""
    names = [name.strip().strip('"').strip() for name in header.names]
    if header.line is None or len(names) == width:
        return tuple(names), ""
    if len(names) == width - 1:
        numbers = [row[0] for row in rows]
        if not any(row[-1] for row in rows):
            names.append("")
        elif all(map(str.isdigit, numbers)) and len(set(numbers)) == len(numbers):
            names.insert(0, "")
        elif all(is_time(row[0]) and is_time(row[1]) for row in rows):
            names.insert(1, "")
        if len(names) == width:
            return tuple(names), ""
    if len(names) == width + 1 and names[-1].lower() in _EXTRA_NAMES:
        return tuple(names[:-1]), ""
    if len(names) == 1:
        return (), ""
    return (), (
        f"line {header.line + 1} names {len(names)} columns, but the rows have {width}: does a"
        " comma stand in their numbers? Write a point for decimals, and nothing between thousands"
    )
