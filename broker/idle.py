"""What is kept in memory for an agent that may come back, within a bound."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar


class Kept(Protocol):
    """Something that streams use."""

    streams: int
    """How many use it now."""


Entry = TypeVar("Entry", bound=Kept)


def forget_idle(
    entries: "OrderedDict[str, Entry]", most: int, among: Callable[[Entry], bool] = lambda _: True
) -> None:
    """Make room for one more by forgetting what has been idle longest; never what has a stream.

    Only entries `among` those meant are counted and forgotten.
    """
    meant = [name for name, entry in entries.items() if among(entry)]
    idle = [name for name in meant if not entries[name].streams]
    for name in idle[: max(0, len(meant) + 1 - most)]:
        del entries[name]
