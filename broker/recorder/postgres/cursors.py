"""Where a reader of all lines is: behind a sample of a round."""

import re
from typing import NamedTuple

# The database, then a round, a line, a position, and when that sample arrived: an earlier state
# of the database may have another sample there.
_CURSOR = re.compile("([0-9a-f]{8}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,19})")


OTHERS = "-"
"""In place of a database, for a cursor that another kind of store has given."""


class Place(NamedTuple):
    """Behind this sample; one of zeros is before all."""

    store: str = ""
    round: int = 0
    line: int = 0
    position: int = 0
    arrived_at_ns: int = 0

    def __str__(self) -> str:
        return ":".join(map(str, self)) if self.store else ""

    @property
    def where(self) -> tuple[int, int, int]:
        """By what samples are ordered."""
        return self.round, self.line, self.position


def parsed(cursor: str, most: int) -> Place:
    """What a cursor says. ValueError for one that is none; and for no samples at all."""
    if most < 1:
        raise ValueError(f"most: at least 1 sample, not {most}")
    if not cursor:
        return Place()
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise ValueError(f"{cursor!r} is not a cursor of this store")
    store, *numbers = match.groups()
    round_, line, position, arrived_at_ns = map(int, numbers)
    return Place(store, round_, line, position, arrived_at_ns)
