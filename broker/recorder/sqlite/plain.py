"""The streams of plain peers: each is a line of its own, so their number is bounded."""

import sqlite3
from collections.abc import Callable, Iterable

from broker.recorder.sqlite.keeping import NOBODY
from quartet.database import transaction

# Lines in one transaction, and samples in one: some milliseconds, so that a commit
# behind it hardly waits.
_STEP_LINES = 100
_STEP_ROWS = 500


class PlainLines:
    """Knows which plain peers still stream, and deletes the oldest lines of the others.

    One thread at a time; step() raises sqlite3.Error.
    """

    def __init__(
        self, connection: sqlite3.Connection, most: int, removed: Callable[[int], None]
    ) -> None:
        """`removed`: called with each line that is there no more."""
        self._connection = connection
        self._most = most
        self._removed = removed
        self._live: set[int] = set()

    def streams(self, line: int) -> None:
        """A plain peer has streamed."""
        self._live.add(line)

    def ended(self, lines: Iterable[int]) -> None:
        """Plain peers have left."""
        self._live.difference_update(lines)

    def step(self, added: int = 0) -> bool:
        """Delete a part of what is too much; whether there is more to do at once.

        As many more samples may go as were `added` since, so that deleting keeps up.
        """
        excess = self._excess()
        if not excess:
            return False
        room = _STEP_ROWS + added
        gone = []
        with transaction(self._connection):
            for line in excess[:_STEP_LINES]:
                rows = self._connection.execute(
                    "SELECT position FROM samples WHERE line = ? LIMIT ?", (line, room)
                ).fetchall()
                for table in ("samples", "explanations"):
                    self._connection.executemany(
                        f"DELETE FROM {table} WHERE position = ?",  # noqa: S608
                        rows,
                    )
                room -= len(rows)
                if room <= 0:
                    break
                for table in ("snapshots", "former_snapshots", "sessions", "lines"):
                    self._connection.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608
                gone.append(line)
        for line in gone:
            self._removed(line)
        return len(excess) > len(gone)

    def _excess(self) -> list[int]:
        """The oldest lines that may go, where there are too many."""
        lines = self._connection.execute(
            "SELECT line FROM lines WHERE agent_id IS NULL AND peer != ? ORDER BY line", (NOBODY,)
        ).fetchall()
        closed = [line for (line,) in lines if line not in self._live]
        return closed[: max(0, len(lines) - self._most)]
