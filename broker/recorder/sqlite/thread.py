"""The recorder's thread: commits, answers questions, prunes; each in its turn."""

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from broker.errors import RecordError
from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.events import Happened
from broker.recorder.sqlite.intake import Intake, Question, Released
from broker.recorder.sqlite.retention import STEP_ROWS
from broker.records import Batch
from quartet.clock import Clock
from quartet.foreign import shown
from quartet.outage import Outage

log = logging.getLogger(__name__)

# How long a person's command may wait, and what is too old, while nothing is recorded.
TICK_S = 1.0

# Ends of streams that wait for a commit: more than there are streams.
_MOST_ENDS = 65_536

_NO_SAMPLES = "%s: samples cannot be recorded, their streams are ended: %s"
_NO_ENDS = "%s: ends of streams cannot be recorded yet: %s"

# A commit takes milliseconds. A disk that takes so long at a stop is not waited for.
_JOIN_S = 5.0


class RecorderThread:
    """Has an open store for itself from start() until join() says so."""

    def __init__(
        self,
        path: Path,
        intake: Intake,
        condition: Condition,
        *,
        clock: Clock,
        tick_s: float = TICK_S,
    ) -> None:
        self._path = path
        self._intake = intake
        self._condition = condition
        self._plain_excess = False
        self._ends: deque[Happened] = deque(maxlen=_MOST_ENDS)
        self._clock = clock
        self._tick_s = tick_s
        self._recording = Outage(log, clock)
        self._noting = Outage(log, clock)
        self._reading = Outage(log, clock)
        self._pruning = Outage(log, clock)
        self._next_tick_s = clock.monotonic()
        # As a daemon: a disk that hangs does not keep the process.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.rebases: dict[str, int] = {}
        """Commands that wait, by agent id. Replaced as a whole: to be read by any thread."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> bool:
        """Wait for the end, which follows that of the intake; whether it came in time."""
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            log.error(
                "%s: the disk does not answer: samples that are not committed are lost", self._path
            )
        return not self._thread.is_alive()

    def _run(self) -> None:
        more, last = True, False
        while not last:
            work = self._intake.next_round(0 if more else self._tick_s)
            last = work.last
            self._condition.look()
            if work.batches:
                self._commit(work.entries)
                _call(work.loop, work.committed.set)
            else:
                self._ends += self._ended(work.released)
            for question in work.questions:
                self._answer(question)
                _call(work.loop, question.deliver)
            for released in work.released:
                self._release(released)
            more = self._keep_house(sum(len(batch.samples) for batch in work.batches))
        self._commit([])

    def _release(self, released: Released) -> None:
        store, claim = self._condition.store, released.claim
        line = store.tables.line(claim)
        store.census.released(claim, line)
        if claim.header is None:
            store.plain_lines.ended([line])

    def _ended(self, released: Sequence[Released]) -> list[Happened]:
        """How those streams of agents have ended whose end is to be recorded."""
        tables = self._condition.store.tables
        return [
            Happened(each.claim, tables.line(each.claim), each.at_ns, each.ended)
            for each in released
            if each.claim.header and each.ended
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

    def _commit(self, entries: Sequence[Batch | Released]) -> None:
        """Write what is due, with the streams that have ended."""
        due = self._due(entries)
        if not due:
            return
        kept = [each for each in due if isinstance(each, Batch)]
        store = self._condition.store
        try:
            self._condition.check()
            store.tables.write(due)
            self._condition.look()  # what was written to files that are gone is on no record
            self._condition.check()
        except Exception as error:  # whatever it is: streams wait to hear of it
            self._fail(kept, error)
            ends = (each for each in due if isinstance(each, Happened) and each.line)
            self._ends = deque(ends, _MOST_ENDS)
            return
        self._ends.clear()
        self._noting.ended("%s: ends of streams are recorded again", self._path)
        if kept:
            self._recording.ended("%s: samples are recorded again", self._path)
        for batch in kept:
            header = batch.claim.header
            store.census.added(store.tables.line(batch.claim), batch, store.tables.position)
            if header is None:
                store.plain_lines.streams(store.tables.line(batch.claim))
            elif batch.rebased_by >= self.rebases.get(header.agent_id, sys.maxsize):
                self.rebases = {k: v for k, v in self.rebases.items() if k != header.agent_id}

    def _fail(self, batches: Sequence[Batch], error: Exception) -> None:
        """Tell that something could not be written, and end the streams that wait for it."""
        if not (self._condition.met(error) or self._condition.trouble):
            outage = self._recording if batches else self._noting
            outage.failed(_NO_SAMPLES if batches else _NO_ENDS, self._path, error)
        why = self._condition.trouble or shown(error)
        for batch in batches:
            batch.claim.lease.fail(RecordError(f"the broker cannot record samples: {why}"))

    def _answer(self, question: Question[Any]) -> None:
        if trouble := self._condition.trouble:
            question.refuse(trouble)
            return
        error = question.put(self._condition.store.tables)
        if error is None:
            self._reading.ended("%s: records can be read again", self._path)
        elif self._condition.met(error):
            question.refuse(self._condition.trouble)
        else:
            self._reading.failed(
                "%s: records cannot be read, their streams are ended: %s", self._path, error
            )

    def _keep_house(self, added: int) -> bool:
        """Look for commands and for what is too much; whether there is more to do at once."""
        tick = self._clock.monotonic() >= self._next_tick_s
        if tick:
            self._next_tick_s = self._clock.monotonic() + self._tick_s
            self._condition.renew_lock()
        if self._condition.trouble:
            return False
        if tick:
            self._commit([])
        store = self._condition.store
        try:
            if tick:
                self._forget()
                self.rebases = store.tables.rebases()
            if tick or self._plain_excess:
                self._plain_excess = store.plain_lines.step(added)
            more = store.eraser.step(STEP_ROWS + added)
            more = more or store.retention.step(STEP_ROWS + added)
        except Exception as error:  # whatever it is: recording goes on
            if not self._condition.met(error):
                self._pruning.failed("%s: old samples cannot be deleted: %s", self._path, error)
            return False
        self._pruning.ended("%s: old samples are deleted again", self._path)
        return more or self._plain_excess

    def _forget(self) -> None:
        """Forget the agents that a person wants forgotten; step by step, the eraser's."""
        store = self._condition.store
        for agent_id in store.tables.forgets():
            store.tables.fail_lease(agent_id, f"'broker forget {agent_id}' deleted its records")
            store.census.removed(store.eraser.forget(agent_id))
            log.info("%s: forgotten by 'broker forget': its records are deleted", agent_id)


def _call(loop: asyncio.AbstractEventLoop | None, what: Callable[[], object]) -> None:
    """Have the loop call; one that is closed has nobody who waits."""
    if loop:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(what)
