"""The durable recorder: an SQLite file, which the event loop and one thread use in turn."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.sqlite.commits import Commits
from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.intake import Commit, Question, Released
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.opened import Opened
from broker.recorder.sqlite.pace import QUICK_S, Pace
from broker.recorder.sqlite.schema import damage_told
from broker.recorder.sqlite.signature import Signature
from broker.recorder.sqlite.tables import Tables
from broker.recorder.sqlite.thread import TICK_S, RecorderThread
from broker.recorder.sqlite.turns import Turns
from broker.records import Basis, Batch, Claim, Event, Lease
from quartet.clock import Clock
from wire.metadata import StreamHeader

Result = TypeVar("Result")


class SqliteRecorder:
    """A Recorder in a file. Entered by its owner; everything else is the loop's.

    Each commit takes all that one turn of the loop brought, or what gathered during the commit
    before: nothing is delayed when there is little to do, and little is spent when there is
    much. Streams wait for their commit before they read on, and for room in the backlog of all.
    The file has one owner, so that a lease fails by a failed commit alone.
    """

    def __init__(
        self,
        path: Path,
        digest: str,
        keeping: Keeping,
        clock: Clock = time,
        *,
        tick_s: float = TICK_S,
        quick_s: float = QUICK_S,
    ) -> None:
        """`quick_s`: while commits take less, they are made on the loop; not those of "full"."""
        self._path = path
        self._digest = digest
        self._keeping = keeping
        self._clock = clock
        self._tick_s = tick_s
        self._pace = Pace(clock, 0.0 if keeping.synchronous == "full" else quick_s)

    def __enter__(self) -> Self:
        """Take the file, and begin. StoreError where it cannot be used."""
        with ExitStack() as undo:
            self._hold = Hold(self._path)
            undo.callback(self._hold.close)
            self._signature = Signature(self._path, self._hold)
            with damage_told(self._path):
                self._signature.check()
            self._condition = Condition(self._path, self._hold, self._open, self._clock)
            undo.pop_all()
        clock, pace = self._clock, self._pace
        self._commits = Commits(self._path, self._condition, pace, clock)
        self._turns = Turns(self._path, self._condition, self._commits, pace, clock)
        self._intake = self._turns.intake
        self._thread = RecorderThread(
            *(self._path, self._turns, self._condition, self._commits),
            clock=clock,
            tick_s=self._tick_s,
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit what gathered, and let the file go."""
        self._intake.close()
        if self._thread.join():
            self._condition.close()
            if not self._condition.trouble:
                self._signature.end()
            self._hold.close()

    def _open(self) -> Opened:
        return Opened(
            self._path, self._hold, self._signature, self._digest, self._keeping, self._clock
        )

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded: damage, files that are gone, or a stall. Any thread."""
        return self._condition.trouble or self._turns.stall

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        """Take hold of a stream's line. Raises RecordError."""
        if header is None:
            return Claim(None, peer, Lease(token=1), None, has_records=False, keeps_state=False)
        return await self._ask(lambda tables: self._claim(tables, header, peer))

    def record(self, batch: Batch) -> Commit:
        """Take a batch over; awaited, it returns when the batch is committed."""
        batch.arrived_at_ns = self._clock.time_ns()
        lease = batch.claim.lease
        try:
            return self._intake.record(batch)
        except RecordError as error:
            lease.fail(error)
            return Commit(lease, None)

    async def answers(self, claim: Claim, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers to `count` ids from `first_id` on. Raises RecordError."""
        answers = await self._ask(lambda tables: tables.answers(claim, first_id, count))
        claim.lease.check()
        return answers

    async def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from. Raises RecordError."""
        return await self._ask(lambda tables: tables.basis(agent_id, with_snapshot=with_snapshot))

    async def samples(self, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples behind a position, with theirs. Raises RecordError."""
        return await self._ask(lambda tables: tables.samples(agent_id, after))

    def pending_rebase(self, claim: Claim) -> int:
        """The newest rebase command that is not applied yet, or 0."""
        return self._commits.rebases.get(claim.header.agent_id, 0) if claim.header else 0

    def release(self, claim: Claim, ended: Event | None = None) -> None:
        """A stream has ended: its line may go from now on, where there is too much.

        How it ended goes into the next commit, and waits for one for a second at the most.
        """
        self._intake.release(Released(claim, self._clock.time_ns(), ended))

    def _claim(self, tables: Tables, header: StreamHeader, peer: str) -> Claim:
        return self._condition.store.census.claimed(tables.claim(header, peer))

    async def _ask(self, ask: Callable[[Tables], Result]) -> Result:
        question = Question(ask)
        self._intake.ask(question)
        return await question.answer
