"""Deletes a line as a whole, or what its black box would be rebuilt from; in small steps."""

import json
import sqlite3
import sys
from collections.abc import Sequence

from broker.recorder.sqlite.checksums import line_checksum
from broker.recorder.sqlite.keeping import CUT, NOBODY
from quartet.clock import Clock
from quartet.database import transaction

# Deleted in one transaction: some milliseconds.
_ROWS = 500

# What a line has, apart from its own row. The last parameter bounds the number of rows.
_PARTS = (
    "DELETE FROM gaps WHERE (session, first) IN (SELECT session, first FROM gaps"
    " WHERE session IN (SELECT session FROM sessions WHERE line = ?) LIMIT ?)",
    *(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE line = ? LIMIT ?)"  # noqa: S608
        for table, key in (
            ("sessions", "session"),
            ("labels", "session"),
            ("samples", "position"),
            ("explanations", "position"),
            ("snapshots", "rowid"),
            ("former_snapshots", "line"),
            ("asides", "aside"),
            ("events", "event"),
            ("standings", "line"),
        )
    ),
)

# Keeps the highest position of whatever is about to go, of an agent and its line.
_KEEP_POSITION = """
    INSERT INTO commands (agent_id, name, at_ns, position)
    SELECT '', 'position', :at_ns, ifnull(max(position), 0) FROM (
        SELECT max(position) AS position FROM samples
        UNION ALL SELECT max(position) FROM snapshots WHERE line = :line
        UNION ALL SELECT max(position) FROM former_snapshots WHERE line = :line
        UNION ALL SELECT max(position) FROM commands WHERE agent_id IN (:agent_id, '')
    )
"""


class Eraser:
    """Deletes lines. One thread at a time; all raise sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        # Whoever began may have died since.
        self._detached = [
            line
            for (line,) in connection.execute(
                "SELECT line FROM lines WHERE agent_id IS NULL AND peer = ?", (NOBODY,)
            )
        ]

    def forget(self, agent_id: str) -> int:
        """Have an agent's line be nobody's, to be erased by step(); its number, 0 for none.

        From now on the agent is a new one; no command for it is left.
        """
        with transaction(self._connection):
            row = self._connection.execute(
                "SELECT line FROM lines WHERE agent_id = ?", (agent_id,)
            ).fetchone()
            # Whoever follows the samples has a position, which nobody may be given again.
            self._connection.execute(
                _KEEP_POSITION,
                {
                    "at_ns": self._clock.time_ns(),
                    "line": row and row[0],
                    "agent_id": agent_id,
                },
            )
            self._connection.execute(
                "DELETE FROM commands WHERE agent_id = ? OR agent_id = '' AND command <"
                " (SELECT max(command) FROM commands)",
                (agent_id,),
            )
            if row is None:
                return 0
            line: int = row[0]
            self._connection.execute(
                "UPDATE lines SET agent_id = NULL, peer = ?, checksum = ? WHERE line = ?",
                (NOBODY, line_checksum(line, None), line),
            )
        self._detached.append(line)
        return line

    def step(self, most: int) -> bool:
        """Delete at most `most` rows of what is to be erased; whether there is more."""
        if not self._detached:
            return False
        room, erased = most, 0
        with transaction(self._connection):
            for line in self._detached:
                for part in _PARTS:
                    room -= self._connection.execute(part, (line, room)).rowcount
                if room <= 0:
                    break
                self._connection.execute("DELETE FROM lines WHERE line = ?", (line,))
                erased += 1
        del self._detached[:erased]
        return bool(self._detached)

    def finish(self) -> bool:
        """Delete all that is to be erased, in small steps; whether there was anything."""
        had_any = bool(self._detached)
        while self.step(_ROWS):
            pass
        return had_any

    def prune(self, line: int, up_to: int, room: int) -> int:
        """Delete at most `room` of a line's oldest samples; the number. Within a transaction.

        Less than `room`: none is left up to that position.
        """
        return len(self._oldest(line, up_to, room))

    def cut(self, line: int, agent_id: str | None, room: int) -> tuple[int, bool]:
        """The same, up to the newest and with all that rests upon them; whether none is left."""
        positions = self._oldest(line, sys.maxsize, room)
        is_empty = not self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM samples WHERE line = ?)", (line,)
        ).fetchone()[0]
        newest = positions[-1] if positions else 0
        self.void(line, agent_id, sys.maxsize if is_empty else newest, newest)
        if is_empty:
            for table in ("events", "standings"):
                self._connection.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608
        return len(positions), is_empty

    def delete(self, rows: Sequence[tuple[int, int]]) -> None:
        """Delete samples, by position and line, with what was said about them.

        Also the snapshots before them: nothing can be replayed on top of a state whose next
        samples are gone. Within a transaction.
        """
        positions = json.dumps([position for position, _ in rows])
        for table in ("samples", "explanations"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE position IN (SELECT value FROM json_each(?))",  # noqa: S608
                (positions,),
            )
        self._connection.executemany(
            "DELETE FROM snapshots WHERE line = ? AND position < ?",
            {line: position for position, line in rows}.items(),
        )

    def void(self, line: int, agent_id: str | None, end: int, cut_at: int) -> None:
        """Delete the snapshots before a position, and note where samples were cut off.

        Within a transaction.
        """
        for table in ("snapshots", "former_snapshots", "asides"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE line = ? AND position < ?",  # noqa: S608
                (line, end),
            )
        if agent_id is not None and cut_at:
            self._connection.execute(
                "DELETE FROM commands WHERE agent_id = ? AND name = ?", (agent_id, CUT)
            )
            self._connection.execute(
                "INSERT INTO commands (agent_id, name, at_ns, position) VALUES (?, ?, ?, ?)",
                (agent_id, CUT, self._clock.time_ns(), cut_at),
            )

    def _oldest(self, line: int, up_to: int, room: int) -> list[int]:
        positions = [
            position
            for (position,) in self._connection.execute(
                "SELECT position FROM samples WHERE line = ? AND position <= ?"
                " ORDER BY position LIMIT ?",
                (line, up_to, room),
            )
        ]
        self.delete([(position, line) for position in positions])
        return positions
