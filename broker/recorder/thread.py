"""The recorder's thread: commits, answers questions, prunes; each in its turn."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from broker.recorder import Batch
from broker.recorder.intake import Intake
from broker.recorder.plain import PlainLines
from broker.recorder.retention import STEP_ROWS, Retention
from broker.recorder.tables import Tables

log = logging.getLogger(__name__)

# How long a person's command may wait, and what is too old, while nothing is recorded.
_TICK_S = 1.0

# A commit takes milliseconds. A disk that takes so long at a stop is not waited for.
_JOIN_S = 5.0


class RecorderThread:
    """Has an open store for itself from start() until join() says so."""

    def __init__(
        self,
        path: Path,
        intake: Intake,
        tables: Tables,
        retention: Retention,
        plain_lines: PlainLines,
    ) -> None:
        self._path = path
        self._intake = intake
        self._tables = tables
        self._retention = retention
        self._plain_lines = plain_lines
        self._plain_excess = False
        self._recording = _Outage(f"{path}: samples cannot be recorded, their streams are ended")
        self._reading = _Outage(f"{path}: records cannot be read, their streams are ended")
        self._keeping = _Outage(f"{path}: old samples cannot be deleted")
        self._next_tick_s = time.monotonic()
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
            log.error("%s: the disk does not answer: what is not committed is lost", self._path)
        return not self._thread.is_alive()

    def _run(self) -> None:
        more, last = True, False
        while not last:
            work = self._intake.take(0 if more else _TICK_S)
            last = work.last
            if work.batches:
                self._commit(work.batches)
                _call(work.loop, work.committed.set)
            for question in work.questions:
                self._reading.note(question.put(self._tables))
                _call(work.loop, question.settle)
            self._plain_lines.ended(work.ended)
            more = self._keep_house(sum(len(batch.samples) for batch in work.batches))

    def _commit(self, batches: list[Batch]) -> None:
        """Write all that does not rest on something lost."""
        kept = [batch for batch in batches if not batch.origin.lease.failure]
        if not kept:
            return
        try:
            self._tables.write(kept)
        except Exception as error:  # whatever it is: streams wait to hear of it
            self._recording.note(error)
            for batch in kept:
                batch.origin.lease.failure = f"the broker cannot record samples: {error}"
            return
        self._recording.note(None)
        for batch in kept:
            header = batch.origin.header
            if header is None:
                self._plain_lines.streams(batch.origin.line)
            elif batch.rebase >= self.rebases.get(header.agent_id, sys.maxsize):
                self.rebases = {k: v for k, v in self.rebases.items() if k != header.agent_id}

    def _keep_house(self, added: int) -> bool:
        """Look for commands and for what is too much; whether there is more to do at once."""
        tick = time.monotonic() >= self._next_tick_s
        try:
            if tick:
                self._next_tick_s = time.monotonic() + _TICK_S
                self.rebases = self._tables.rebases()
            if tick or self._plain_excess:
                self._plain_excess = self._plain_lines.step(added)
            more = self._retention.step(STEP_ROWS + added)
        except Exception as error:  # whatever it is: recording goes on
            self._keeping.note(error)
            return False
        self._keeping.note(None)
        return more or self._plain_excess


class _Outage:
    """Says once that something fails, and when that is over."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since_s: float | None = None

    def note(self, error: Exception | None) -> None:
        """Take down how it went this time."""
        if error:
            log.log(logging.DEBUG if self._since_s else logging.ERROR, "%s: %s", self._what, error)
            self._since_s = self._since_s or time.monotonic()
        elif self._since_s:
            outage_s = time.monotonic() - self._since_s
            log.info("over after %.1f s: %s", outage_s, self._what)
            self._since_s = None


def _call(loop: asyncio.AbstractEventLoop | None, what: Callable[[], object]) -> None:
    """Have the loop call; one that is closed has nobody who waits."""
    if loop:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(what)
