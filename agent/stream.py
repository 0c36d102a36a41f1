"""One gRPC stream: an evenly spaced run of samples of one session, and their answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import grpc

from agent import codec
from agent.model import Identity, Prediction, Sample
from agent.reach.calls import Call, Status, first_status, peers_status
from agent.reach.reasons import server_of
from agent.reason import Reason, Stage
from quartet.clock import Clock
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

# A sample's time is told by its id alone. One that is further off than half a
# period begins a run of its own; closer than this, a new stream is not worth it.
_MIN_TOLERANCE_NS = 50_000_000

# A connection that ends after it was silent for this long was idle: a proxy or a NAT on the way
# forgets those, and no sample is late by it. One that ends sooner is broken.
_IDLE_S = 1.0

Metadata = tuple[tuple[str, str | bytes], ...]


class Outbox(Protocol):
    """Where samples come from. Called on the loop only."""

    async def read(self, limit: int) -> list[Sample]:
        """Take the next 1 to `limit` samples; none when none will come any more."""
        ...

    def rewind(self) -> None:
        """Give every sample again that was taken and not settled."""
        ...

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample: answered, or given up as unanswerable."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream ended. In good order: all that was sent is answered, and we closed it."""

    code: grpc.StatusCode
    details: str
    in_good_order: bool = False
    refused: Sample | None = None
    """The unanswered sample that the broker named as its reason."""
    alone: bool = False
    """Only the first sample had been sent."""
    superseded_by: str | None = None
    server: str = ""
    """What names itself on the way."""
    reason: Reason | None = None
    """Why, where this side knows it best."""
    was_idle: bool = False
    """All that was sent was answered a while ago, and nothing more had come."""


