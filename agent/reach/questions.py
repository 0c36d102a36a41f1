"""Questions to a broker, beside a stream: whether it serves, and would admit this agent."""

import asyncio
from dataclasses import dataclass, replace

import grpc

from agent import codec
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

_Ask = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

SEE_MESSAGE = "see the message"

# A server that has one thread does not answer a question beside a stream.
_DOUBT_S = 1.0

# Of the patience: for the connection, and half as long again for the answer.
_WITH_ANSWER = 1.5


@dataclass(frozen=True, slots=True)
class Objection:
    """How a question ended: its status, and what that means."""

    code: grpc.StatusCode
    reason: Reason

    @property
    def is_unknown_method(self) -> bool:
        """Whether a gRPC server answers that it does not know the question."""
        is_its_word = self.reason.stage is Stage.ADMISSION
        return is_its_word and self.code is grpc.StatusCode.UNIMPLEMENTED


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
            return await self.health(channel, patience_s) is None

    async def health(self, channel: grpc.aio.Channel, patience_s: float) -> Objection | None:
        """None: it is serving. The patience is that of the channel."""
        ask: _Ask = channel.unary_unary(HEALTH_METHOD_PATH)
        answer = await self._answer(ask, codec.HEALTH_REQUEST, patience_s)
        if isinstance(answer, Objection):
            return answer
        if codec.is_serving(answer):
            return None
        text = "it is reached, and says that it is not serving"
        reason = Reason(Stage.SERVICE, text, "'broker status' there says more")
        return Objection(grpc.StatusCode.UNAVAILABLE, reason)

    async def admission(self, channel: grpc.aio.Channel, patience_s: float) -> Objection | None:
        """None: a stream of this agent would be admitted. UNIMPLEMENTED: it cannot be asked."""
        ask: _Ask = channel.unary_unary(ADMISSION_METHOD_PATH)
        answer = await self._answer(ask, codec.ADMISSION_REQUEST, patience_s)
        return answer if isinstance(answer, Objection) else None

    async def doubt(self, channel: grpc.aio.Channel) -> Reason | None:
        """Why what answers there is no gRPC server; None: it is one, or it takes its time."""
        try:
            async with asyncio.timeout(_DOUBT_S):
                objection = await self.admission(channel, _DOUBT_S)
        except TimeoutError:
            return None
        is_no_server = objection is not None and objection.reason.stage < Stage.ADMISSION
        return objection.reason if objection and is_no_server else None

    async def furthest(self, broker: Address, reason: Reason, patience_s: float) -> Reason:
        """Why the address of a name that came furthest failed, for a reason of a connection.

        Of several addresses, gRPC tells of the last alone, which may be one where nobody listens.
        """
        if reason.stage is not Stage.CONNECT:
            return reason

        async def ask(channel: grpc.aio.Channel) -> Objection | None:
            async with channel:
                return await self.admission(channel, patience_s)

        channels = self._way.to_each(broker, patience_s)
        asked = [asyncio.create_task(ask(channel)) for channel in channels]
        if not asked:
            return reason
        done, late = await asyncio.wait(asked, timeout=_DOUBT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        met = [objection.reason for task in done if (objection := task.result())]
        failed = [each for each in met if each.stage < Stage.ADMISSION]
        best = max([reason, *failed], key=lambda each: each.stage)
        return replace(best, is_late=reason.is_late)

    async def has_streams(self, channel: grpc.aio.Channel, patience_s: float) -> bool:
        """Whether there is such a method: asked by a stream without a name and without a sample."""
        call: grpc.aio.StreamStreamCall[bytes, bytes]
        call = channel.stream_stream(METHOD_PATH)(timeout=patience_s)
        await call.done_writing()
        return await call.code() is not grpc.StatusCode.UNIMPLEMENTED

    async def _answer(
        self,
        ask: "_Ask",
        question: bytes,
        patience_s: float,
    ) -> bytes | Objection:
        timeout_s = _WITH_ANSWER * patience_s
        try:
            return await ask(question, metadata=self._metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
            headers = (*error.initial_metadata(), *error.trailing_metadata())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            code, details = grpc.StatusCode.CANCELLED, "cancelled"  # as grpc.aio tells that status
            headers = ()
        return Objection(code, self._meaning(code, details, server_of(headers), patience_s))

    def _meaning(
        self, code: grpc.StatusCode, details: str, server: str, patience_s: float
    ) -> Reason:
        if reason := self._way.reason_of(details, patience_s):
            return reason
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"it speaks HTTP/2, and does not answer within {_WITH_ANSWER * patience_s:g} s"
            return Reason(Stage.SERVICE, text, "see the broker's log", is_late=True)
        text = word(code.name, details, server)
        return Reason(Stage.ADMISSION, text, ADVICE.get(code, SEE_MESSAGE))
