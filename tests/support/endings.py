"""Everything that can end a call of the stream, and every phase that a call can be in then.

A reason that is new belongs into REASONS; docs/development/architecture.md has the same list.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from support.chain import Chain
from support.clock import ManualClock

from broker.access import Access
from broker.config import LimitsSettings
from broker.errors import RecordError
from broker.lines import Lines
from broker.model import Code, Ending, Sample
from broker.predictors import BlackBox
from broker.recorder.memory import Memory, MemoryRecorder
from broker.records import Batch, Claim, Lease
from broker.service import Service
from broker.transport.memory import Metadata
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

    def release(self, claim: Claim) -> None:
        super().release(claim)
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

    @property
    def has_unread(self) -> bool:
        """Whether a message has arrived that its handler has not read."""
        calls: Any = self.service._calls  # noqa: SLF001 - nobody else knows
        inboxes = [getattr(call, "_inbox", None) or call._requests for call in calls]  # noqa: SLF001
        return any(inbox.size for inbox in inboxes)

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


Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Reason:
    """One thing that can end a call."""

    name: str
    act: Act
    code: Code
    trailing: Callable[[Phase], tuple[tuple[str, str], ...]] = lambda _: ()
    impossible: dict[Phase, str] = field(default_factory=dict)
    answered: dict[Phase, tuple[int, ...]] = field(default_factory=dict)
    """Where other ids are answered than those that were received."""
    is_defect: bool = False
    """Whether its traceback is logged: that of the user's code, or of a mistake of ours."""
    is_heard: bool = True
    """Whether the peer is there to hear it."""


def _but(why: str, *possible: Phase) -> dict[Phase, str]:
    return {phase: why for phase in Phase if phase not in possible}


async def _delist(scene: Scene) -> None:
    scene.access.admit_only({"press-9"})


async def _revoke(scene: Scene) -> None:
    scene.trust.reason = f"the certificate of {AGENT} is revoked"
    scene.access.sweep()


async def _expire(scene: Scene) -> None:
    scene.trust.reason = f"the certificate of {AGENT} has expired"
    scene.access.sweep()


async def _stop(scene: Scene) -> None:
    scene.service.stop()


async def _supersede(scene: Scene) -> None:
    scene.others.append(scene.open_call(header(session=9).to_metadata()))


async def _half_close(scene: Scene) -> None:
    await scene.call.done_sending()


async def _vanish(scene: Scene) -> None:
    scene.call.vanish()


async def _lose(scene: Scene) -> None:
    scene.call.lose()
    if scene.phase in (Phase.FIRST, Phase.BETWEEN):
        await scene.send_next()


async def _wait_for_first_sample(_: Scene) -> None:
    pass


async def _send_bad_id(scene: Scene) -> None:
    await scene.call.send(request(_bad_id(scene.phase)))


def _bad_id(phase: Phase) -> int:
    """Not the first id, or one that was sent."""
    return 1 if phase is Phase.FIRST else 0


async def _send_garbage(scene: Scene) -> None:
    await scene.call.send(b"\xff\xff")


async def _send_what_raises(scene: Scene) -> None:
    await scene.call.send(request(scene.phase.next_id, RAISES_AT))


async def _fail_commit(scene: Scene) -> None:
    scene.recorder.fail_commits()
    if scene.phase is not Phase.COMMIT:
        await scene.send_next()


async def _take(scene: Scene, session: int) -> None:
    other = MemoryRecorder(scene.memory)
    claim = await other.claim(header(session, 1), "2.2.2.2:2")
    other.release(claim)
    if scene.phase is not Phase.COMMIT:
        await scene.send_next()


async def _take_same(scene: Scene) -> None:
    await _take(scene, 0)


async def _take_other(scene: Scene) -> None:
    await _take(scene, 3)


async def _refuse_claim(scene: Scene) -> None:
    scene.recorder.claim_error = RecordError("the broker cannot read its records: torn")


