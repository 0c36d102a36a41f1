"""A column of a recording, and what was found out about it."""

from dataclasses import dataclass
from enum import Enum, auto

from quartet.foreign import shown


class Look(Enum):
    """What a column looks like over a whole file."""

    NUMBERS = auto()
    CONSTANT = auto()
    """The same number in each row."""
    FLAGS = auto()
    """Only 0 and 1, as in a label."""
    DOUBTFUL = auto()
    """Numbers that may be no sensor's."""
    CLOCK = auto()
    COUNTER = auto()
    LABEL = auto()
    PART_OF_DATE = auto()
    DATES = auto()
    """With a time of day."""
    DAYS = auto()
    """Dates alone."""
    SAME_TIME = auto()
    """One date with a time of day, in each row."""
    TIMES_OF_DAY = auto()
    WORDS = auto()
    EMPTY = auto()


# A name in a list of columns.
_MOST_IN_NAME = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its number, from 1, its name as it stands in the file, and its unit, or ""."""

    number: int
    name: str
    unit: str
    look: Look
    detail: str
    """What it looks like, in words."""

    @property
    def plain_name(self) -> str:
        """The name without the unit that stands at its end; all of it where nothing else does."""
        name = self.name.rstrip()
        for end in (f"[{self.unit}]", f"({self.unit})", f" {self.unit}", f"_{self.unit}"):
            if self.unit and name.endswith(end):
                return name.removesuffix(end).rstrip(" _,/") or self.name
        return self.name

    def __str__(self) -> str:
        return f'"{shown(self.name, _MOST_IN_NAME)}"' if self.name else f"column {self.number}"
