"""Where the rows of a table begin, and what stands above them: names, units, a preamble."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from quartet.recording.cells import has_thousands_mark, is_missing, number
from quartet.recording.dialect import (
    COMMENTS,
    Dialect,
    find_dialect,
    is_comment,
    is_data,
    is_time,
    separator,
)
from quartet.recording.header import (
    are_names,
    are_units,
    find_header,
    fitted,
    numbered_header,
    numbers_in_doubt,
)
from quartet.recording.text import latin

# Lines of names and units right above the rows.
_NAMES_ABOVE = 2

# Rows that must follow, for a first one to be no accident.
_ROWS_AHEAD = 3

_UNIT_IN_NAME = re.compile(r"[(\[]([^()\[\]]{1,16})[)\]]\s*\Z")
_KEY = re.compile(r"[^:=,;\t|]+")
# What stands for no unit, too: a line of such alone is no row.
_NO_UNITS = frozenset(("", "-", "--", "n.a.", "none", "*", "."))


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first lines of a file say about all of it."""

    dialect: Dialect
    width: int
    """Number of cells in a row."""
    data_line: int
    """The line of the first row, from 1."""
    names: tuple[str, ...] = ()
    """One for each cell, or none."""
    units: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """The cells of the first rows."""
    top: frozenset[str] = frozenset()
    """What the lines above the rows begin with: they stand there again after a restart."""
    header: str = ""
    heads: tuple[tuple[str, ...], ...] = ()
    """The cells of the lines above that are about the columns."""
    doubt: str = ""
    """Why the columns are not what they seem, unless a person names them."""
    unclear: str = ""
    """Why the numbers can be read in two ways, whoever names the columns."""
    left_out: str = ""
    """Why the line above the first row is left out, although it has numbers."""
    last_cells: tuple[str, ...] = field(default=())
    """The last cells of the first rows, of those that each row has."""

    def unit(self, index: int) -> str:
        """The unit of a column, "" where nothing names one."""
        if self.dialect.affixes and self.dialect.affixes[index][1]:
            return self.dialect.affixes[index][1]
        if self.units:
            return self.units[index].strip().strip("()[]")
        found = _UNIT_IN_NAME.search(self.names[index]) if self.names else None
        return found[1] if found else ""

    @property
    def names_are_numbers(self) -> bool:
        """Whether a line of names can be taken for a row."""
        return any(map(str.isdecimal, self.names))

    def is_top(self, line: str) -> bool:
        """Whether a line is one of those that stand above the rows."""
        return key(line) in self.top

    def is_whole(self, line: str) -> bool:
        """Whether a last line without a line end seems to have all that rows have."""
        cells = self.dialect.try_split(line)
        if len(cells) != self.width or not self.last_cells:
            return len(cells) == self.width
        if self.dialect.short_width and not cells[-1].strip():
            cells.pop()
        last = cells[-1].strip()
        if _decimals(last) < min(map(_decimals, self.last_cells)):
            return False
        return not last.isdecimal() or len(last) >= min(map(len, self.last_cells))

    def is_other_top(self, line: str) -> bool:
        """Whether a line is about the columns, as one above the rows is, but says otherwise."""
        cells = _bare_cells(line, self.dialect)
        if (
            not cells
            or cells in self.heads
            or not (self.names_are_numbers or are_names(cells, self.dialect))
        ):
            return False
        return any(cells[0] == head[0] and cells[0] and len(head) > 1 for head in self.heads)


