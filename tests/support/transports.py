"""Brokers of each transport, and who calls them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker.model import Code, Ending
from broker.transport import Health, Transport
from broker.transport.h2.transport import H2Transport
from broker.transport.memory import MemoryCall, MemoryTransport
from quartet.address import Address


class Caller(Protocol):
    """The peer's end of a call."""

    async def send(self, *messages: bytes) -> None: ...

    async def done_sending(self) -> None: ...

    async def receive(self) -> bytes | None: ...

    async def ending(self) -> Ending: ...

    def cancel(self) -> None: ...


class MemoryCaller:
    def __init__(self, call: MemoryCall) -> None:
        self._call = call
        self._received: list[bytes] = []

    async def send(self, *messages: bytes) -> None:
        await self._call.send(*messages)

    async def done_sending(self) -> None:
        self._call.done_sending()

    async def receive(self) -> bytes | None:
        self._received = self._received or [*await self._call.receive()]
        return self._received.pop(0) if self._received else None

    async def ending(self) -> Ending:
        return await self._call.ending()

    def cancel(self) -> None:
        self._call.cancel()


class GrpcCaller:
    def __init__(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        self._call = call

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            await self._call.write(message)

    async def done_sending(self) -> None:
        await self._call.done_writing()

    async def receive(self) -> bytes | None:
        try:
            message = await self._call.read()
        except grpc.RpcError:
            return None
        return message if isinstance(message, bytes) else None

    async def ending(self) -> Ending:
        code = Code((await self._call.code()).value[0])
        trailing = tuple(tuple(pair) for pair in await self._call.trailing_metadata())
        return Ending(code, await self._call.details(), trailing)

    def cancel(self) -> None:
        self._call.cancel()


class Memory:
    """A broker in memory, and calls to it."""

    def __init__(self) -> None:
        self.transport = MemoryTransport()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def call(self, method: str, metadata: Sequence[tuple[str, str]]) -> Caller:
        return MemoryCaller(self.transport.call(method, metadata, peer="127.0.0.1:7"))

    async def health(self) -> Health:
        return self.transport.health


class H2:
    """A broker on a port, and calls of grpcio's client to it."""

    def __init__(self) -> None:
        self.transport = H2Transport(Address("127.0.0.1", 0), None)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self, port: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
        self._channel = await self._stack.enter_async_context(channel)

    def call(self, method: str, metadata: Sequence[tuple[str, str]]) -> Caller:
        return GrpcCaller(self._channel.stream_stream(method)(metadata=tuple(metadata)))

    async def health(self) -> Health:
        stub = health_pb2_grpc.HealthStub(self._channel)
        states = {
            (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
            for name in ("", "bidirectional_databroker.BrokerService")
        }
        (state,) = states
        return Health(health_pb2.HealthCheckResponse.ServingStatus.Name(state))


class Broker(Protocol):
    transport: Transport

    def call(self, method: str, metadata: Sequence[tuple[str, str]]) -> Caller: ...

    async def health(self) -> Health: ...
