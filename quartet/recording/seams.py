"""The seams that a restarted logger leaves in a file: lines between two rows that are none."""

from collections.abc import Callable

from quartet.errors import TableError
from quartet.recording.layout import Layout
from quartet.recording.remarks import Remarks

_CUT = "a row was cut off, and is left out"
_STRAY = "the logger was started again: what it wrote between two rows is left out"

# More than a logger says at its start.
_MOST_LINES = 60


class Seam:
    """Lines that are no rows and follow each other, until it shows whether that was a restart."""

    def __init__(
        self, layout: Layout, remarks: Remarks, on_bad: Callable[[TableError], None] | None
    ) -> None:
        self._layout = layout
        self._remarks = remarks
        self._on_bad = on_bad
        self.lines: list[tuple[int, str, TableError]] = []
        """What is held back: number, text and what is wrong. Always the same list."""

    def add(self, number: int, line: str, error: TableError) -> None:
        """Hold a line back. Raises its error, or an earlier one, where there are too many."""
        self.lines.append((number, line, error))
        if len(self.lines) > _MOST_LINES:
            self.end("", is_restart=False)

    def end(self, line: str, *, is_restart: bool) -> None:
        """The lines before this one were of a restart, or errors: the first is raised.

        What stands above the rows, and what a power failure leaves, tells a restart as well.
        """
        if is_restart or self.is_mark(line):
            for number, text, _ in self.lines:
                if len(self.lines) == 1 and not is_restart:
                    self._remarks.add("cut row", _CUT, number)
                elif not self.is_mark(text):
                    self._remarks.add("stray line", _STRAY, number)
            self.lines.clear()
            return
        errors = [error for _, _, error in self.lines]
        self.lines.clear()
        for error in errors:
            if self._on_bad is None:
                raise error
            self._on_bad(error)

    def is_mark(self, line: str) -> bool:
        """Whether a line stands above the rows of a file, or was left by a power failure."""
        return "\0" in line or self._layout.is_top(line)
