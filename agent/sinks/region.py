"""The foot of a terminal, kept for what is drawn there again and again."""

import contextlib
import os
from typing import TextIO

# Rows above the foot: a terminal scrolls two at the least.
_LEAST_ABOVE = 2

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_WHOLE = "\x1b[r"
_CLEAR = "\x1b[2J\x1b[H"

# Of a terminal that does not tell its size, as on a serial line.
_COLUMNS, _ROWS = 80, 24


class Region:
    """Has the terminal scroll only above the foot: whoever prints there does not disturb it.

    The cursor stays where others print. One thread. A terminal that is gone is not drawn on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._size = 0, 0
        self._rows = 0

    def fit(self, most_rows: int) -> tuple[int, int]:
        """Fit the foot of `most_rows` or fewer to the terminal; its columns and rows."""
        size = columns, rows = self._look()
        if size != self._size:
            self._begin(size, min(most_rows, max(0, rows - _LEAST_ABOVE)))
        return columns, self._rows

    def draw(self, lines: list[str]) -> None:
        """Show these lines in the foot; none may be wider than the terminal."""
        top = self._size[1] - self._rows + 1
        lines = lines[: self._rows] + [""] * (self._rows - len(lines))
        drawn = "".join(f"\x1b[{top + row};1H\x1b[2K{line}" for row, line in enumerate(lines))
        self._write(f"{_SAVE}{drawn}{_RESTORE}")

    def close(self) -> None:
        """Leave the foot as it is, and go on below it."""
        if self._rows:
            self._write(f"{_WHOLE}\x1b[{self._size[1]};1H\n")
            self._size, self._rows = (0, 0), 0

    def _begin(self, size: tuple[int, int], rows: int) -> None:
        # Where a resized terminal has put the former foot, nobody can tell.
        former = f"{_WHOLE}{_CLEAR}" if self._rows else ""
        self._size, self._rows = size, rows
        room = "\n" * rows + f"\x1b[{rows}A" if rows else ""
        above = f"\x1b[1;{size[1] - rows}r" if rows else ""
        self._write(f"{former}{room}{_SAVE}{above}{_RESTORE}")

    def _look(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns, rows = 0, 0
        return columns or _COLUMNS, rows or _ROWS

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
