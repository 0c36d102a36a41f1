"""How the lines of a table are written: what parts their cells, and the decimal mark."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from quartet.recording.affixes import NO_AFFIX, Affix, bare, common_affixes
from quartet.recording.cells import is_missing, number

COMMENTS = ("#", "%", "//", "!", "*", "'")
"""Marks of a line that is no row, unless it can be read as one."""

SPACES = " "
"""The delimiter of columns that stand apart by spaces, however many."""

_DELIMITERS = (",", ";", "\t", "|", SPACES)
# Spaces stand also between a date and a time, and part what other delimiters part as well.
_SHARE_OF_SPACES = 0.5

_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)

# The Arduino IDE puts the time before each line that it shows.
_ARROW = re.compile(r"^\s*\d{1,2}:\d{2}:\d{2}(?:\.\d+)? -> ")

# No date is longer, in any language.
_LONGEST_TIME = 60

_RULE = re.compile(r"[-=+|:\s]+")
_SPACE_BEHIND_QUOTE = re.compile(r'"[ \t]+(?=[,;|]|$)')
_LOOKS_LIKE_TIME = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T].*)?"
    r"|\d{1,2}:\d{2}(?::\d{2}.*)?(?: ?[aApP]\.?(?:[mM]\.?)?)?"
    r"|.*\d{1,2}:\d{2}.*\d.*"
    r"|(?:\w{3,9}\.? )?\d{1,2}[ .-]+[^\W\d]{3,9}\.?[ .,-]+\d{2,4}(?:[ ,]+.*)?"
    r"|[^\W\d]{3,9}\.? \d{1,2},? \d{4}.*"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a line is split, and how its numbers are written."""

    delimiter: str = ","
    decimal: str = "."
    has_arrow: bool = False
    has_bars: bool = False
    affixes: tuple[Affix, ...] = ()
    """What stands around the numbers of each column, if anything does."""
    short_width: int = 0
    """The number of cells of a row whose last cell is not written; 0: all are."""
    has_words: bool = False
    """Whether rows may have more words than numbers."""

    def split(self, line: str) -> list[str]:
        """The cells of a line, with the spaces around them. ValueError where quotes do not fit."""
        if self.has_arrow:
            line = line.replace(" -> ", self.delimiter, 1)
        line = line.rstrip("\r\n")
        if '"' in line:
            cells = self._split_quoted(line)
        elif self.delimiter == SPACES:
            cells = line.split()
        else:
            cells = line.split(self.delimiter)
        if self.has_bars:
            cells = cells[not cells[0].strip() : len(cells) - (not cells[-1].strip())]
        if len(cells) == self.short_width:
            cells.append("")
        if self.affixes and len(self.affixes) == len(cells):
            cells = list(map(bare, cells, self.affixes))
        return cells

    def with_one_more(self, width: int) -> "Dialect":
        """The same for rows of so many cells, and one more that need not be written."""
        affixes = (*self.affixes, NO_AFFIX) if self.affixes else ()
        return replace(self, affixes=affixes, short_width=width)

    def _split_quoted(self, line: str) -> list[str]:
        line = line.strip() if self.delimiter == SPACES else line
        for text in (line, _SPACE_BEHIND_QUOTE.sub('"', line)):
            try:
                cells = next(
                    csv.reader(
                        (text,), delimiter=self.delimiter, strict=True, skipinitialspace=True
                    )
                )
            except csv.Error as error:
                reason = str(error)
            else:
                return [cell for cell in cells if cell] if self.delimiter == SPACES else cells
        raise ValueError(f"not a CSV line: {reason}")

    def try_split(self, line: str) -> list[str]:
        """The cells of a line; none where it is no line of a table."""
        try:
            return self.split(line)
        except ValueError:
            return []


def is_comment(line: str) -> bool:
    """Whether a line begins as a comment does, or only draws a line between others."""
    text = line.strip()
    return text.startswith(COMMENTS) or bool(text and _RULE.fullmatch(text) and "-" in text)


def is_time(cell: str) -> bool:
    """Whether a cell looks like a date or a time of day."""
    text = cell.strip()
    if not 0 < len(text) <= _LONGEST_TIME:
        return False
    return any(map(str.isdigit, text)) and bool(_LOOKS_LIKE_TIME.fullmatch(text))


