"""What is kept in memory for an agent that may come back, within a bound."""

from collections import OrderedDict
from typing import Protocol, TypeVar


class Kept(Protocol):
    """Something that streams use."""

    streams: int
    """How many use it now."""


Entry = TypeVar("Entry", bound=Kept)


def forget_idle(entries: "OrderedDict[str, Entry]", most: int) -> None:
    """Make room for one more by forgetting what has been idle longest; never what has a stream."""
    idle = [name for name, entry in entries.items() if not entry.streams]
    for name in idle[: max(0, len(entries) + 1 - most)]:
        del entries[name]
