"""The gRPC transport: decode, hand over, encode. No decisions."""

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError

from broker.access import Access, Peer, Visit
from broker.errors import (
    AccessError,
    CrowdedError,
    DeniedError,
    ExpiredError,
    OutOfOrderError,
    RaisedError,
    RecordError,
)
from broker.inbox import Inbox
from broker.lines import Lines
from broker.model import Answer, Sample
from broker.stream import Stream
from wire import METHOD, SERVICE
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

if TYPE_CHECKING:
    from quartet.certificates import Certificate

log = logging.getLogger(__name__)

_STATUS = {
    DeniedError: grpc.StatusCode.PERMISSION_DENIED,
    CrowdedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    OutOfOrderError: grpc.StatusCode.INVALID_ARGUMENT,
    ExpiredError: grpc.StatusCode.OUT_OF_RANGE,
    RaisedError: grpc.StatusCode.INTERNAL,
}

# An agent opens a stream with its first sample. A plain peer may have none yet.
_FIRST_SAMPLE_S = 60.0

Context = grpc.aio.ServicerContext[bytes, bytes]


class Service:
    """Serves BidirectionalStreaming: two coroutines a stream, and no thread. Loop only."""

    def __init__(self, lines: Lines, access: Access) -> None:
        self._lines = lines
        self._access = access
        self._inboxes: set[Inbox] = set()
        self._stopping = False

    def handler(self) -> grpc.GenericRpcHandler:
        """What a grpc.aio server is given. Messages stay bytes: ours to decode, and to refuse."""
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
            self._serve
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    def stop(self) -> None:
        """Let each stream answer what it has received, and end it with UNAVAILABLE."""
        self._stopping = True
        for inbox in self._inboxes:
            inbox.close()

    async def _serve(self, _: object, context: Context) -> None:
        try:
            header = StreamHeader.from_metadata(context.invocation_metadata() or ())
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        try:
            peer = Peer(context.peer(), _certificate(context), header.agent_id if header else None)
            with self._access.admit(peer) as visit:
                await self._stream(header, context, visit)
        except AccessError as error:
            await context.abort(_STATUS[type(error)], str(error))
        except RecordError as error:
            log.debug("%s: %s", context.peer(), error)  # the recorder has said it for all of them
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def _stream(self, header: StreamHeader | None, context: Context, visit: Visit) -> None:
        log.debug("%s: stream opened", visit.peer)
        opened = await self._lines.open(header, context.peer())
        with opened as stream, Inbox(context) as inbox:
            stream.on_superseded(inbox.close)
            visit.on_objection(inbox.close)
            self._inboxes.add(inbox)
            if self._stopping:
                inbox.close()
            try:
                if header:
                    async with asyncio.timeout(_FIRST_SAMPLE_S):
                        await inbox.wait()
                await self._answer(stream, inbox, context, visit)
            except TimeoutError:
                await context.abort(
                    grpc.StatusCode.DEADLINE_EXCEEDED, f"no sample within {_FIRST_SAMPLE_S:g} s"
                )
            finally:
                self._inboxes.discard(inbox)
                log.debug("%s: stream closed; %s", visit.peer, stream.tally())

    async def _answer(self, stream: Stream, inbox: Inbox, context: Context, visit: Visit) -> None:
        while messages := await inbox.take():
            samples, undecodable = _decode(messages)
            while samples:
                answers, refusal = await stream.answer(samples)
                for answer in answers:
                    await context.write(_encode(answer))
                if refusal:
                    log.warning("%s: %s", visit.peer, refusal, exc_info=refusal.__cause__)
                    await context.abort(
                        *(_STATUS[type(refusal)], str(refusal)),
                        ((REFUSED_ID, str(refusal.sample_id)),),
                    )
                samples = samples[len(answers) :]
            if undecodable:
                log.warning("%s: %s", visit.peer, undecodable)
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, undecodable)
        if visit.objection:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, visit.objection)
        if stream.superseded_by:
            await context.abort(
                grpc.StatusCode.ABORTED,
                "a newer stream of this agent id took over",
                ((SUPERSEDED_BY, stream.superseded_by),),
            )
        if self._stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the broker is stopping")


def _certificate(context: Context) -> "Certificate | None":
    """What the peer has shown, if it was asked. DeniedError where that cannot be read."""
    shown = tuple(context.auth_context().get("x509_pem_cert", ()))
    if not shown:
        return None
    from quartet.certificates import Certificate  # noqa: PLC0415 - costs 20 MB, where there is TLS

    try:
        return Certificate.from_pem(shown[0])
    except ValueError as error:
        log.warning("%s shows a certificate that cannot be read", context.peer())
        raise DeniedError("its certificate cannot be read") from error


def _decode(messages: list[bytes]) -> tuple[list[Sample], str]:
    """The samples up to the first message that is none, and what is wrong with that one."""
    samples: list[Sample] = []
    for message in messages:
        try:
            request = BrokerRequest.FromString(message)
        except DecodeError:
            return samples, f"{len(message)} bytes that are no BrokerRequest"
        values = request.sensor1, request.sensor2, request.sensor3, request.sensor4
        samples.append(Sample(request.id, values))
    return samples, ""


def _encode(answer: Answer) -> bytes:
    return BrokerResponse(id=answer.id, prediction=answer.prediction).SerializeToString()
