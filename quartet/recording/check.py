"""A recording read as a whole, for what is to be known before it is used."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from quartet.errors import TableError
from quartet.plural import counted
from quartet.recording.binding import Choice
from quartet.recording.reader import Recording

# Bad rows that are kept with their places.
_MOST_BAD = 10

# Steps by which the usual one is known, and how much longer a gap is.
_USUAL_STEPS = 1000
_GAP = 5


@dataclass(slots=True)
class Inspection:
    """What is in a recording."""

    binding: str
    rows: int = 0
    bad: list[str] = field(default_factory=list)
    """The first bad rows, with their places."""
    bad_rows: int = 0
    remarks: list[str] = field(default_factory=list)
    first_ns: int | None = None
    last_ns: int | None = None
    gaps: int = 0
    longest_gap_ns: int = 0
    longest_gap_line: int = 0

    def texts(self) -> list[str]:
        """All but the bad rows, a line each."""
        lines = [self.binding, counted(self.rows, "row") + self._span(), *self.remarks]
        if self.gaps:
            lines.append(
                f"{counted(self.gaps, 'gap')}, the longest of {self.longest_gap_ns / 1e9:g} s"
                f" before line {self.longest_gap_line}"
            )
        return lines

    def _span(self) -> str:
        if self.first_ns is None or self.last_ns is None:
            return ", without a time"
        return f", from {_written(self.first_ns)} to {_written(self.last_ns)}"


def inspect(path: Path, choice: Choice, command: str = "") -> Inspection:
    """Read all of a recording. TableError where it cannot be read, or not be bound."""
    bad: list[TableError] = []
    bad_rows = 0

    def take(error: TableError) -> None:
        nonlocal bad_rows
        bad_rows += 1
        if len(bad) < _MOST_BAD:
            bad.append(error)

    with Recording(path, choice, command=command, on_bad=take) as recording:
        found = Inspection(str(recording.binding))
        _read(recording, found)
        found.bad, found.bad_rows = [str(error) for error in bad], bad_rows
        found.remarks = recording.remarks
    return found


def _read(recording: Recording, found: Inspection) -> None:
    steps: list[int] = []
    usual_ns = 0.0
    sense = -1 if recording.is_newest_first else 1
    first_ns = last_ns = None
    for row in recording:
        found.rows += 1
        if row.at_ns is None:
            continue
        at_ns = sense * row.at_ns
        if last_ns is None:
            first_ns = last_ns = at_ns
            continue
        step_ns = at_ns - last_ns
        if len(steps) < _USUAL_STEPS:
            steps.append(step_ns)
            usual_ns = median(steps) if len(steps) in (10, 100, _USUAL_STEPS) else usual_ns
        if usual_ns > 0 and step_ns > _GAP * usual_ns:
            found.gaps += 1
            if step_ns > found.longest_gap_ns:
                found.longest_gap_ns, found.longest_gap_line = step_ns, row.line
        last_ns = max(last_ns, at_ns)
    if first_ns is not None and last_ns is not None:
        found.first_ns, found.last_ns = sorted((sense * first_ns, sense * last_ns))


def _written(at_ns: int) -> str:
    try:
        when = datetime.fromtimestamp(at_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ns / 1e9:g} s"
    return f"{at_ns / 1e9:g} s" if when.year == 1970 else f"{when:%Y-%m-%d %H:%M:%S} UTC"
