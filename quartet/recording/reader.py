"""A recording, read row by row: never whole, and never silently wrong."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from quartet.channels import CHANNELS, Values
from quartet.errors import TableError
from quartet.recording.binding import Binding, Choice, bind, find
from quartet.recording.cells import OVERLOAD, is_missing, quoted, reading
from quartet.recording.clock import NEWEST_FIRST, Running, TimeOf, clock
from quartet.recording.column import Look
from quartet.recording.dialect import COMMENTS, SPACES, is_comment
from quartet.recording.remarks import Remarks
from quartet.recording.seams import Seam
from quartet.recording.survey import head, survey
from quartet.recording.text import Lines, latin

_CUT = "a row was cut off, and is left out"
_AGAIN = "the lines above the first row stand here again: the logger was started again"
_OTHER = (
    "the logger was started again with other columns than above: save each part in its own file"
)
_CLOCK_AGAIN = "the clock starts again here, as the logger was started again: the time continues"
# Objects, one a line or in a list.
_JSON = re.compile(r"\ufeff?\s*(?:\[\s*)?\{")
_IS_JSON = (
    "this is JSON: expected a CSV file; 'broker export AGENT FILE.csv' writes one of a broker's"
    " samples"
)
_ZEROS = "zeros, as a power failure leaves them, are left out"


class _OtherColumnsError(TableError):
    """The columns below are not those above."""


class Row(NamedTuple):
    """One row of a recording."""

    line: int
    at_ns: int | None
    """When it was taken, in ns since 1970, or since a start on 1970-01-01; None: unknown."""
    values: Values
    extra: tuple[str, ...]
    """The cells of the further columns that were asked for."""


class Recording:
    """Iterates over the rows of a file, each time from its start; of a pipe, once.

    A file is looked at as a whole first. `extra` names further columns whose cells are wanted.
    `command` is what a refusal completes. `say` hears each kind of remark once, when it comes up.
    TableError names the file, the line and the column; every row before it has been given.
    With `on_bad`, a bad row is handed to it, and left out.
    """

    def __init__(
        self,
        path: Path,
        choice: Choice = Choice(),  # noqa: B008 - it is frozen
        *,
        extra: Sequence[str] = (),
        command: str = "",
        say: Callable[[str], None] = lambda _: None,
        on_bad: Callable[[TableError], None] | None = None,
    ) -> None:
        self.path = path
        self._on_bad = on_bad
        self._remarks = Remarks(str(path), say)
        self._lines = Lines(path)
        try:
            self._open(choice, extra, command)
        except BaseException:
            self._lines.close()
            raise

    def _open(self, choice: Choice, extra: Sequence[str], command: str) -> None:
        where, lines = str(self.path), self._lines
        self._first, self._rest = head(lines)
        found = survey(self._first, self._rest if lines.is_seekable else iter(()))
        if found is None and lines.failure:
            raise lines.failure
        if found is None:
            self._fail(*self._nothing())
        layout = self._layout = found.layout
        if layout.unclear:
            self._fail(layout.data_line, layout.unclear)
        columns = found.columns()
        self._names_are_numbers = layout.names_are_numbers
        self._last_is_empty = columns[-1].look is Look.EMPTY
        wide = sum(column.look is not Look.EMPTY for column in columns)
        doubt = layout.doubt
        if not lines.is_seekable and wide != CHANNELS:
            doubt = doubt or "a pipe can be read only once, and has not exactly four columns"
        labels = [find(where, columns, name) for name in extra]
        decimal = layout.dialect.decimal
        self.binding: Binding = bind(
            where, columns, choice, command, labels=labels, decimal=decimal, doubt=doubt
        )
        """The columns in use."""
        self._extra = [label.number - 1 for label in labels]
        self._sensors = [sensor.number - 1 for sensor in self.binding.sensors if sensor]
        self._found = found
        self._time_of: TimeOf | None = self._clock()
        if self.binding.time and not self._time_of:
            self.binding = self.binding.without_time()
        self._remarks.add("first line", layout.left_out)
        self._remarks.add("mixed rows", found.mixture())
        self._is_fresh = not lines.is_seekable
        self._row_line = self._top_line = 0

    def _nothing(self) -> tuple[int, str]:
        """The line, and why there are no rows."""
        if any("\0" in line.strip("\0\r\n") for line in self._first):
            why = "this is not a text of numbers"
        elif _JSON.match("".join(self._first)):
            return 1, _IS_JSON
        else:
            why = "the file has no rows: expected numbers on each line"
        return max(self._lines.number, 1), why

    def _clock(self) -> TimeOf | None:
        layout, profiles = self._layout, self._found.profiles
        time_of, remarks = clock(self.binding, profiles, layout.rows, layout.dialect.decimal)
        self.is_newest_first = NEWEST_FIRST in remarks
        if not self.remarks:
            for remark in remarks:
                self._remarks.add(remark, remark)
        return time_of

    @property
    def remarks(self) -> list[str]:
        """What is remarkable so far, a line each."""
        return self._remarks.texts()

    @property
    def share_read(self) -> float:
        """How much of the file was read, 0 to 1; 0 where its size is not known."""
        return self._lines.share_read

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Row]:
        if self._is_fresh:
            self._is_fresh = False
            lines: Iterator[str] = chain(self._first, self._rest)
        else:
            self._lines.close()
            self._lines = Lines(self.path)
            lines = iter(self._lines)
            self._time_of = self._clock()
            self._remarks.begin_again()
            self._row_line = self._top_line = 0
        return self._rows(lines)

    def _rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """The rows; what is no row is looked at by itself, with the lines behind it."""
        fast, data_line = self._fast(), self._layout.data_line
        seam = Seam(self._layout, self._remarks, self._on_bad)
        held = seam.lines
        running = self._time_of if isinstance(self._time_of, Running) else None
        starts = line_number = 0
        for line_number, line in enumerate(lines, 1):
            if line_number < data_line:
                continue
            row = None if held else fast(line_number, line)
            if row is None:
                row = self._look(line_number, line, seam)
            if running and running.starts != starts:
                starts = running.starts
                if self._top_line < self._row_line:
                    self._remarks.add("restart", _CLOCK_AGAIN, line_number)
                seam.end(line, is_restart=True)
            if row is not None:
                if held:
                    seam.end(line, is_restart=False)
                self._row_line = line_number
                yield row
        seam.end("", is_restart=False)
        if self._lines.failure:
            raise self._lines.failure
        if self._lines.cut:
            self._remarks.add("end", f"{self._lines.cut}: it is read up to here", line_number)

    def _look(self, number: int, line: str, seam: Seam) -> Row | None:
        """A row; None for a line that is none: `seam` holds those that should be one."""
        try:
            row = self._slow(number, line)
        except _OtherColumnsError as error:
            if self._on_bad is None:
                raise
            self._on_bad(error)
            return None
        except TableError as error:
            seam.add(number, line, error)
            return None
        if row is None and seam.is_mark(line):
            seam.end(line, is_restart=False)
        return row

    def _fast(self) -> Callable[[int, str], Row | None]:
        """What reads a plain line; None for one that must be looked at more closely."""
        dialect, width = self._layout.dialect, self._layout.width
        delimiter, extra, time_of = dialect.delimiter, self._extra, self._time_of
        is_plain = dialect.decimal == "." and not (
            dialect.has_arrow or dialect.has_bars or dialect.affixes or self._names_are_numbers
        )
        if not is_plain or len(self._sensors) != CHANNELS or delimiter == SPACES:
            return lambda _number, _line: None
        one, two, three, four = self._sensors
        most, short_width = OVERLOAD, dialect.short_width

        def fast(number: int, line: str) -> Row | None:
            cells = line.split(delimiter)
            if len(cells) == short_width:
                cells.append("")
            if len(cells) != width or '"' in line or "_" in line or line[-1] != "\n":
                return None
            try:
                a, b, c, d = (
                    float(cells[one]),
                    float(cells[two]),
                    float(cells[three]),
                    float(cells[four]),
                )
            except ValueError:
                return None
            is_usual = -most < a < most and -most < b < most
            if not (is_usual and -most < c < most and -most < d < most and line.isascii()):
                return None
            if line.startswith(COMMENTS):
                return None
            at_ns = time_of(cells) if time_of else None
            if at_ns is None and time_of:
                return None
            others = tuple([cells[i].strip() for i in extra]) if extra else ()
            return Row(number, at_ns, (a, b, c, d), others)

        return fast

    def _slow(self, number: int, line: str) -> Row | None:
        """A row; None for a line that is none, and need not be. TableError for one that should."""
        layout = self._layout
        if "\0" in line:
            before, _, line = line.strip("\r\n").rpartition("\0")
            self._remarks.add("damaged line", _ZEROS, number)
            if before.strip("\0 "):
                self._remarks.add("cut row", _CUT, number)
        elif not line.endswith("\n") and not layout.is_whole(latin(line)):
            self._remarks.add("cut row", "the last line is cut off, and is left out", number)
            return None
        text = latin(line).lstrip("\ufeff")
        if not text.strip(" \r\n") or (layout.dialect.delimiter != "\t" and not text.strip()):
            return None
        try:
            is_top = text.strip() == layout.header or layout.is_top(text)
            if self._names_are_numbers and is_top:
                self._fail(number, _AGAIN)
            return self._row(number, self._cells(number, text))
        except TableError:
            if self._explains(number, text):
                return None
            raise

    def _explains(self, number: int, text: str) -> bool:
        """Whether a line that is no row need not be one; what is remarkable about it is said."""
        layout = self._layout
        if layout.is_other_top(text):
            raise _OtherColumnsError(f"{self.path}: line {number}: {_OTHER}")
        if is_comment(text):
            return True
        if layout.is_top(text) or (self._names_are_numbers and text.strip() == layout.header):
            if self._top_line < max(self._row_line, 1):  # once, however many lines it writes
                self._remarks.add("restart", _AGAIN, number)
            self._top_line = number
            return True
        if len(layout.header) > 3 and text.strip().endswith(layout.header):
            self._remarks.add("cut row", f"{_CUT}: {_AGAIN}", number)
            return True
        return False

    def _cells(self, number: int, text: str) -> list[str]:
        width = self._layout.width
        try:
            cells = self._layout.dialect.split(text)
        except ValueError as error:
            self._fail(number, str(error))
        while len(cells) > width and not cells[-1].strip():
            cells.pop()
        if len(cells) == width - 1 and self._last_is_empty:
            cells.append("")
        if len(cells) != width:
            self._fail(number, f"expected {width} columns, got {len(cells)}")
        return cells

    def _row(self, number: int, cells: Sequence[str]) -> Row:
        values = [0.0] * CHANNELS
        missing: list[str] = []
        is_marked = cells[0].lstrip().startswith(COMMENTS) and not is_missing(cells[0])
        if is_marked and 0 not in self._sensors:
            self._fail(number, "a comment")
        for channel, index in enumerate(self._sensors):
            cell = cells[index]
            try:
                values[channel] = reading(cell, self._layout.dialect.decimal)
            except ValueError as error:
                self._fail(number, str(error), index + 1)
            if is_missing(cell):
                missing.append(cell)
        for cell in missing:
            self._remarks.add("failed reading", f"{quoted(cell)} is a failed reading", number)
        at_ns = self._time_of(cells) if self._time_of else None
        if self._time_of and at_ns is None:
            self._remarks.add("unknown time", "the time of this row cannot be read", number)
        first, second, third, fourth = values
        extra = tuple([cells[index].strip() for index in self._extra])
        return Row(number, at_ns, (first, second, third, fourth), extra)

    def _fail(self, line: int, reason: str, column: int | None = None) -> NoReturn:
        where = f", column {column}" if column else ""
        raise TableError(f"{self.path}: line {line}{where}: {reason}")
