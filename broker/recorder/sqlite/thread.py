"""The recorder's thread: commits what the loop leaves to it, answers questions, prunes."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from broker.recorder.sqlite.commits import Commits
from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.intake import Question, Round
from broker.recorder.sqlite.retention import STEP_ROWS
from broker.recorder.sqlite.turns import Turns
from quartet.clock import Clock
from quartet.errors import DamagedError
from quartet.outage import Outage

log = logging.getLogger(__name__)

# How long a person's command may wait, and what is too old, while nothing is recorded.
TICK_S = 1.0

# A commit takes milliseconds. A disk that takes so long at a stop is not waited for.
_JOIN_S = 5.0


class RecorderThread:
    """Has its turns at an open store from start() until join() says so."""

    def __init__(
        self,
        path: Path,
        turns: Turns,
        condition: Condition,
        commits: Commits,
        *,
        clock: Clock,
        tick_s: float = TICK_S,
    ) -> None:
        self._path = path
        self._turns = turns
        self._condition = condition
        self._commits = commits
        self._plain_excess = False
        self._clock = clock
        self._tick_s = tick_s
        self._reading = Outage(log, clock)
        self._pruning = Outage(log, clock)
        self._saving = Outage(log, clock)
        self._next_tick_s = clock.monotonic()
        # As a daemon: a disk that hangs does not keep the process.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

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
            is_called = self._turns.intake.wait(0 if more else self._tick_s)
            if is_called or more or self._is_house_due():
                with self._turns.aside() as work:
                    self._work(work)
                    more, last = self._keep_house(), work.last
                    if last:
                        self._commits.commit()
            if not last:
                self._save()

    def _is_house_due(self) -> bool:
        """Whether it is time, or much has been added since."""
        return self._commits.added >= STEP_ROWS or self._clock.monotonic() >= self._next_tick_s

    def _work(self, work: Round) -> None:
        """Commit a round, and answer what was asked."""
        self._condition.look()
        entries = work.entries  # the loop drops them when they are settled
        if work.has_batches:
            self._commits.commit(entries)
            _call(work.loop, work.settle)
        else:
            self._commits.keep(entries)
        for question in work.questions:
            self._answer(question)
            _call(work.loop, question.deliver)
        self._commits.release(entries)

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

    def _keep_house(self) -> bool:
        """Look for commands and for what is too much; whether there is more to do at once."""
        tick = self._clock.monotonic() >= self._next_tick_s
        if tick:
            self._next_tick_s = self._clock.monotonic() + self._tick_s
            self._condition.renew_lock()
        if self._condition.trouble:
            return False
        if tick:
            self._commits.commit()
        added, self._commits.added = self._commits.added, 0
        store = self._condition.store
        try:
            if tick:
                self._forget()
                self._commits.rebases = store.tables.rebases()
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

    def _save(self) -> None:
        """Flush the log of commits, and shorten it where it is long; most of it beside commits."""
        checkpoints = self._condition.store.checkpoints
        # Where commits are made here, a small flush would be one more thing that they wait for.
        is_due = checkpoints.is_due if self._turns.are_on_loop else checkpoints.is_long
        if self._condition.trouble or not is_due():
            return
        # What came while this thread had the turn was left to it: the loop commits it beside.
        _call(self._turns.intake.waited_for(), self._turns.on_loop)
        try:
            with self._turns.timed():
                checkpoints.flush()
        except OSError as error:
            self._not_saved(error)
            return
        if self._condition.trouble or not checkpoints.is_long():  # as the loop may have seen
            return
        lost = self._copied()
        with self._turns.alone():
            self._checkpoint(lost)

    def _copied(self) -> DamagedError | None:
        """Save most of the log beside commits; what was lost in that."""
        try:
            with self._turns.timed():
                self._condition.store.checkpoints.copy()
        except DamagedError as error:
            return error
        except (sqlite3.Error, OSError) as error:  # fails with the turn again, where it is told
            log.debug("%s: a copy failed: %s", self._path, error)
        return None

    def _checkpoint(self, lost: DamagedError | None) -> None:
        if lost:
            self._condition.met(lost)
        if self._condition.trouble:  # also such as the loop has seen during the copy
            return
        try:
            self._condition.store.checkpoints.step()
        except Exception as error:  # whatever it is: recording goes on, into the log
            if not self._condition.met(error):
                self._not_saved(error)
        else:
            self._saving.ended("%s: its log of commits is brought into the file again", self._path)

    def _not_saved(self, error: Exception) -> None:
        self._saving.failed(
            "%s: its log of commits grows, and cannot be brought into the file: %s",
            *(self._path, error),
        )

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
