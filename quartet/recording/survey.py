"""A first look at a recording: its layout from the first lines, its columns from all of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from quartet.foreign import shown
from quartet.recording.column import Column
from quartet.recording.dialect import SPACES
from quartet.recording.layout import Layout, find_layout
from quartet.recording.profile import Profile
from quartet.recording.text import Lines

# What the layout is found by: more than any preamble.
HEAD_LINES = 400
# Rows of a pipe that are enough: its next one may be long in coming.
_PIPE_ROWS = 2

# Names in a remark.
_NAMES_LISTED = 5

# Rows that are looked at together; fewer where they are long.
_BLOCK_ROWS = 4000
_MOST_CHARACTERS = 500_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look has found."""

    layout: Layout
    profiles: tuple[Profile, ...]

    def columns(self) -> list[Column]:
        """What the columns look like, each seen beside the others."""
        parts = sum(profile.may_be_part_of_date for profile in self.profiles)
        parts += any(profile.time for profile in self.profiles)
        return [profile.column(parts - profile.may_be_part_of_date) for profile in self.profiles]

    def mixture(self) -> str:
        """Why the rows are not all of the same sensors, or ""."""
        for profile in self.profiles:
            if names := profile.names_of_rows():
                listed = ", ".join(shown(name, 30) for name in names[:_NAMES_LISTED])
                return (
                    f"{profile.column()} has several names ({listed}): rows of different sensors"
                    " are mixed: write a column for each name, or a file"
                )
        return ""


def head(lines: Lines) -> tuple[list[str], Iterator[str]]:
    """The first lines of a file, up to the second row of a pipe; and all that follow them."""
    rest = lines.look()
    first: list[str] = []
    length = 0
    for line in islice(rest, HEAD_LINES):
        first.append(line)
        length += len(line)
        if length > _MOST_CHARACTERS or not (lines.is_seekable or _wants_more(first)):
            break
    return first, rest


def _wants_more(first: Sequence[str]) -> bool:
    layout = find_layout(first)
    return layout is None or len(layout.rows) < _PIPE_ROWS


def survey(first: Sequence[str], rest: Iterator[str]) -> Survey | None:
    """Look at all lines; None where the first ones hold no rows."""
    layout = find_layout(first)
    if layout is None:
        return None
    profiles = tuple(
        Profile(
            index + 1,
            layout.names[index] if layout.names else "",
            layout.unit(index),
            layout.dialect.decimal,
        )
        for index in range(layout.width)
    )
    _add(profiles, layout.rows)
    longest = max(map(len, first))
    block_rows = max(1, min(_BLOCK_ROWS, _MOST_CHARACTERS // longest))
    while lines := list(islice(rest, block_rows)):
        open_ = [profile for profile in profiles if not profile.is_settled]
        if not open_:
            break
        _add(open_, _rows(lines, layout, open_))
    return Survey(layout, profiles)


def _add(profiles: Sequence[Profile], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        for profile, cells in zip(profiles, zip(*rows, strict=True), strict=True):
            profile.add(cells)


def _rows(
    lines: Sequence[str], layout: Layout, profiles: Sequence[Profile]
) -> list[tuple[str, ...]]:
    """The cells of some columns, of those lines that are rows by their number of cells."""
    wanted = [profile.number - 1 for profile in profiles]
    cut = _cutter(layout, max(wanted))
    rows = []
    for line in lines:
        cells = cut(line)
        if cells:
            rows.append(tuple([cells[index] for index in wanted]))
    return rows


def _cutter(layout: Layout, last: int) -> Callable[[str], list[str]]:
    """What gives the cells of a line up to a last one, or none where they are too few."""
    dialect, width = layout.dialect, layout.width
    delimiter, limit = dialect.delimiter, last + 1
    is_plain = not (
        delimiter == SPACES
        or dialect.has_arrow
        or dialect.has_bars
        or dialect.affixes
        or dialect.short_width
    )

    def cut(line: str) -> list[str]:
        if is_plain and '"' not in line:
            return line.split(delimiter, limit) if line.count(delimiter) == width - 1 else []
        cells = dialect.try_split(line)
        return cells if len(cells) == width else []

    return cut
