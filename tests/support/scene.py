"""A broker with one call that a test has in some phase: a service, its recorder, its doors."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from enum import Enum
from typing import Any, Protocol

from support.chain import Chain
from support.clock import ManualClock

from broker.access import Access
from broker.config import LimitsSettings
from broker.errors import RecordError
from broker.lines import Lines
from broker.model import Ending, Sample
from broker.predictors import BlackBox
from broker.recorder.memory import Memory, MemoryRecorder
from broker.records import Batch, Claim, Event, Lease
from broker.service import Service
from broker.transport.memory import MemoryCall, Metadata
from quartet.certificates import Certificate
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

AGENT = "press-1"
RAISES_AT = 13.0
"""The value of a sensor at which the black box raises."""


class Phase(Enum):
    """Where a call is when the reason comes, and the ids that it has received until then."""

    ADMISSION = "before admission", (0,)
    OPENING = "while the line opens", (0,)
    FIRST = "before the first sample", ()
    BETWEEN = "between samples", (0,)
    COMMIT = "in a commit", (0,)
    WRITING = "while answers are written", (0, 1, 2)

    @property
    def received(self) -> tuple[int, ...]:
        """The ids of what was received."""
        return self.value[1]

    @property
    def next_id(self) -> int:
        """The id that the next sample should have."""
        return len(self.received)


class Touchy(Chain):
    """A black box that raises at one sample."""

    def predict(self, sample: Sample) -> bool:
        if RAISES_AT in sample.values:
            raise ArithmeticError("cannot")
        return super().predict(sample)


class Trust:
    """What is known of certificates, as a test says."""

    reason = ""

    def objection(self, _: Certificate) -> str:
        return self.reason


class Gate(MemoryRecorder):
    """A recorder whose claims or commits wait at a gate, and fail when a test says so."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.closed_at: str | None = None
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.defect: Exception | None = None
        self.claim_error: RecordError | None = None
        self.recorded = 0
        self._claims: set[Claim] = set()

    @property
    def claims(self) -> int:
        """How many claims are not released."""
        return len(self._claims)

    def fail_commits(self) -> None:
        """Have the leases of all open streams fail, as a failed commit does."""
        error = RecordError("the broker cannot record samples: disk full")
        for line in self._memory._lines.values():  # noqa: SLF001 - as its own backend would
            line.lease.fail(error)
            line.lease = Lease(line.lease.token + 1)

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        if self.closed_at == "claim":
            await self._pass()
        if self.defect or self.claim_error:
            raise self.defect or self.claim_error  # type: ignore[misc]
        claim = await super().claim(header, peer)
        self._claims.add(claim)
        return claim

    def record(self, batch: Batch) -> Awaitable[None]:  # type: ignore[override] # it waits
        kept = super().record(batch)
        self.recorded += len(batch.answers)
        return _Kept(lambda: self._record(kept))

    def release(self, claim: Claim, ended: Event | None = None) -> None:
        super().release(claim, ended)
        self._claims.remove(claim)

    async def _record(self, kept: Awaitable[None]) -> None:
        if self.closed_at == "commit":
            await self._pass()
        if self.defect:
            raise self.defect
        await kept

    async def _pass(self) -> None:
        self.reached.set()
        await self.opened.wait()


class _Kept:
    """What record() gives: it need not be awaited."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._wait().__await__()


class Caller(Protocol):
    """The peer's end of a call, whatever carries it."""

    async def send(self, *messages: bytes) -> None: ...

    async def done_sending(self) -> None: ...

    async def receive(self) -> list[bytes]: ...

    async def ending(self) -> Ending: ...

    def vanish(self) -> None: ...

    def lose(self) -> None: ...


class Scene:
    """A broker with one call in some phase, and what reasons are made of."""

    def __init__(self, *, first_sample_s: float = 60.0, streams: int = 1024) -> None:
        self.clock = ManualClock()
        self.trust = Trust()
        self.memory = Memory()
        self.recorder = Gate(self.memory)
        limits = LimitsSettings(streams=streams)
        self.access = Access(None, limits, self.trust, self.clock)
        self.lines = Lines(BlackBox(Touchy, ""), self.recorder)
        self.service = Service(self.lines, self.access, first_sample_s=first_sample_s)
        self.phase = Phase.ADMISSION
        self.call: Caller
        self.others: list[Caller] = []
        self.open_call: Callable[[Metadata], Caller]
        self.stop_transport: Callable[[float], Awaitable[None]]

    @property
    def has_unread(self) -> bool:
        """Whether a message has arrived that its handler has not read."""
        calls: Any = self.service._calls  # noqa: SLF001 - nobody else knows
        return any(
            call._requests.size if isinstance(call, MemoryCall) else not call._unframer.is_empty  # noqa: SLF001
            for call in calls
        )

    @property
    def is_left(self) -> bool:
        """Whether nothing holds a call, a stream, a claim or a line any more."""
        lines = self.lines._lines.values()  # noqa: SLF001 - as above
        return not (
            self.service._calls  # noqa: SLF001
            or self.access.streams
            or self.recorder.claims
            or any(line.streams or line.live for line in lines)
        )

    async def send_next(self) -> None:
        """The peer sends the sample that comes next."""
        await self.call.send(request(self.phase.next_id))


def request(id_: int, value: float = 0.0) -> bytes:
    return BrokerRequest(id=id_, sensor1=value).SerializeToString()


def header(session: int = 0, first_id: int = 0) -> StreamHeader:
    return StreamHeader(AGENT, f"{session:032x}", first_id, 1, 1)
