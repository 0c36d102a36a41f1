"""Commits what gathered in a round, and says what became of it."""

import logging
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from broker.errors import RecordError
from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.events import Happened
from broker.recorder.sqlite.intake import Released
from broker.recorder.sqlite.pace import Pace
from broker.records import Batch
from quartet.clock import Clock
from quartet.foreign import shown
from quartet.outage import Outage

log = logging.getLogger(__name__)

# Ends of streams that wait for a commit: more than there are streams.
_MOST_ENDS = 65_536

Written = Sequence[tuple[int, Batch]]
"""Batches, with the numbers of their lines."""

_NO_SAMPLES = "%s: samples cannot be recorded, their streams are ended: %s"
_NO_ENDS = "%s: ends of streams cannot be recorded yet: %s"


class _FlushDueError(Exception):
    """The commit would flush."""


class Commits:
    """On the event loop or on the recorder's thread: with the turn at the store held."""

    def __init__(self, path: Path, condition: Condition, pace: Pace, clock: Clock) -> None:
        self._path = path
        self._condition = condition
        self._pace = pace
        self._clock = clock
        self._ends: deque[Happened] = deque(maxlen=_MOST_ENDS)
        self._recording = Outage(log, clock)
        self._noting = Outage(log, clock)
        self.added = 0
        """Samples that are committed."""
        self.rebases: dict[str, int] = {}
        """Commands that wait, by agent id. Replaced as a whole: to be read by any thread."""

    def commit(self, entries: Sequence[Batch | Released] = ()) -> None:
        """Write what is due. On the recorder's thread: waits for locks, and for the medium."""
        due = self._due(entries)
        if not due:
            return
        try:
            self._condition.check()
            written = self._write_aside(due)
            self._condition.look()  # what was written to files that are gone is on no record
            self._condition.check()
        except Exception as error:  # whatever it is: streams wait to hear of it
            self._failed(due, error)
        else:
            self._done(written)

    def commit_at_once(self, entries: Sequence[Batch | Released]) -> bool:
        """The same on the event loop. False: it would have to wait; nothing is done."""
        due = self._due(entries)
        try:
            self._condition.store.wait_for_locks(is_patient=False)
            written = self._write(due, begun=self._refuse_to_flush)
            self._pace.took(self._condition.store.tables.took_s)
            self._condition.glance()
            self._condition.check()
        except _FlushDueError:
            return False
        except Exception as error:  # whatever it is: streams wait to hear of it
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            self._failed(due, error)
        else:
            self._done(written)
        return True

    def release(self, entries: Sequence[Batch | Released]) -> None:
        """Let the lines go whose streams have ended."""
        store = self._condition.store
        for each in entries:
            if isinstance(each, Released):
                line = store.tables.line(each.claim)
                store.census.released(each.claim, line)
                if each.claim.header is None:
                    store.plain_lines.ended([line])

    def keep(self, entries: Sequence[Batch | Released]) -> None:
        """Have the ends of streams be written with the next commit."""
        self._ends += self._ended(entries)

    def _ended(self, entries: Sequence[Batch | Released]) -> list[Happened]:
        """How those streams of agents have ended whose end is to be recorded."""
        line = self._condition.store.tables.line
        return [
            Happened(each.claim, line(each.claim), each.at_ns, each.ended)
            for each in entries
            if isinstance(each, Released) and each.claim.header and each.ended
        ]

    def _due(self, entries: Sequence[Batch | Released]) -> list[Batch | Happened]:
        """What is to be written: all that does not rest on something lost."""
        due: list[Batch | Happened] = [*self._ends]
        for each in entries:
            if isinstance(each, Released):
                due += self._ended([each])
            elif each.claim.lease.is_good:
                due.append(each)
        return due

    def _write_aside(self, due: Sequence[Batch | Happened]) -> Written:
        """On the thread. The rest of its time it may have waited for the loop to let it work."""
        store = self._condition.store
        flushes = not store.checkpoints.unsaved()
        written = self._write(due)
        if not flushes:  # what the loop never does is no measure for it
            self._pace.took(store.tables.at_file_s)
        return written

    def _refuse_to_flush(self) -> None:
        """Of a log that is all saved, the commit begins it again, and flushes.

        It may have been saved up to its end just now, by a copy beside the loop's turn.
        """
        if not self._condition.store.checkpoints.unsaved():
            raise _FlushDueError

    def _write(
        self, due: Sequence[Batch | Happened], *, begun: Callable[[], None] | None = None
    ) -> Written:
        try:
            return self._condition.store.tables.write(due, begun=begun)
        except _FlushDueError:
            raise
        except Exception:
            self._pace.was_slow()
            raise

    def _done(self, written: Written) -> None:
        """Tell of it all who know lines."""
        store = self._condition.store
        self._ends.clear()
        self._noting.ended("%s: ends of streams are recorded again", self._path)
        if written:
            self._recording.ended("%s: samples are recorded again", self._path)
        position = store.tables.position
        for line, batch in written:
            self.added += len(batch.samples)
            store.census.added(line, batch, position)
            header = batch.claim.header
            if header is None:
                store.plain_lines.streams(line)
            elif batch.rebased_by:
                self._rebased(header.agent_id, batch.rebased_by)

    def _rebased(self, agent_id: str, command: int) -> None:
        if command >= self.rebases.get(agent_id, sys.maxsize):
            self.rebases = {k: v for k, v in self.rebases.items() if k != agent_id}

    def _failed(self, due: Sequence[Batch | Happened], error: Exception) -> None:
        """Tell that something could not be written, and end the streams that wait for it."""
        batches = [each for each in due if isinstance(each, Batch)]
        if not (self._condition.met(error) or self._condition.trouble):
            outage = self._recording if batches else self._noting
            outage.failed(_NO_SAMPLES if batches else _NO_ENDS, self._path, error)
        why = self._condition.trouble or shown(error)
        for batch in batches:
            batch.claim.lease.fail(RecordError(f"the broker cannot record samples: {why}"))
        ends = (each for each in due if isinstance(each, Happened) and each.line)
        self._ends = deque(ends, _MOST_ENDS)