async def _crowd(scene: Scene) -> None:
    """The limit is one, and another call has it."""


async def _break_header(_: Scene) -> None:
    """The call was opened with half a header."""


async def _cut(scene: Scene) -> None:
    await _delist(scene)
    scene.clock.advance(5.0)
    scene.access.sweep()


async def _break_down(scene: Scene) -> None:
    scene.recorder.defect = LookupError("a mistake of ours")
    if scene.phase in (Phase.FIRST, Phase.BETWEEN, Phase.WRITING):
        await scene.send_next()


_AT_ADMISSION = "it is looked at when a call is admitted, and then no more"
_NO_LEASE = "there is no lease yet: a later claim wins, and one that fails is a reason of its own"
_NOT_HELD_UP = "the handler waits for nothing that could last: it ends in good order"

_P = Phase

REASONS = [
    Reason("delisted", _delist, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}),
    Reason("revoked", _revoke, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}),
    Reason("expired", _expire, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}),
    Reason("stopped", _stop, Code.UNAVAILABLE),
    Reason("superseded", _supersede, Code.ABORTED, lambda _: (("superseded-by", f"{9:032x}"),)),
    Reason("the peer closes its side", _half_close, Code.OK),
    Reason(
        "the peer vanishes",
        _vanish,
        Code.UNAVAILABLE,
        is_heard=False,
    ),
    Reason(
        "lost",
        _lose,
        Code.UNAVAILABLE,
        is_heard=False,
    ),
    Reason(
        "no first sample in time",
        _wait_for_first_sample,
        Code.DEADLINE_EXCEEDED,
        impossible=_but("its time runs only while the first sample is waited for", _P.FIRST),
    ),
    Reason(
        "an id out of order",
        _send_bad_id,
        Code.INVALID_ARGUMENT,
        lambda phase: (("refused-id", str(_bad_id(phase))),),
    ),
    Reason("a message that is none", _send_garbage, Code.INVALID_ARGUMENT),
    Reason(
        "the black box raises",
        _send_what_raises,
        Code.INTERNAL,
        lambda phase: (("refused-id", str(phase.next_id)),),
        is_defect=True,
    ),
    Reason(
        "a commit fails",
        _fail_commit,
        Code.UNAVAILABLE,
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "another owner claims the line, for this session",
        _take_same,
        Code.UNAVAILABLE,
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "another owner claims the line, for another session",
        _take_other,
        Code.ABORTED,
        lambda _: (("superseded-by", f"{3:032x}"),),
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "the line cannot be claimed",
        _refuse_claim,
        Code.UNAVAILABLE,
        impossible=_but("it is claimed when the line opens", _P.ADMISSION, _P.OPENING),
        answered={_P.ADMISSION: (), _P.OPENING: ()},
    ),
    Reason(
        "one stream too many",
        _crowd,
        Code.RESOURCE_EXHAUSTED,
        impossible=_but(_AT_ADMISSION, _P.ADMISSION),
        answered={_P.ADMISSION: ()},
    ),
    Reason(
        "metadata that is no header",
        _break_header,
        Code.INVALID_ARGUMENT,
        impossible=_but(_AT_ADMISSION, _P.ADMISSION),
        answered={_P.ADMISSION: ()},
    ),
    Reason(
        "cut by force",
        _cut,
        Code.PERMISSION_DENIED,
        impossible={
            _P.ADMISSION: _AT_ADMISSION,
            _P.FIRST: _NOT_HELD_UP,
            _P.BETWEEN: _NOT_HELD_UP,
        },
        answered={_P.OPENING: (), _P.COMMIT: (), _P.WRITING: (0, 1)},
    ),
    Reason(
        "a mistake of ours",
        _break_down,
        Code.INTERNAL,
        answered={_P.ADMISSION: (), _P.OPENING: (), _P.COMMIT: ()},
        is_defect=True,
    ),
]
"""The one list of all that can end a call."""
