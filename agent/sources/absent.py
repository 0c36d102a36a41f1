"""What stands for a source that could not be opened."""

from collections.abc import Mapping
from typing import NoReturn

from agent.errors import SourceError
from agent.sources import LABELS


class Absent:
    """A source whose first read raises what its opening has raised."""

    labels = LABELS
    due_ns = None

    def __init__(self, error: SourceError) -> None:
        self._error = error
        self.faults: Mapping[str, int] = {}
        self.trouble = str(error)

    def read(self) -> NoReturn:
        """Raises the error."""
        raise self._error

    def close(self) -> None:
        """Nothing is held."""
