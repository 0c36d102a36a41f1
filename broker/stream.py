"""One stream into a line: samples in, answers out once what they rest upon is recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Self

from broker.backlog import Backlog
from broker.line import Cursor, Line, raised
from broker.model import Answer, Code, Ending, Refusal, Sample
from broker.recorder import ANSWERS_AT_ONCE, Recorder
from broker.records import Batch, Claim, Event, EventKind, Opened
from broker.restore import Restorer
from broker.workers import Workers
from quartet.plural import counted
from wire.metadata import SUPERSEDED_BY

Turn = tuple[Batch, Refusal | None]


class Stream:
    """Entered while it lasts; loop only.

    A resent id gets its recorded answer. Without a header, every sample is answered anew, in
    the order of arrival.
    """

    def __init__(
        self,
        line: Line,
        claim: Claim,
        end: Callable[[Ending], None],
        *,
        recorder: Recorder,
        restorer: Restorer,
        workers: Workers,
        backlog: Backlog,
        opened: Opened | None = None,
    ) -> None:
        """`opened`: to be recorded with the first batch."""
        self.line = line
        self.peer = claim.peer
        self._claim = claim
        self._session = line.session(claim)
        self._cursor = Cursor(claim, self._session)
        self._end = end
        self._recorder = recorder
        self._restorer = restorer
        self._workers = workers
        self._backlog = backlog
        self._opened = opened
        self.ended: Event | None = None
        """Why it ends, to be recorded if its opening was; set before it is left."""
        self.took_over = False
        """Whether it has ended another one: then its own end is recorded in any case."""
        self._recorded: dict[int, Answer] = {}
        self._committed: Awaitable[None] | None = None
        self._is_working = False
        self._has_left = False

    def __enter__(self) -> Self:
        self.line.streams += 1
        self._session.streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        if self.line.live is self:
            self.line.live = None
        elif self.ended:  # whatever else ended it
            self.ended = Event(EventKind.SUPERSEDED, self.ended.text)
        self._has_left = True
        if not self._is_working:
            self._leave()

    def supersede(self, session_id: str) -> None:
        """Give the line up to a newer stream of this session."""
        self._end(superseded(session_id))

    def __str__(self) -> str:
        last_id = self._cursor.last_id
        return self.line.name + ("" if last_id is None else f", behind sample {last_id}")

    def tally(self) -> str:
        """What the line has seen so far, for the log."""
        line = self.line
        return ", ".join(
            (
                counted(line.received, "sample"),
                counted(line.duplicates, "duplicate"),
                counted(line.gaps, "gap"),
            )
        )

    async def room(self) -> None:
        """Wait until few enough samples of all streams wait for their records."""
        await self._backlog.room()

    async def answer(self, samples: Sequence[Sample]) -> tuple[list[Answer], Refusal | None]:
        """Answer samples in their order, one at least; the refusal of the next, if any.

        Returns when all that the answers rest upon is recorded. RecordError: it is not, none of
        them may leave, and the stream is over.
        """
        while samples:
            if not self._cursor.is_next(samples[0]):
                return await self._answer_again(samples)
            command = self._recorder.pending_rebase(self._claim)
            if not self.line.is_ready and command <= self.line.rebased_by:
                error = await self._restorer.restore(self.line)
                if error:
                    return await self._refuse(raised(samples[0].id, error))
            await self.line.turn.acquire()  # who is cut before that has begun nothing
            self._is_working = True
            batch, refusal = await self._workers.run(
                partial(self.line.answer, self._cursor, samples, command), self._settle, self
            )
            since_s = self._backlog.add(len(samples))
            try:
                if len(batch.answers) < len(samples):
                    await asyncio.sleep(0)  # the others come to their turn
                if self._committed:
                    await self._committed
                    return batch.answers, refusal
            finally:
                self._backlog.remove(len(samples), since_s)
        return [], None

    def _settle(self, turn: Turn | None) -> None:
        """Record what came of a turn, also where this stream was cut meanwhile."""
        self._is_working = False
        self.line.turn.release()
        self._committed = self._record(turn[0]) if turn and turn[0] else None
        if self._has_left:
            self._leave()

    def _leave(self) -> None:
        self.line.streams -= 1
        self._session.streams -= 1
        is_told = self._opened is None or self.took_over
        self._recorder.release(self._claim, self.ended if is_told else None)

    async def _answer_again(self, samples: Sequence[Sample]) -> tuple[list[Answer], Refusal | None]:
        """Give the leading samples that were sent before the answers that they got then."""
        first = samples[0]
        if refusal := self._cursor.objection(first):
            return await self._refuse(refusal)
        if first.id not in self._recorded:
            async with self.line.turn:  # so that what is at work now is handed over before
                found = await self._recorder.answers(self._claim, first.id, ANSWERS_AT_ONCE)
            self._recorded = {answer.id: answer for answer in found}
        answers: list[Answer] = []
        for sample in samples:
            answer = self._recorded.pop(sample.id, None)
            if answer is None or self._cursor.objection(sample):
                break
            answers.append(answer)
            self._cursor.last_id = sample.id
        await self._record(Batch(self._claim, duplicates=len(answers) or 1))
        if answers:
            return answers, None
        reason = "is not above the last id, and has no recorded answer"
        return [], Refusal(first.id, Code.OUT_OF_RANGE, reason)

    async def _refuse(self, refusal: Refusal) -> tuple[list[Answer], Refusal | None]:
        await self._record(Batch(self._claim, refused=1))
        return [], refusal

    def _record(self, batch: Batch) -> Awaitable[None]:
        batch.opened, self._opened = self._opened, None
        if self.line.events:
            batch.events = [*self.line.events, *batch.events]
            self.line.events = []
        self.line.add(batch)
        return self._recorder.record(batch)


def superseded(session_id: str) -> Ending:
    """How a stream ends when a newer one of this session has the line."""
    reason = "a newer stream of this agent id took over"
    return Ending(Code.ABORTED, reason, ((SUPERSEDED_BY, session_id),))
