"""Whose turn it is at the store: the event loop's, or the recorder's thread's."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.recorder.sqlite.commits import Commits
from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.intake import Intake, Round
from broker.recorder.sqlite.pace import Pace
from quartet.clock import Clock

# A commit takes milliseconds, a slow card's housekeeping a second.
_STALL_S = 2.0


class Turns:
    """Who has the turn may use the store. A round is taken and settled within one turn.

    So no two commits are made at once, and none overtakes another, whoever makes them. The loop
    never waits for its turn: where it is not free, the thread gets the round.
    """

    def __init__(
        self, path: Path, condition: Condition, commits: Commits, pace: Pace, clock: Clock
    ) -> None:
        self._path = path
        self._condition = condition
        self._commits = commits
        self._pace = pace
        self._clock = clock
        self._turn = threading.Lock()
        self._since_s: float | None = None
        self.intake = Intake(self.on_loop)

    def on_loop(self) -> None:
        """Commit what the loop's callbacks have recorded, or have the thread do it. Loop only.

        Only where no flush is due, and commits were quick: a loop that stands still cannot stop.
        Nor beside a flush that stalls, or that does not keep up: the log would grow without bound.
        """
        if not (self._pace.is_quick and self._turn.acquire(blocking=False)):
            self.intake.call()
            return
        try:
            is_for_thread = not self._commit()
            is_due = not is_for_thread and self._condition.store.checkpoints.is_due()
        finally:
            self._turn.release()
        if is_for_thread:
            self.intake.call()
        elif is_due:
            # Behind the answers: the thread, once awake, may have the processor for a while.
            asyncio.get_running_loop().call_soon(self.intake.wake)

    @contextmanager
    def aside(self) -> Iterator[Round]:
        """Have the turn, and all that gathered, while entered. The recorder's thread only.

        Behind the last round there is no turn.
        """
        self._turn.acquire()
        work = self.intake.take()
        with self.timed():
            try:
                yield work
            finally:
                if not work.last:
                    self._turn.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the turn while entered, and take nothing. The recorder's thread only."""
        with self._turn, self.timed():
            yield

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Be seen to stall if it takes long. Without the turn. The recorder's thread only."""
        self._since_s = self._clock.monotonic()
        try:
            yield
        finally:
            self._since_s = None

    @property
    def are_on_loop(self) -> bool:
        """Whether the loop makes commits, as long as nothing is in its way. Any thread."""
        return self._pace.is_quick

    @property
    def stall(self) -> str:
        """Why nothing has been recorded for a while; empty while all is well. Any thread."""
        since_s = self._since_s
        if since_s is None or self._clock.monotonic() - since_s < _STALL_S:
            return ""
        return (
            f"{self._path}: no sample is recorded or answered at this moment: the disk does not"
            " answer, or another program has locked the store: look at 'dmesg' and 'fuser"
            f" {self._path}'"
        )

    def _commit(self) -> bool:
        """Commit the round, with the turn; whether the thread has nothing to do."""
        checkpoints = self._condition.store.checkpoints
        if self._condition.trouble or self.stall or not checkpoints.takes_commits():
            return False
        work = self.intake.take_small()
        if work is None:
            return False
        if work.loop is None:
            return True
        if not self._commits.commit_at_once(work.entries):
            self.intake.give_back(work)
            return False
        self._commits.release(work.entries)
        work.settle()
        return not self._condition.trouble
