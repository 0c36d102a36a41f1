"""Counts and times what the broker does, from outside: only where somebody wants metrics.

Each class stands in the place of what it wraps, so that nothing is measured without metrics.
"""

import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from broker.errors import RecordError, TakenError
from broker.model import Answer, Ending, Refusal, Sample
from broker.recorder import Recorder
from broker.records import Basis, Batch, Claim, Event, Lease
from broker.transport import Call, Handler, Room
from broker.workers import Workers
from quartet.clock import Clock
from quartet.metrics.text import Histogram
from wire.metadata import StreamHeader

Result = TypeVar("Result")


class Meter:
    """What was counted since the start. Loop only."""

    def __init__(self, clock: Clock = time) -> None:
        self.clock = clock
        self.answered = 0
        """Samples that the predictor has answered."""
        self.duplicates = 0
        self.refused = 0
        self.gap_ids = 0
        self.commit_failures = 0
        self.has_failed = False
        """Whether the latest commit was a failure."""
        self.answer_s = Histogram()
        self.predict_s = Histogram()
        self.commit_s = Histogram()
        self.heard_at_ns: WeakKeyDictionary[Lease, int] = WeakKeyDictionary()
        """When the newest sample of a line arrived, in Unix ns, by its lease."""

    def timed(self, handler: Handler) -> Handler:
        """The handler of streams, with its answers timed."""
        return lambda call: handler(_TimedCall(call, self))

    def recorded(self, batch: Batch) -> None:
        """Count what a stream adds to its line."""
        self.answered += len(batch.answers)
        self.duplicates += batch.duplicates
        self.refused += batch.refused
        for first, last in batch.gaps:
            self.gap_ids += last - first + 1
        if batch.answers and batch.claim.header:
            self.heard_at_ns[batch.claim.lease] = self.clock.time_ns()

    def committed(self, took_s: float) -> None:
        """Count a batch that is recorded."""
        self.commit_s.observe(took_s)
        self.has_failed = False

    def failed(self) -> None:
        """Count a batch that is lost."""
        self.commit_failures += 1
        self.has_failed = True


class MeteredRecorder:
    """A Recorder whose batches are counted, and their commits timed."""

    def __init__(self, recorder: Recorder, meter: Meter) -> None:
        self._recorder = recorder
        self._meter = meter

    @property
    def trouble(self) -> str:
        """As the recorder has it."""
        return self._recorder.trouble

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        """Take hold of a stream's line."""
        return await self._recorder.claim(header, peer)

    def record(self, batch: Batch) -> Awaitable[None]:
        """Take a batch over, and count it."""
        began_s = self._meter.clock.monotonic()
        commit = self._recorder.record(batch)
        self._meter.recorded(batch)
        return _TimedCommit(commit, began_s, self._meter)

    async def answers(self, claim: Claim, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers."""
        return await self._recorder.answers(claim, first_id, count)

    async def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """What a line's predictor is rebuilt from."""
        return await self._recorder.basis(agent_id, with_snapshot=with_snapshot)

    async def samples(self, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples behind a position."""
        return await self._recorder.samples(agent_id, after)

    def pending_rebase(self, claim: Claim) -> int:
        """The newest command that is not applied yet."""
        return self._recorder.pending_rebase(claim)

    def release(self, claim: Claim, ended: Event | None = None) -> None:
        """The stream has ended."""
        self._recorder.release(claim, ended)


class _TimedCommit:
    """A commit, timed up to the moment at which the stream that waits for it may continue."""

    __slots__ = ("_began_s", "_commit", "_meter")

    def __init__(self, commit: Awaitable[None], began_s: float, meter: Meter) -> None:
        self._commit = commit
        self._began_s = began_s
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield from self._commit.__await__()
        except TakenError:  # another broker has the line: no failure
            raise
        except RecordError:
            self._meter.failed()
            raise
        self._meter.committed(self._meter.clock.monotonic() - self._began_s)


class MeteredWorkers:
    """Workers whose turns are timed: the time of a turn, in equal parts for its samples."""

    def __init__(self, workers: Workers, meter: Meter) -> None:
        self._workers = workers
        self._meter = meter

    async def run(
        self, call: Callable[[], Result], settle: Callable[[Result | None], None], whose: object
    ) -> Result:
        """Make a call that a stream waits for."""
        monotonic = self._meter.clock.monotonic
        took_s = 0.0

        def timed() -> Result:
            nonlocal took_s
            began_s = monotonic()
            result = call()
            took_s = monotonic() - began_s
            return result

        def settled(result: Result | None) -> None:
            if count := _answered(result):
                self._meter.predict_s.observe(took_s / count, count)
            settle(result)

        return await self._workers.run(timed, settled, whose)

    async def run_aside(self, call: Callable[[], Result]) -> Result:
        """Make a call for which streams should not have to wait."""
        return await self._workers.run_aside(call)


def _answered(turn: object) -> int:
    """The number of samples that a turn of a line has answered."""
    match turn:
        case (Batch() as batch, Refusal() | None):
            return len(batch.answers)
    return 0


class _TimedCall:
    """A Call whose answers are timed, from the moment at which their samples were read."""

    def __init__(self, call: Call, meter: Meter) -> None:
        self._call = call
        self._meter = meter
        self._read_at_s = 0.0
        self.method = call.method
        self.peer = call.peer
        self.metadata = call.metadata
        self.certificate = call.certificate

    async def read(self, room: Room | None = None) -> Sequence[bytes]:
        """All messages that have arrived."""
        monotonic = self._meter.clock.monotonic

        async def noted() -> None:
            self._read_at_s = monotonic()
            if room:
                await room()

        return await self._call.read(noted)

    async def write(self, messages: Sequence[bytes]) -> None:
        """Send answers."""
        took_s = self._meter.clock.monotonic() - self._read_at_s
        await self._call.write(messages)
        self._meter.answer_s.observe(took_s, len(messages))

    def end(self, ending: Ending) -> None:
        """End the call."""
        self._call.end(ending)
