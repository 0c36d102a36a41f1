"""The gRPC transport: decode, hand over, encode. No decisions."""

import logging

import grpc
from google.protobuf.message import DecodeError

from broker.errors import ExpiredError, OutOfOrderError, RaisedError, RecordError
from broker.inbox import Inbox
from broker.lines import Lines
from broker.model import Answer, Sample
from broker.stream import Stream
from wire import METHOD, SERVICE
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

log = logging.getLogger(__name__)

_STATUS = {
    OutOfOrderError: grpc.StatusCode.INVALID_ARGUMENT,
    ExpiredError: grpc.StatusCode.OUT_OF_RANGE,
    RaisedError: grpc.StatusCode.INTERNAL,
}

Context = grpc.aio.ServicerContext[bytes, bytes]


class Service:
    """Serves BidirectionalStreaming: two coroutines a stream, and no thread. Loop only."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
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
        who = f"{header.agent_id} at {context.peer()}" if header else context.peer()
        log.debug("%s: stream opened", who)
        try:
            await self._stream(header, context, who)
        except RecordError as error:
            log.debug("%s: %s", who, error)  # the recorder has said it for all of them
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def _stream(self, header: StreamHeader | None, context: Context, who: str) -> None:
        opened = await self._lines.open(header, context.peer())
        with opened as stream, Inbox(context) as inbox:
            stream.on_superseded(inbox.close)
            self._inboxes.add(inbox)
            if self._stopping:
                inbox.close()
            try:
                await self._answer(stream, inbox, context, who)
            finally:
                self._inboxes.discard(inbox)
                log.debug("%s: stream closed; %s", who, stream.tally())

    async def _answer(self, stream: Stream, inbox: Inbox, context: Context, who: str) -> None:
        while messages := await inbox.take():
            samples, undecodable = _decode(messages)
            answers, refusal = await stream.answer(samples)
            for answer in answers:
                await context.write(_encode(answer))
            if refusal:
                log.warning("%s: %s", who, refusal, exc_info=refusal.__cause__)
                await context.abort(
                    _STATUS[type(refusal)], str(refusal), ((REFUSED_ID, str(refusal.sample_id)),)
                )
            if undecodable:
                log.warning("%s: %s", who, undecodable)
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, undecodable)
        if stream.superseded_by:
            await context.abort(
                grpc.StatusCode.ABORTED,
                "a newer stream of this agent id took over",
                ((SUPERSEDED_BY, stream.superseded_by),),
            )
        if self._stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the broker is stopping")


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
