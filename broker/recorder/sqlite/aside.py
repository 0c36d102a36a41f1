"""States of black boxes that answer a line no more, kept for their return."""

import logging
import sqlite3
from typing import NamedTuple

from broker.recorder.sqlite.checksums import ASIDE_COLUMNS, snapshot_checksum, snapshot_verifies

log = logging.getLogger(__name__)

MOST = 3
"""Of one line, beside that of the present black box. Who tries options, or an upgrade and its
rollback, comes back to one of the latest."""

_BOUND = """
    DELETE FROM asides WHERE line = ?1 AND digest != ?2 AND aside NOT IN (
        SELECT aside FROM asides WHERE line = ?1 AND digest != ?2
        ORDER BY position DESC, aside DESC LIMIT ?3
    )
"""


class StoredState(NamedTuple):
    """What a black box was like after a sample."""

    position: int
    """Of that sample."""
    digest: bytes
    """Of the black box."""
    state: bytes


class Away(NamedTuple):
    """A state of this black box, from before another one took its place."""

    position: int
    state: bytes
    answered: int
    """How many samples of the line had an answer up to there."""


class Asides:
    """One state of each other black box of a line, the newest. One thread; raises sqlite3.Error.

    No sample is kept for them: what was deleted meanwhile is told when one is back.
    """

    def __init__(self, connection: sqlite3.Connection, digest: str) -> None:
        self._connection = connection
        self._digest = digest.encode()

    def keep(self, line: int, state: StoredState, answered: int) -> None:
        """Put the state of another black box aside. In a transaction."""
        self._put(line, state.position, state.digest, state.state, answered)
        self._connection.execute(_BOUND, (line, self._digest.decode(), MOST))

    def discount(self, line: int, answered: int) -> None:
        """No longer count the answers of sessions that are forgotten. In a transaction."""
        rows = self._connection.execute(
            f"SELECT {ASIDE_COLUMNS} FROM asides WHERE line = ?",  # noqa: S608
            (line,),
        )
        for row in filter(snapshot_verifies, rows.fetchall()):
            _, position, digest, state, before, _ = row
            self._put(line, position, digest, state, before - answered)

    def _put(self, line: int, position: int, digest: bytes, state: bytes, answered: int) -> None:
        name = digest.decode(errors="replace")
        checksum = snapshot_checksum(line, position, digest, state, answered)
        self._connection.execute("DELETE FROM asides WHERE line = ? AND digest = ?", (line, name))
        self._connection.execute(
            "INSERT INTO asides (line, position, digest, state, answered, checksum)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (line, position, name, state, answered, checksum),
        )

    def find(self, line: int, since: int) -> Away | None:
        """The state of this black box, from a position on; one that does not verify is none."""
        rows = self._connection.execute(
            f"SELECT {ASIDE_COLUMNS} FROM asides WHERE line = ? AND position >= ?"  # noqa: S608
            " ORDER BY position DESC",
            (line, since),
        )
        for row in rows:
            if snapshot_verifies(row) and row[2] == self._digest:
                return Away(row[1], row[3], row[4])
        return None

    def told(self, line: int, since: int, name: str) -> Away | None:
        """The same; that there is one which does not verify is told."""
        away = self.find(line, since)
        if (
            away is None
            and self._connection.execute(
                "SELECT 1 FROM asides WHERE line = ? AND digest = ?", (line, self._digest.decode())
            ).fetchone()
        ):
            log.error(
                "%s: its predictor is back, and its snapshot is damaged: it starts again with its"
                " latest samples, and later predictions may differ until its next learning phase",
                name,
            )
        return away

    def drop(self, line: int) -> None:
        """Delete the state of this black box, which has told a newer one."""
        self._connection.execute(
            "DELETE FROM asides WHERE line = ? AND digest = ?", (line, self._digest.decode())
        )

    def clear(self, line: int) -> None:
        """Delete all states of a line, which begins again."""
        self._connection.execute("DELETE FROM asides WHERE line = ?", (line,))
