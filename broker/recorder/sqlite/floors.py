"""What a line keeps, so that its black box can be rebuilt."""

import sqlite3
import sys
from collections.abc import Callable


class Floors:
    """By line, the last position that may go. One thread; raises sqlite3.Error.

    A floor only rises: what was right stays safe.
    """

    def __init__(self, connection: sqlite3.Connection, needed_from: Callable[[int], int]) -> None:
        self._connection = connection
        self._needed_from = needed_from
        self._known: dict[int, int] = {}

    def of(self, line: int) -> int:
        """The floor of a line, as it was when it was asked for first, or later."""
        if line not in self._known:
            self._known[line] = self.now_of(line)
        return self._known[line]

    def now_of(self, line: int) -> int:
        """The floor of a line as it is now."""
        row = self._connection.execute(
            "SELECT agent_id FROM lines WHERE line = ?", (line,)
        ).fetchone()
        # A plain peer's ends with its stream.
        is_agents = row is not None and row[0] is not None
        return self._needed_from(line) if is_agents else sys.maxsize

    def forget(self) -> None:
        """Read the floors again when they are asked for next."""
        self._known.clear()
