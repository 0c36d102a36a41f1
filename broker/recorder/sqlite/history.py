"""The states of black boxes, by line, as a history: the newest, and those kept for the past."""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from broker.recorder.sqlite.aside import Asides, StoredState
from broker.recorder.sqlite.checksums import (
    SNAPSHOT_COLUMNS,
    snapshot_checksum,
    snapshot_verifies,
)
from broker.records import Batch

log = logging.getLogger(__name__)

_HOUR_NS = 3600 * 10**9

_PREDICTION = attrgetter("prediction")

# Known without a look; of more the records are read again.
_MOST_LINES = 10_000


@dataclass(slots=True)
class _Newest:
    """What is known of a line without a look at its records."""

    position: int
    """Of its newest snapshot; 0: it has none."""
    arrived_at_ns: int
    is_kept: bool
    prediction: bool
    """The answer to its newest sample."""


class History:
    """Keeps of each line the newest snapshot, the last of each hour, and those before an alarm.

    An alarm begins where an answer is True, and the one before it was not. A row without a
    state bars what lies before it: that is kept to be looked at, and never restored. One thread
    at a time; each method raises sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, digest: str, asides: Asides) -> None:
        self._connection = connection
        self._digest = digest.encode()
        self._asides = asides
        self._lines: dict[int, _Newest] = {}

    def write(self, batch: Batch, line: int, position: int) -> None:
        """Add a batch of an agent, whose samples come behind a position. In a transaction."""
        if len(self._lines) > _MOST_LINES:
            self._lines.clear()
        newest = self._newest(line)
        answers, snapshot = batch.answers, batch.snapshot
        is_alarm = newest.prediction or any(map(_PREDICTION, answers))
        if not (is_alarm or snapshot or batch.rebased_by):  # as nearly always
            self._lines[line] = newest
            return
        if batch.rebased_by:
            newest = self._add(line, newest, position, None, batch.arrived_at_ns)
            self._asides.clear(line)
        seen = snapshot.after if snapshot else len(answers)
        alarms = _alarms(batch, newest.prediction)
        if alarms and alarms[0] < seen:
            self._keep(line, newest)
        if snapshot:
            at = position + snapshot.after
            newest = self._add(line, newest, at, snapshot.state, batch.arrived_at_ns)
            self._asides.drop(line)
            if alarms and alarms[-1] >= seen:
                self._keep(line, newest)
        if batch.rebased_by:
            newest.is_kept = newest.is_kept or newest.position == position
            self._connection.execute(
                "UPDATE snapshots SET is_kept = 2 WHERE line = ? AND position = ?", (line, position)
            )
        if answers:
            newest.prediction = answers[-1].prediction
        self._lines[line] = newest

    def __enter__(self) -> None:
        """To be entered around each transaction that writes to it."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Forget what is known of lines, where what was written is rolled back."""
        if kind:
            self._lines.clear()

    def bar(self, line: int, position: int) -> None:
        """Have nothing restored that is recorded up to a position. In a transaction."""
        newest = self._newest(line)
        self._lines[line] = self._add(line, newest, position, None, newest.arrived_at_ns)

    def is_barred(self, line: int) -> bool:
        """Whether nothing was answered since all that is recorded was barred."""
        (barred,) = self._connection.execute(
            "SELECT ifnull((SELECT state IS NULL AND is_kept != 2 AND NOT EXISTS ("
            "  SELECT 1 FROM samples WHERE line = ?1 AND samples.position > snapshots.position"
            " ) FROM snapshots WHERE line = ?1 ORDER BY position DESC LIMIT 1), 0)",
            (line,),
        ).fetchone()
        return bool(barred)

    def rebased(self, line: int) -> int:
        """The position behind which the line's latest rebase was applied; 0: it is not known."""
        row = self._connection.execute(
            "SELECT max(position) FROM snapshots WHERE line = ? AND is_kept = 2", (line,)
        ).fetchone()
        return row[0] or 0

    def state(self, line: int, since: int) -> StoredState | None:
        """The newest snapshot from a position on that verifies, whichever black box it is of."""
        return next(filter(None, self._states(line, since)), None)

    def told_state(self, line: int, since: int, name: str) -> StoredState | None:
        """The same; what does not verify is told."""
        bad = 0
        for each in self._states(line, since):
            if each is None:
                bad += 1
                continue
            if bad and each.digest == self._digest:
                log.error(
                    "%s: its newest snapshot is damaged: an earlier one is restored, and all"
                    " samples since then are replayed, so that predictions stay the same",
                    name,
                )
            return each
        if bad:
            log.error(
                "%s: its snapshots are damaged: its predictor starts again with its latest samples,"
                " and later predictions may differ until its next learning phase",
                name,
            )
        return None

    def _states(self, line: int, since: int) -> Iterator[StoredState | None]:
        """The newest first, up to a bar; None for one that does not verify."""
        rows = self._connection.execute(
            "SELECT position FROM snapshots WHERE line = ? AND position >= ?"
            " ORDER BY position DESC",
            (line, since),
        ).fetchall()
        for (position,) in rows:
            row = self._connection.execute(
                f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE line = ? AND position = ?",  # noqa: S608
                (line, position),
            ).fetchone()
            if row is None:  # the index says so, and the table does not
                continue
            if row[3] is None:
                return
            yield StoredState(*row[1:4]) if snapshot_verifies(row) else None
        former = self._connection.execute(
            "SELECT position, CAST(digest AS BLOB), CAST(state AS BLOB) FROM former_snapshots"
            " WHERE line = ? AND position >= ?",
            (line, since),
        ).fetchone()
        if former:
            yield StoredState(*former)

    def _newest(self, line: int) -> _Newest:
        if newest := self._lines.get(line):
            return newest
        snapshot = self._connection.execute(
            "SELECT position, arrived_at_ns, is_kept FROM snapshots WHERE line = ?"
            " ORDER BY position DESC LIMIT 1",
            (line,),
        ).fetchone()
        sample = self._connection.execute(
            "SELECT prediction FROM samples WHERE line = ? ORDER BY position DESC LIMIT 1", (line,)
        ).fetchone()
        position, arrived_at_ns, is_kept = snapshot or (0, 0, 1)
        return _Newest(position, arrived_at_ns, bool(is_kept), bool(sample and sample[0]))

    def _add(
        self, line: int, newest: _Newest, position: int, state: bytes | None, arrived_at_ns: int
    ) -> _Newest:
        """Write a snapshot, or a bar, in place of the newest one or behind it."""
        self._connection.execute("DELETE FROM former_snapshots WHERE line = ?", (line,))
        ends_hour = newest.arrived_at_ns // _HOUR_NS != arrived_at_ns // _HOUR_NS
        if ends_hour or state is None:
            self._keep(line, newest)
        if not newest.is_kept:
            self._connection.execute(
                "DELETE FROM snapshots WHERE line = ? AND position = ?", (line, newest.position)
            )
        checksum = snapshot_checksum(line, position, self._digest, state, arrived_at_ns)
        is_kept = state is None
        self._connection.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)",
            (line, position, self._digest.decode(), state, arrived_at_ns, is_kept, checksum),
        )
        return _Newest(position, arrived_at_ns, is_kept, newest.prediction)

    def _keep(self, line: int, newest: _Newest) -> None:
        if not newest.is_kept:
            newest.is_kept = True
            self._connection.execute(
                "UPDATE snapshots SET is_kept = 1 WHERE line = ? AND position = ?",
                (line, newest.position),
            )


def _alarms(batch: Batch, before: bool) -> list[int]:
    """How many samples of the batch come before each of its alarms; `before`: the last answer."""
    alarms = []
    for number, answer in enumerate(batch.answers):
        if answer.prediction and not before:
            alarms.append(number)
        before = answer.prediction
    return alarms
