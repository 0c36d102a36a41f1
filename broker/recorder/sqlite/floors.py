"""What a line keeps, so that its black box can be rebuilt."""

import sqlite3
import sys
from collections.abc import Callable


class Floors:
    """By line, the last position that may go. One thread; raises sqlite3.Error.

    A floor only rises: what was right stays safe.
    """

    def __init__(self, connection: sqlite3.Connection, replayed_from: Callable[[int], int]) -> None:
        self._connection = connection
        self._replayed_from = replayed_from
        self._known: dict[int, int] = {}

    def of(self, line: int) -> int:
        """The floor of a line, as it was when it was asked for first, or later."""
        if line not in self._known:
            self._known[line] = self.now_of(line)
        return self._known[line]

    def now_of(self, line: int) -> int:
        """The floor of a line as it is now."""
        row = self._connection.execute(
            "SELECT agent_id, coalesce("
            " (SELECT max(position) FROM snapshots WHERE line = :line),"
            " (SELECT position FROM former_snapshots WHERE line = :line))"
            " FROM lines WHERE line = :line",
            {"line": line},
        ).fetchone()
        if row is None or row[0] is None:  # a plain peer's, which ends with its stream
            return sys.maxsize
        snapshot_at: int | None = row[1]
        return self._replayed_from(line) if snapshot_at is None else snapshot_at

    def forget(self) -> None:
        """Look anew at the next questions."""
        self._known.clear()