def find_layout(lines: Sequence[str]) -> Layout | None:
    """The layout of a file that begins with these lines; None where no row is among them."""
    lines = [latin(line).lstrip("\ufeff") for line in lines]
    dialect, width = find_dialect(lines)
    if not width:
        return None
    above = _names_of_more(lines, dialect, width)
    if above is not None:
        dialect, width = dialect.with_one_more(width), width + 1
    begin = _first_row(lines, dialect, width, start=above or 0)
    if begin is None:
        return None
    rows = tuple(_rows(lines[begin:], dialect, width))
    unclear = _marked_thousands(rows) if dialect.delimiter not in ";\t" else ""
    begin = _with_failed_rows(lines, begin, dialect)
    header = find_header(lines, begin, dialect)
    if abs(len(header.names) - width) > 1:
        below = tuple(row for row in rows if row != rows[0])
        if numbered := numbered_header(lines, begin, below, dialect):
            header, rows, begin = numbered, below, numbered.lines[-1] + 1
        elif rows:
            unclear = unclear or numbers_in_doubt(rows[0], below, begin + 1)
    names, mismatch = fitted(header, rows, width)
    if header.line is None and any(name for name, _ in dialect.affixes):
        names = tuple(name for name, _ in dialect.affixes)
    top = [line for line in lines[:begin] if line.strip()]
    return Layout(
        dialect,
        width,
        begin + 1,
        names,
        tuple(_resized(header.units, width)) if header.units else (),
        rows,
        frozenset(filter(None, map(key, top))),
        lines[header.line].strip() if header.line is not None else "",
        tuple(_bare_cells(lines[index], dialect) for index in header.lines),
        mismatch or ("" if names else _halves(rows)),
        unclear or _other_rows(lines[: min(header.lines, default=begin)], width, begin, dialect),
        _left_out(lines[:begin], dialect, width),
        tuple(row[-2] if dialect.short_width else row[-1] for row in rows),
    )


def key(line: str) -> str:
    """What a line above the rows begins with; "" where that is a number, as in a row."""
    found = _KEY.match(line.strip().lstrip("\ufeff"))
    text = found[0].strip().strip('"').lower() if found else ""
    return "" if not text or is_data(text, ".") or is_data(text, ",") else text


def _decimals(text: str) -> int:
    """How much of a cell is there: decimals of a number, otherwise characters."""
    if number(text) is None or "e" in text.lower():
        return len(text)
    return len(text.partition(".")[2])


def _first_row(lines: Sequence[str], dialect: Dialect, width: int, *, start: int = 0) -> int | None:
    found = [
        index
        for index, line in enumerate(lines)
        if index >= start and line.strip() and _is_row(dialect.try_split(line), dialect, width)
    ]
    found = _alike(lines, found, dialect)
    for position, index in enumerate(found):
        ahead = found[position + 1 : position + _ROWS_AHEAD]
        between = [line for line in lines[index : (ahead or [index])[-1]] if line.strip()]
        above_next = lines[index + 1 : (ahead or [index])[0]]
        if len(between) <= 2 * _ROWS_AHEAD and not _has_names(above_next, dialect, width):
            return index
    return None


def _names_of_more(lines: Sequence[str], dialect: Dialect, width: int) -> int | None:
    """The line of names above rows of which only some have a cell in the last column."""
    names: list[str] = []
    found = 0
    longer = dialect.with_one_more(width)
    for index, line in enumerate(lines):
        cells = longer.try_split(line)
        if len(cells) != width + 1 or is_comment(line) or not cells[-1].strip():
            continue
        if names and _is_row(cells[:-1], dialect, width):
            return found
        if cells != names and are_names(cells, dialect):
            names, found = cells, index
    return None


def _left_out(above: Sequence[str], dialect: Dialect, width: int) -> str:
    """Why the line above the first row is left out, where it seems to be one, too; or ""."""
    cells = dialect.try_split(above[-1]) if above else []
    if not cells or len(cells) == width or not _is_row(cells, dialect, len(cells)):
        return ""
    if len(cells) < width and not all(is_data(cell, dialect.decimal) for cell in cells):
        return ""
    if len(above) == 1 and len(cells) < width:
        return "the first line is cut off, and is left out"
    return f"line {len(above)} has {len(cells)} columns instead of {width}, and is left out"


def _bare_cells(line: str, dialect: Dialect) -> tuple[str, ...]:
    text = line.strip().lstrip("".join(COMMENTS)) if is_comment(line) else line
    return tuple(cell.strip().strip('"') for cell in dialect.try_split(text.strip("\r\n")))


def _with_failed_rows(lines: Sequence[str], begin: int, dialect: Dialect) -> int:
    """The first row, which may be one without a number above that at `begin`."""
    first = dialect.try_split(lines[begin])
    found = begin
    for index in range(begin - 1, -1, -1):
        cells = dialect.try_split(lines[index])
        if not lines[index].strip() or is_comment(lines[index]):
            continue
        if len(cells) != len(first) or not all(
            is_data(cell, dialect.decimal) or not is_data(below, dialect.decimal)
            for cell, below in zip(cells, first, strict=True)
        ):
            break
        if not any(
            is_data(cell, dialect.decimal) and cell.strip().lower() not in _NO_UNITS
            for cell in cells
        ):
            break
        found = index
    return found


