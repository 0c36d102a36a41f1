"""One stream into a line: its samples' order, and answers that wait for their records."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from broker.errors import (
    BrokerError,
    ExpiredError,
    ForgottenError,
    OutOfOrderError,
    RaisedError,
    RecordError,
    RefusalError,
    UnreadyError,
)
from broker.line import REMEMBERED_ANSWERS, Line, Session
from broker.model import Answer, Sample
from broker.recorder import Batch, Origin, Recorder
from broker.restore import Restorer

# What one stream may delay the others by, however slow its black box is.
_SLICE_S = 0.005


class Stream:
    """Entered while it lasts; loop only.

    Without a header, every sample is answered anew, in the order of arrival.
    """

    def __init__(
        self,
        line: Line,
        session: Session,
        origin: Origin,
        recorder: Recorder,
        restorer: Restorer | None,
    ) -> None:
        self.line = line
        self.peer = origin.peer
        self.superseded_by: str | None = None
        """The session id of the newer stream that took the line over."""
        self._session = session
        self._origin = origin
        self._recorder = recorder
        self._restorer = restorer
        self._last_id: int | None = None
        self._end: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self.line.streams += 1
        self._session.streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self.line.streams -= 1
        self._session.streams -= 1
        if self._origin.header is None:
            self._recorder.end(self._origin.line)
        self._give_up()

    def _give_up(self) -> None:
        """Be the line's live stream no longer."""
        if self.line.live is self:
            self.line.live = None

    def on_superseded(self, end: Callable[[], None]) -> None:
        """Have this called when a newer stream takes the line over."""
        self._end = end

    def supersede(self, session_id: str) -> None:
        """Give the line up to a newer stream of this session."""
        self.superseded_by = session_id
        self._end()

    def tally(self) -> str:
        """What the line has seen so far, for the log."""
        line = self.line
        return f"{line.received} samples, {line.duplicates} duplicates, {line.gaps} gaps"

    async def answer(self, samples: Sequence[Sample]) -> tuple[list[Answer], RefusalError | None]:
        """Answer samples in their order, up to the first that is refused; the refusal, if any.

        Fewer, but one at least, where an answer should not wait for those behind it. Returns
        when all that the answers rest upon is recorded. RecordError: it is not, none of them
        may leave, and the stream is over.
        """
        answers: list[Answer] = []
        refusal: RefusalError | None = None
        while refusal is None and not self._are_enough(answers, samples):
            obstacle = await self._turn(samples, answers)
            if isinstance(obstacle, RefusalError):
                refusal = obstacle
            if not obstacle and len(answers) < len(samples):
                await asyncio.sleep(0)
            if obstacle and refusal is None:
                refusal = await self._overcome(obstacle)
                batch = Batch(self._origin)
                _count(refusal, batch)
                await self._record(batch)
        return answers, refusal

    def _are_enough(self, answers: Sequence[Answer], samples: Sequence[Sample]) -> bool:
        """Whether to return with these."""
        return len(answers) == len(samples)

    async def _turn(self, samples: Sequence[Sample], answers: list[Answer]) -> BrokerError | None:
        """Add the answers of a slice, and return when they are recorded.

        What the next sample is stopped by, if any.
        """
        batch = Batch(self._origin)
        obstacle = self._advance(samples, answers, batch)
        await self._record(batch)
        return obstacle

    async def _record(self, batch: Batch) -> None:
        self.line.add(batch)
        if batch:
            await self._recorder.record(batch)

    def _advance(
        self, samples: Sequence[Sample], answers: list[Answer], batch: Batch
    ) -> BrokerError | None:
        """Answer as many samples as can be in a slice; what the next one is stopped by, if any."""
        first = len(answers)
        obstacle = self._fill(samples, answers, batch)
        batch.received = len(answers) - first
        _count(obstacle, batch)
        return obstacle

    def _fill(
        self, samples: Sequence[Sample], answers: list[Answer], batch: Batch
    ) -> BrokerError | None:
        header = self._origin.header
        first = len(answers)
        try:
            if header and (command := self._recorder.rebase(header.agent_id)):
                self.line.rebase(command, samples[first].id, batch)
            end_s = time.monotonic() + _SLICE_S
            for sample in samples[first:] if first else samples:
                answers.append(self._answer(sample, batch))
                if time.monotonic() > end_s:
                    break
        except (RefusalError, UnreadyError, ForgottenError) as obstacle:
            return obstacle
        return None

    async def _overcome(self, obstacle: BrokerError) -> RefusalError | None:
        """Fetch what is missing; the refusal, where that does not help."""
        match obstacle:
            case UnreadyError() if self._restorer:
                try:
                    await self._restorer.restore(self.line)
                except RecordError:
                    raise
                except (Exception, SystemExit) as error:
                    return RaisedError(obstacle.sample_id, error)
            case ForgottenError():
                return await self._look_up(obstacle.sample_id)
        return None

    async def _look_up(self, first_id: int) -> ExpiredError | None:
        """Take recorded answers into memory, as many as it holds."""
        session = self._session
        recorded = await self._recorder.answers(session.number, first_id, REMEMBERED_ANSWERS)
        async with self.line.turn:
            for answer in recorded:
                session.remember(answer)
        if not recorded or recorded[0].id != first_id:
            return ExpiredError(first_id)
        return None

    def _answer(self, sample: Sample, batch: Batch) -> Answer:
        header = self._origin.header
        if header is None:
            return self.line.predict(sample, batch)
        if self._last_id is None and sample.id != header.first_id:
            raise OutOfOrderError(
                sample.id, f"expected {header.first_id}, which first-id announced"
            )
        if self._last_id is not None and sample.id <= self._last_id:
            raise OutOfOrderError(sample.id, f"expected an id above {self._last_id}")
        answer = self.line.answer(self._session, sample, batch)
        self._last_id = sample.id
        return answer


def _count(obstacle: BrokerError | None, batch: Batch) -> None:
    """Count a refused sample, if there is one: one whose answer expired is a duplicate."""
    if isinstance(obstacle, RefusalError):
        batch.received += 1
        if isinstance(obstacle, ExpiredError):
            batch.duplicates += 1
        else:
            batch.refused += 1
