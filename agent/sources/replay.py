"""A recording in place of the hardware, for simulation."""

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path

from agent.config.source import ReplaySettings
from agent.errors import ExcerptError, SourceError
from agent.sources import LABELS
from agent.sources.excerpt import Excerpt, Pace
from quartet.channels import Values
from quartet.commandline import as_given
from quartet.errors import TableError
from quartet.recording import STDIN, Binding, Choice, Column, Recording, Row
from wire.sensors import Label

log = logging.getLogger(__name__)


class Replay:
    """Gives the rows of a recording in order, once or for ever.

    Opens the file at once, and logs which columns are the sensors; SourceError where that fails.
    With `is_paced`, it says when each row is due, and reads one row ahead for that.
    """

    def __init__(self, settings: ReplaySettings, *, is_paced: bool = False) -> None:
        path = Path(settings.path)
        if settings.loop and path == STDIN:
            raise SourceError("standard input can be read only once: leave --loop out")
        self._loop = settings.loop
        self.faults: Mapping[str, int] = {}
        self.trouble = ""
        self.due_ns: int | None = 0 if is_paced else None
        self._pace = Pace(settings.speed)
        command = as_given(f"agent run --simulate {shlex.quote(settings.path)}", "--simulate")
        try:
            self._recording = Recording(path, choice(settings), command=command, say=log.warning)
        except TableError as error:
            raise SourceError(*error.args) from error
        log.info("%s: %s", path, self._recording.binding)
        self.labels = _labels(self._recording.binding)
        try:
            self._excerpt = Excerpt(self._recording, settings, is_paced=is_paced)
        except SourceError:
            self.close()
            raise
        self._rows = iter(self._excerpt)
        self._ahead: list[Row | SourceError | None] = []
        if is_paced or settings.since or settings.until:
            self._ahead = [self._fetch()]
        first = self._ahead[0] if self._ahead else None
        if isinstance(first, ExcerptError):
            self.close()
            raise first

    def read(self) -> Values | None:
        """The next row. SourceError names the line that is no row."""
        row = self._ahead.pop() if self._ahead else self._fetch()
        if isinstance(row, SourceError):
            raise row
        if row is None:
            return None
        if self.due_ns is not None:
            self._ahead.append(self._fetch())
        return row.values

    def _fetch(self) -> Row | SourceError | None:
        """What the next read() gives."""
        try:
            row = next(self._rows, None)
            if row is None and self._loop:
                self._rows = iter(self._excerpt)
                row = next(self._rows, None)
        except TableError as error:
            return SourceError(*error.args)
        except SourceError as error:
            return error
        if row and self.due_ns is not None:
            self.due_ns = self._pace.due_ns(row)
        return row

    def close(self) -> None:
        """Close the file."""
        self._recording.close()


def _labels(binding: Binding) -> tuple[Label | None, ...]:
    """The names and units of the columns; those that have no name are called sensor1 to sensor4."""
    return tuple(
        _label(column, default) if column else None
        for column, default in zip(binding.sensors, LABELS, strict=True)
    )


def _label(column: Column, default: Label) -> Label:
    return Label(column.plain_name, column.unit) if column.name else default


def choice(settings: ReplaySettings) -> Choice:
    """What the settings say about the columns."""
    return Choice(tuple(map(str, settings.columns)), str(settings.time))