def _other_rows(lines: Sequence[str], width: int, begin: int, dialect: Dialect) -> str:
    """Why a file is two tables: rows of another width stand above its rows; or ""."""
    found = [
        (index, len(cells))
        for index, line in enumerate(lines)
        if len(cells := [cell for cell in dialect.try_split(line) if cell.strip()]) > 2
        and all(number(cell, dialect.decimal) is not None or is_time(cell) for cell in cells)
    ]
    if len(found) < _ROWS_AHEAD:
        return ""
    at, other = found[0]
    return (
        f"line {at + 1} has {other} columns, but the lines from {begin + 1} on have {width}:"
        " save each table in a file of its own"
    )


def _has_names(lines: Sequence[str], dialect: Dialect, width: int) -> bool:
    """Whether names stand among lines: what is above them is no row."""
    rows = [dialect.try_split(line) for line in lines]
    return any(
        len(cells) == width
        and are_names(cells, dialect)
        and not (are_units(cells) and len(set(cells)) < width)
        for cells in rows
    )


def _alike(lines: Sequence[str], found: list[int], dialect: Dialect) -> list[int]:
    """Those that begin with a number or a time, where most do: `Samples 200 200` is a preamble.

    And those right above them, which may have names and units.
    """
    begins = [index for index in found if _begins(dialect.try_split(lines[index])[0], dialect)]
    if 2 * len(begins) <= len(found):
        return found
    return [index for index in found if index >= begins[0] - _NAMES_ABOVE]


def _begins(cell: str, dialect: Dialect) -> bool:
    return not cell.strip() or is_missing(cell) or is_data(cell, dialect.decimal)


def _is_row(cells: Sequence[str], dialect: Dialect, width: int) -> bool:
    """Whether a line is a row: as many cells, at least one number, and not mostly words."""
    if len(cells) != width or separator(",".join(cells)):
        return False
    kinds = [is_data(cell, dialect.decimal) for cell in cells if cell.strip()]
    has_number = any(cell.strip() and number(cell, dialect.decimal) is not None for cell in cells)
    if cells[0].strip().startswith(COMMENTS) and not is_data(cells[0], dialect.decimal):
        return False
    is_full = kinds.count(True) > 1 if dialect.has_words else kinds.count(True) * 2 >= len(kinds)
    return has_number and is_full


def _rows(lines: Sequence[str], dialect: Dialect, width: int) -> Iterator[tuple[str, ...]]:
    for line in lines:
        cells = dialect.try_split(line)
        is_ended = line.endswith("\n") or len(lines) == 1
        if line.strip() and is_ended and _is_row(cells, dialect, width):
            yield tuple(cell.strip() for cell in cells)


def _halves(rows: Sequence[Sequence[str]]) -> str:
    """Why cells without names may be halves of numbers: 1,207,1,405 is two or four."""
    cells = [cell for row in rows for cell in row]
    if not cells or not all(map(str.isdigit, cells)) or len(rows[0]) % 2:
        return ""
    fronts = {len(cell) for row in rows for cell in row[::2]}
    backs = [cell for row in rows for cell in row[1::2]]
    if {*map(len, backs)} == {3} and max(fronts) < 3:
        return (
            f"{','.join(rows[0][:2])} can be one number with a thousands mark, or two: write the"
            " numbers without such marks"
        )
    zero = next((back for back in backs if len(back) > 1 and back[0] == "0"), "")
    return f"'{zero}' looks like the rest of a number behind a comma" if zero else ""


def _marked_thousands(rows: Sequence[Sequence[str]]) -> str:
    """Why quoted cells are no numbers for sure: "1,207" is 1207 or 1.207."""
    marked = [cell for row in rows for cell in row if "," in cell and number(cell, ",") is not None]
    if marked and any(not is_missing(c) for c in marked) and all(map(has_thousands_mark, marked)):
        return f"'{marked[0]}' can be a number with a thousands mark, or one with a decimal comma"
    return ""


def _resized(cells: Sequence[str], width: int) -> list[str]:
    return [*cells, *[""] * width][:width]
