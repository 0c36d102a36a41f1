"""Questions to a broker, beside a stream: whether it serves, and would admit this agent."""

import asyncio
from dataclasses import dataclass, replace

import grpc

from agent import codec
from agent.reach.calls import Call, Status, first_status
from agent.reach.reasons import server_of, word
from agent.reach.way import Way
from agent.reason import Reason, Stage, UnreachedError
from quartet.address import Address
from wire import ADMISSION_METHOD_PATH, HEALTH_METHOD_PATH, METHOD_PATH

ADVICE = {
    grpc.StatusCode.UNIMPLEMENTED: "this is not a Quartet broker; check broker.address",
    grpc.StatusCode.INVALID_ARGUMENT: "agent and broker use different protocols",
    grpc.StatusCode.PERMISSION_DENIED: (
        "see agent.id and tls.certificate here, and access.agents and tls.crl on the broker"
    ),
    grpc.StatusCode.DATA_LOSS: "this is not a Quartet broker; check broker.address",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "see [limits] in the broker's configuration",
}
"""What to do where the broker ends a call with this status."""

SEE_LOG = "see the broker's log"
"""What to do at any other status."""

# A server that has one thread does not answer a question beside a stream.
_DOUBT_S = 1.0

# Of the patience: for the connection, and half as long again for the answer.
_WITH_ANSWER = 1.5


@dataclass(frozen=True, slots=True)
class Connection:
    """A channel to a broker, and how long things may take on it."""

    broker: Address
    channel: grpc.aio.Channel
    patience_s: float
    """Of the channel: for a connection with its handshakes."""
    answer_s: float = 0.0
    """For that and an answer together; 0: half as long again."""

    @property
    def timeout_s(self) -> float:
        """Of a question."""
        return self.answer_s or _WITH_ANSWER * self.patience_s


@dataclass(frozen=True, slots=True)
class Objection:
    """How a question ended: its status, and what that means."""

    code: grpc.StatusCode
    reason: Reason

    @property
    def is_its_word(self) -> bool:
        """Whether a gRPC server ended the call by this status."""
        return self.reason.stage is Stage.ADMISSION

    @property
    def is_unknown_method(self) -> bool:
        """Whether a gRPC server answers that it does not know the question."""
        return self.is_its_word and self.code is grpc.StatusCode.UNIMPLEMENTED


class Questions:
    """Asks brokers by the way that the stream goes. Loop only."""

    def __init__(self, way: Way, agent_id: str) -> None:
        self._way = way
        self._metadata = (("agent-id", agent_id),)

    async def serves(self, broker: Address, patience_s: float) -> bool:
        """Whether a broker is reached, and says that it is serving.

        One that does not tell its health is never gone back to.
        """
        try:
            channel = await self._way.beside(broker, patience_s)
        except UnreachedError:
            return False
        async with channel:
            return await self.health(Connection(broker, channel, patience_s)) is None

    async def health(self, to: Connection) -> Objection | None:
        """None: it is serving."""
        answer = await self._answer(to, HEALTH_METHOD_PATH, codec.HEALTH_REQUEST)
        if isinstance(answer, Objection):
            return answer
        if codec.is_serving(answer):
            return None
        text = "it is reached, and says that it is not serving"
        reason = Reason(Stage.SERVICE, text, "'broker status' there says more")
        return Objection(grpc.StatusCode.UNAVAILABLE, reason)

    async def admission(self, to: Connection) -> Objection | None:
        """None: a stream of this agent would be admitted. UNIMPLEMENTED: it cannot be asked."""
        answer = await self._answer(to, ADMISSION_METHOD_PATH, codec.ADMISSION_REQUEST)
        return answer if isinstance(answer, Objection) else None

    async def streams(self, to: Connection) -> Objection | None:
        """How a stream ends that has no name and no sample; None: in good order."""
        call: Call = to.channel.stream_stream(METHOD_PATH)(timeout=to.timeout_s)
        ended = first_status(call)
        await call.done_writing()
        status = await ended
        if status.code is grpc.StatusCode.OK:
            return None
        return await self._objection(to, status)

    async def doubt(self, to: Connection) -> Reason | None:
        """Why what answers there is no gRPC server; None: it is one, or it takes its time."""
        try:
            async with asyncio.timeout(_DOUBT_S):
                objection = await self.admission(to)
        except TimeoutError:
            return None
        return objection.reason if objection and not objection.is_its_word else None

    async def reason_of(self, to: Connection, details: str) -> Reason | None:
        """Why a call failed, by what gRPC says; None where that may be the broker's word."""
        reason = self._way.reason_of(details, to.patience_s)
        return reason and await self._furthest(to, reason)

    async def _furthest(self, to: Connection, reason: Reason) -> Reason:
        """Why the address of a name that came furthest failed, for a reason of a connection.

        Of several addresses, gRPC tells of the last alone, which may be one where nobody listens.
        """
        if reason.stage is not Stage.CONNECT:
            return reason

        async def ask(channel: grpc.aio.Channel) -> Reason | None:
            async with channel:
                end = await self._call(
                    channel, ADMISSION_METHOD_PATH, codec.ADMISSION_REQUEST, to.timeout_s
                )
            if isinstance(end, bytes):
                return None
            return self._way.reason_of(end.details, to.patience_s)

        channels = self._way.to_each(to.broker, to.patience_s)
        asked = [asyncio.create_task(ask(channel)) for channel in channels]
        if not asked:
            return reason
        done, late = await asyncio.wait(asked, timeout=_DOUBT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        met = [each for task in done if (each := task.result())]
        best = max([reason, *met], key=lambda each: each.stage)
        return replace(best, is_late=reason.is_late)

    async def _answer(self, to: Connection, path: str, question: bytes) -> bytes | Objection:
        end = await self._call(to.channel, path, question, to.timeout_s)
        return await self._objection(to, end) if isinstance(end, Status) else end

    async def _call(
        self, channel: grpc.aio.Channel, path: str, question: bytes, timeout_s: float
    ) -> bytes | Status:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        try:
            return await ask(question, metadata=self._metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            headers = (*error.initial_metadata(), *error.trailing_metadata())
            return Status(error.code(), error.details() or "", headers)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Status(grpc.StatusCode.CANCELLED, "cancelled")  # as grpc.aio tells that status

    async def _objection(self, to: Connection, end: Status) -> Objection:
        if reason := await self.reason_of(to, end.details):
            return Objection(end.code, reason)
        if end.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Objection(end.code, await self._furthest(to, _no_answer(to)))
        text = word(end.code.name, end.details, server_of(end.metadata))
        advice = ADVICE.get(end.code, SEE_LOG)
        return Objection(end.code, Reason(Stage.ADMISSION, text, advice))


def _no_answer(to: Connection) -> Reason:
    """What is missing when a question's time is over: the connection, or the answer."""
    if to.channel.get_state() is grpc.ChannelConnectivity.READY:
        text = f"it speaks HTTP/2, and does not answer within {to.timeout_s:g} s"
        return Reason(Stage.SERVICE, text, SEE_LOG, is_late=True)
    text = f"it is not reached within {to.timeout_s:g} s"
    remedy = "check broker.address, and that no firewall drops the port"
    return Reason(Stage.CONNECT, text, remedy, is_late=True)
