"""Peers at the wire: a scripted broker, plain clients, and a TCP proxy that fails on demand."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.certificates import Files

from wire import METHOD, SERVICE, STATE_METHOD, STATE_SERVICE
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.databroker_pb2_grpc import BrokerServiceStub

# What a throttled connection passes on at once: small, so that it flows evenly.
_CHUNK = 256

Context = grpc.aio.ServicerContext
Script = Callable[["Peer"], Awaitable[None]]
Teller = Callable[[Context], Awaitable[bytes]]


class Peer:
    """One stream as a scripted broker sees it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.metadata = dict(context.invocation_metadata())

    async def read(self) -> BrokerRequest | None:
        """The next request; None at the end."""
        raw = await self.context.read()
        return BrokerRequest.FromString(raw) if isinstance(raw, bytes) else None

    async def answer(self, id_: int, prediction: bool = False) -> None:
        await self.context.write(BrokerResponse(id=id_, prediction=prediction).SerializeToString())

    async def echo(self) -> None:
        """Answer all there is, by parity."""
        while (request := await self.read()) is not None:
            await self.answer(request.id, request.id % 2 == 0)

    async def abort(self, code: grpc.StatusCode, details: str = "", **trailing: str) -> None:
        metadata = tuple((key.replace("_", "-"), value) for key, value in trailing.items())
        await self.context.abort(code, details, metadata)


@asynccontextmanager
async def scripted_broker(
    script: Script | None,
    tell_state: Teller | None = None,
    tell_health: Callable[[], int] | None = None,
    *,
    tls: Files | None = None,
) -> AsyncIterator[int]:
    """Serve every stream by the script; without one, serve no such method. Gives the port.

    `tell_state` answers who asks for the state of a line, `tell_health` who asks for the health;
    without them, nobody does.
    """
    server = grpc.aio.server()
    if script is not None:

        async def serve(_: object, context: Context) -> None:
            await script(Peer(context))

        method = grpc.stream_stream_rpc_method_handler(serve)
        handler = grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})
        server.add_generic_rpc_handlers((handler,))
    if tell_state is not None:

        async def tell(_: object, context: Context) -> bytes:
            return await tell_state(context)

        asked = grpc.unary_unary_rpc_method_handler(tell)
        states = grpc.method_handlers_generic_handler(STATE_SERVICE, {STATE_METHOD: asked})
        server.add_generic_rpc_handlers((states,))
    if tell_health is not None:

        async def check(_: object, __: Context) -> health_pb2.HealthCheckResponse:
            return health_pb2.HealthCheckResponse(status=tell_health())

        servicer = health_pb2_grpc.HealthServicer()
        servicer.Check = check
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if tls:
        pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


@asynccontextmanager
async def plain_stream(
    address: str, metadata: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[grpc.aio.StreamStreamCall]:
    """A call of a client that was written against the wire alone.

    It ends with its channel, not by cancel(): that can hit the next call of grpc.aio's client.
    """
    async with grpc.aio.insecure_channel(
        address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        yield BrokerServiceStub(channel).BidirectionalStreaming(metadata=metadata)


class Proxy:
    """A TCP proxy to a port; what passes through it can be stalled, cut, delayed and throttled."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        """Of connections from now on."""
        self.delay_s = 0.0
        self.bytes_per_s = math.inf
        self._flowing = _set_event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.connections = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[Self, int]]:
        """Listen while entered. Gives itself and its port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield self, server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    def stall(self) -> None:
        """Pass no byte on, close nothing: present connections are half open for good."""
        self._flowing.clear()
        self._flowing = _set_event()

    def cut(self) -> None:
        """Reset each present connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_writer}
        for source, sink in ((reader, to_writer), (to_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, self._flowing))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        try:
            while chunk := await source.read(_CHUNK if self.bytes_per_s < math.inf else 65536):
                await flowing.wait()
                await asyncio.sleep(self.delay_s + len(chunk) / self.bytes_per_s)
                sink.write(chunk)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
