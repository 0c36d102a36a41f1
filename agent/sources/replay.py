"""A CSV in place of the hardware, for simulation."""

from collections.abc import Mapping
from pathlib import Path

from agent.errors import SourceError
from quartet.channels import Values
from quartet.errors import TableError
from quartet.table import TableReader


class Replay:
    """Gives the rows of a CSV in order, once or for ever.

    Opens the file at once; SourceError where that fails.
    """

    def __init__(self, path: Path, *, loop: bool) -> None:
        self._path = path
        self._loop = loop
        self.faults: Mapping[str, int] = {}
        self.trouble = ""
        self._open()

    def _open(self) -> None:
        try:
            self._table = TableReader(self._path)
        except TableError as error:
            raise SourceError(str(error)) from error
        self._rows = iter(self._table)

    def read(self) -> Values | None:
        """The next row. SourceError names the line that is no row."""
        try:
            values = next(self._rows, None)
            if values is None and self._loop:
                self.close()
                self._open()
                values = next(self._rows)
        except TableError as error:
            raise SourceError(str(error)) from error
        return values

    def close(self) -> None:
        """Close the file."""
        self._table.close()
