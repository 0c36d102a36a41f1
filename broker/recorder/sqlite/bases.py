"""What the black box of a line is rebuilt from."""

import sqlite3

from broker.recorder.sqlite.aside import Asides, Away, StoredState
from broker.recorder.sqlite.history import History
from broker.recorder.sqlite.keeping import CUT
from broker.records import Basis
from quartet.database import transaction

# Replayed for a black box that is back, at the most: a day at 10 a second, which takes some 10 s.
_MOST_SINCE = 1_000_000


class Bases:
    """Looks for the state that a line goes on from. One thread at a time; raises sqlite3.Error."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        digest: str,
        history: History,
        asides: Asides,
        *,
        replay: int,
        most_since: int = _MOST_SINCE,
    ) -> None:
        """`replay`: samples of a line, from which a black box without a snapshot is rebuilt."""
        self._connection = connection
        self._digest = digest.encode()
        self._history = history
        self._asides = asides
        self._most_replayed = replay
        self._most_since = most_since

    def basis(self, line: int, name: str, newest: int) -> Basis:
        """The snapshot of this black box; else where a fresh one begins.

        A snapshot of another one is put aside, and nothing up to `newest`, the position of the
        newest sample of all, is restored from the history any more.
        """
        begun = self._begun(line)[0]
        state = self._history.told_state(line, begun, name)
        if state and state.digest == self._digest:
            return Basis(state.position, state.state)
        if state:
            with self._history, transaction(self._connection):
                self._asides.keep(line, state, self._answered(line, state.position))
                self._history.bar(line, newest)
        if away := self._asides.told(line, begun, name):
            return self._back(line, away)
        # Who died before the first answer has not told anybody yet.
        return self.fresh(line, outdated=state is not None or self._history.is_barred(line))

    def fresh(self, line: int, *, outdated: bool = False) -> Basis:
        """Where a black box begins that has no snapshot."""
        position, is_cut = self._replay(line)
        return Basis(position, outdated=outdated, is_cut=is_cut)

    def needed_from(self, line: int) -> int:
        """The position behind which samples are needed to rebuild a line's black box."""
        begun = self._begun(line)[0]
        state = self._history.state(line, begun)
        if state and state.digest == self._digest:
            return state.position
        away: Away | StoredState | None = self._asides.find(line, begun) or state
        return away.position if away else self._replay(line)[0]

    def _back(self, line: int, away: Away) -> Basis:
        """The state of a black box that is back, and the samples since that are on record."""
        count, before = self._connection.execute(
            "SELECT count(*), min(position) - 1 FROM (SELECT position FROM samples"
            " WHERE line = ? AND position > ? ORDER BY position DESC LIMIT ?)",
            (line, away.position, self._most_since),
        ).fetchone()
        missing = self._answered(line) - away.answered - count
        position = before if count == self._most_since else away.position
        return Basis(
            position,
            away.state,
            is_back=True,
            takes_over=self._takes_over(line),
            missing=max(0, missing),
        )

    def _takes_over(self, line: int) -> bool:
        """Whether another black box gave the line's newest answer."""
        row = self._connection.execute(
            "SELECT CAST(digest AS BLOB) FROM samples JOIN sessions USING (session)"
            " WHERE samples.line = ? ORDER BY position DESC LIMIT 1",
            (line,),
        ).fetchone()
        return row is not None and row[0] != self._digest

    def _answered(self, line: int, position: int | None = None) -> int:
        """How many samples of a line were answered, in all or up to a position."""
        (answered,) = self._connection.execute(
            "SELECT ifnull(sum(answered), 0) FROM sessions WHERE line = ?", (line,)
        ).fetchone()
        if position is None:
            return int(answered)
        (since,) = self._connection.execute(
            "SELECT count(*) FROM samples WHERE line = ? AND position > ?", (line, position)
        ).fetchone()
        return int(answered) - int(since)

    def _replay(self, line: int) -> tuple[int, bool]:
        """The position behind which a fresh black box begins, where there is no snapshot.

        Also whether samples that belong to it were deleted to make room.
        """
        begun, is_cut = self._begun(line)
        row = self._connection.execute(
            "SELECT position FROM samples WHERE line = ? ORDER BY position DESC LIMIT 1 OFFSET ?",
            (line, self._most_replayed),
        ).fetchone()
        if row and row[0] >= begun:
            return row[0], False
        return begun, is_cut

    def _begun(self, line: int) -> tuple[int, bool]:
        """The position behind which the line begins; whether what came before was cut off.

        Of a rebase the history says so in a row that verifies; a command alone, where that is
        pruned.
        """
        positions = dict(
            self._connection.execute(
                "SELECT name = ?, max(position) FROM lines JOIN commands USING (agent_id)"
                " WHERE line = ? AND position IS NOT NULL GROUP BY 1",
                (CUT, line),
            ).fetchall()
        )
        rebased = self._history.rebased(line) or positions.get(False, 0)
        cut = positions.get(True, 0)
        return max(rebased, cut), cut > 0 and cut >= rebased