class Stream:
    """Keeps a bounded window of unanswered samples on one call. Loop only.

    The first sample goes out alone: the window opens on its answer, so that a
    refusal is of that sample alone.
    `deliver` gets each prediction once, before its sample is settled. Once
    `is_stale`, the stream ends in good order, for one on another channel. `doubt` is asked at an
    empty first answer, which gRPC also makes of a web page: why it is no answer, if it is none.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Callable[[Prediction], None],
        is_stale: Callable[[], bool],
        window: int,
        reply_deadline_s: float,
        *,
        doubt: Callable[[], Awaitable[Reason | None]],
        clock: Clock = time,
    ) -> None:
        self._outbox = outbox
        self._doubt = doubt
        self._deliver = deliver
        self._is_stale = is_stale
        self._window = window
        self._reply_deadline_s = reply_deadline_s
        self._clock = clock
        self._in_flight: dict[int, tuple[Sample, int]] = {}  # by id; with the time of its send
        self._answered = asyncio.Event()
        self._alone = True
        self._closed = False
        self._progress_at_s = self._clock.monotonic()
        self.unknown_answers = 0

    async def run(
        self, identity: Identity, first: Sample, open_call: Callable[[Metadata], Call]
    ) -> Ending:
        """Stream from the first sample until the run, the samples or the connection end."""
        header = StreamHeader(
            identity.agent_id,
            first.session.id,
            first.id,
            first.sampled_at_ns,
            first.session.period_ns,
            is_rehearsal=identity.is_rehearsal,
            sensors=first.session.sensors,
        )
        call = open_call(header.to_metadata())
        status = first_status(call)
        tasks = {
            asyncio.create_task(self._send(call, first, header)),
            asyncio.create_task(self._receive(call, status)),
            asyncio.create_task(self._watch()),
        }
        try:
            pending = tasks
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if ending := task.result():
                        return ending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, call: Call, first: Sample, header: StreamHeader) -> None:
        try:
            await call.wait_for_connection()  # which has its own patience: an answer is due later
            await call.write(self._sent(first))
            await self._until_in_flight(0)
            self._alone = False
            read, write = self._outbox.read, call.write
            while samples := await read(self._window - len(self._in_flight)):
                if self._is_stale():
                    break
                for sample in samples:
                    if not _continues(header, sample):
                        return await self._close(call)
                    await write(self._sent(sample))
                # A full window empties to half, so that sends come in batches.
                if len(self._in_flight) >= self._window:
                    await self._until_in_flight(self._window // 2)
            await self._close(call)
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the call has ended: _receive tells how
        except asyncio.CancelledError:
            if not _ended_by_peer(call):
                raise

    def _sent(self, sample: Sample) -> bytes:
        """The message of a sample, which is in flight from now on."""
        now_ns = self._clock.monotonic_ns()
        if not self._in_flight:
            self._progress_at_s = now_ns / 1e9
        self._in_flight[sample.id] = sample, now_ns
        return codec.encode(sample)

    async def _until_in_flight(self, most: int) -> None:
        while len(self._in_flight) > most:
            self._answered.clear()
            await self._answered.wait()

    async def _close(self, call: Call) -> None:
        await self._until_in_flight(0)
        self._closed = True
        self._progress_at_s = self._clock.monotonic()
        await call.done_writing()

    async def _receive(self, call: Call, status: asyncio.Future[Status]) -> Ending:
        messages = aiter(call)  # which goes on after a failed write, unlike read()
        while (message := await _read(call, messages)) is not None:
            if self._alone and not message and (reason := await self._doubt()):
                return Ending(grpc.StatusCode.UNKNOWN, reason.text, reason=reason)
            try:
                answer = codec.decode(message)
            except ValueError as error:
                return Ending(grpc.StatusCode.DATA_LOSS, f"the broker sent {error}")
            sample, sent_at_ns = self._in_flight.pop(answer.id, (None, 0))
            if sample is None:
                self.unknown_answers += 1
                continue
            now_ns = self._clock.monotonic_ns()
            self._progress_at_s = now_ns / 1e9
            self._deliver(Prediction(sample, answer.prediction, now_ns - sent_at_ns))
            self._outbox.settle(sample, answered=True)
            self._answered.set()
        return self._ending(await peers_status(call, status))

    def _ending(self, status: Status) -> Ending:
        trailing = dict(status.metadata)
        refused, _ = self._in_flight.get(_as_id(trailing.get(REFUSED_ID)), (None, 0))
        superseded_by = trailing.get(SUPERSEDED_BY)
        return Ending(
            status.code,
            status.details or "the broker ended the stream",
            in_good_order=self._closed and status.code is grpc.StatusCode.OK,
            refused=refused,
            alone=self._alone,
            superseded_by=None if superseded_by is None else str(superseded_by),
            server=server_of(status.metadata),
            was_idle=not (self._in_flight or self._alone or self._closed)
            and self._clock.monotonic() - self._progress_at_s >= _IDLE_S,
        )

    async def _watch(self) -> Ending:
        """End the stream when nothing is answered for too long: the connection may be half open."""
        while True:
            left_s = self._progress_at_s + self._reply_deadline_s - self._clock.monotonic()
            if not (self._in_flight or self._closed):
                await asyncio.sleep(self._reply_deadline_s)
            elif left_s > 0:
                await asyncio.sleep(left_s)
            elif not self._in_flight:  # a peer that does not end its side: nothing is missing
                return Ending(grpc.StatusCode.OK, "", in_good_order=True)
            else:
                text = f"no answer for {self._reply_deadline_s:g} s to a sample that was sent"
                reason = Reason(Stage.SERVICE, text, "see the broker's log")
                return Ending(grpc.StatusCode.DEADLINE_EXCEEDED, text, reason=reason)


def _continues(header: StreamHeader, sample: Sample) -> bool:
    """Whether the sample belongs to the run: same session, and its time follows from its id."""
    if sample.session.id != header.session_id:
        return False
    if not header.sample_period_ns:
        return True
    off_ns = abs(sample.sampled_at_ns - header.sampled_at_ns(sample.id))
    return off_ns <= max(header.sample_period_ns // 2, _MIN_TOLERANCE_NS)


async def _read(call: Call, messages: AsyncIterator[bytes]) -> bytes | None:
    """The next message; None at the end of the call, however it ended."""
    try:
        return await anext(messages, None)
    except grpc.RpcError:
        return None
    except asyncio.CancelledError:
        if not _ended_by_peer(call):
            raise
        return None


def _ended_by_peer(call: Call) -> bool:
    """Whether a CancelledError is grpc.aio's way to tell a status CANCELLED, and not ours."""
    task = asyncio.current_task()
    return call.done() and task is not None and not task.cancelling()


def _as_id(text: str | bytes | None) -> int:
    """The id in a trailing `refused-id`; -1, which no sample has, where there is none."""
    try:
        return int(text or -1)
    except ValueError:
        return -1