def is_data(cell: str, decimal: str) -> bool:
    """Whether a cell holds what rows hold: a number, a time, nothing, or a word for nothing."""
    return number(cell, decimal) is not None or is_missing(cell) or is_time(cell)


@lru_cache(maxsize=4096)
def kind_of(cell: str, decimal: str) -> tuple[str, float]:
    """What a cell holds, and its value where that is a number."""
    if not cell.strip():
        return "empty", 0.0
    if is_missing(cell):
        return "missing", 0.0
    value = number(cell, decimal)
    if value is not None:
        return "number", value
    return ("time" if is_time(cell) else "word"), 0.0


def separator(line: str) -> str | None:
    """The delimiter that a first line such as "sep=;" names."""
    named = _SEP.fullmatch(line.strip("\r\n \ufeff"))
    return named[1] if named else None


def find_dialect(lines: Sequence[str]) -> tuple[Dialect, int]:
    """The dialect in which the lines hold most numbers, and the number of cells of a row."""
    named = separator(lines[0]) if lines else None
    has_arrow = sum(bool(_ARROW.match(line)) for line in lines) * 2 > len(lines)
    plain = list(_candidates(named, lines, has_arrow=has_arrow))
    best, width = _best(plain, lines)
    if not width:
        best, width = _best(_with_affixes(plain, lines), lines)
        return (best, width) if width else _wordy(plain, lines)
    return _best((best, *_with_affixes([best], lines, must_vary=True)), lines)


def _best(dialects: Iterable[Dialect], lines: Sequence[str]) -> tuple[Dialect, int]:
    best, width, most = Dialect(), 0, 0.0
    for dialect in dialects:
        score, cells = _score(dialect, lines)
        if dialect.delimiter == SPACES:
            score *= _SHARE_OF_SPACES
        if score > most:
            best, width, most = dialect, cells, score
    return best, width


def _wordy(dialects: Iterable[Dialect], lines: Sequence[str]) -> tuple[Dialect, int]:
    """A dialect of rows that have numbers in the same places, among more words."""
    for dialect in dialects:
        if dialect.delimiter == SPACES:
            continue
        rows = [dialect.try_split(line) for line in lines if line.strip()]
        places = Counter(map(partial(_numbers_of, decimal=dialect.decimal), rows))
        (numbers, count), *_ = places.most_common(1) or [((), 0)]
        others = sum(len(row) == len(numbers) for row in rows) - count
        if count > max(1, others) and sum(numbers) > 1:
            return replace(dialect, has_words=True), len(numbers)
    return Dialect(), 0


def _numbers_of(cells: Sequence[str], decimal: str) -> tuple[bool, ...]:
    """For each cell whether it is a number or a time; none where no cell is a number."""
    kinds = [kind_of(cell, decimal)[0] for cell in cells]
    return tuple(kind in ("number", "time") for kind in kinds) if "number" in kinds else ()


def _candidates(named: str | None, lines: Sequence[str], *, has_arrow: bool) -> Iterator[Dialect]:
    bars = sum(line.lstrip().startswith("|") for line in lines) * 2 > len(lines)
    for delimiter in [named] if named else _DELIMITERS:
        for decimal in (".", ","):
            yield Dialect(delimiter, decimal, has_arrow, bars and delimiter == "|")


def _with_affixes(
    dialects: Sequence[Dialect], lines: Sequence[str], *, must_vary: bool = False
) -> Iterator[Dialect]:
    for dialect in dialects:
        rows = [dialect.try_split(line) for line in lines if line.strip()]
        if affixes := common_affixes(rows, must_vary=must_vary):
            yield replace(dialect, affixes=affixes)


def _score(dialect: Dialect, lines: Sequence[str]) -> tuple[float, int]:
    """How many cells are numbers or times in the lines of the most fruitful width, and that."""
    by_width: dict[int, float] = {}
    for line in lines:
        if not line.strip():
            continue
        cells = dialect.try_split(line)
        numbers = sum(
            bool(cell.strip()) and number(cell, dialect.decimal) is not None for cell in cells
        )
        others = sum(bool(cell.strip()) and not is_data(cell, dialect.decimal) for cell in cells)
        times = sum(map(is_time, cells))
        if numbers:
            by_width[len(cells)] = by_width.get(len(cells), 0.0) + numbers + 0.9 * times - others
    if not by_width:
        return 0.0, 0
    width = max(by_width, key=by_width.__getitem__)
    return by_width[width], width
