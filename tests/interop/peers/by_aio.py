"""A client by grpc.aio, as peer.py tells it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop.talk import end, header, padded, samples, say, serve
from wire import SERVICE
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub


async def _converse(
    channel: grpc.aio.Channel,
    agent: str,
    requests: Iterator[BrokerRequest] | AsyncIterator[BrokerRequest],
    timeout_s: float | None = None,
) -> None:
    stub = BrokerServiceStub(channel)  # type: ignore[no-untyped-call]
    call = stub.BidirectionalStreaming(requests, metadata=header(agent), timeout=timeout_s)
    async for answer in call:
        say("answer", answer.id, int(answer.prediction))


async def _open_ended() -> AsyncIterator[BrokerRequest]:
    for sample in samples(1):
        yield sample
    await asyncio.Event().wait()


async def _carry_out(verb: str, address: str, *words: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        match verb, words:
            case "stream", (agent, count):
                await _converse(channel, agent, samples(int(count)))
            case "hold", (agent,):
                await _converse(channel, agent, _open_ended())
            case "late", (agent, seconds):
                await _converse(channel, agent, _open_ended(), float(seconds))
            case "large", (size,):
                await _converse(channel, "large", iter([padded(int(size))]))
            case "nothing", ():
                await channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
            case "health", (service,):
                stub = health_pb2_grpc.HealthStub(channel)
                _tell(await stub.Check(health_pb2.HealthCheckRequest(service=service.strip("-"))))
            case "watch", (service,):
                stub = health_pb2_grpc.HealthStub(channel)
                asked = health_pb2.HealthCheckRequest(service=service.strip("-"))
                async for each in stub.Watch(asked):
                    _tell(each)


def _tell(answer: health_pb2.HealthCheckResponse) -> None:
    say("status", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def carry_out(*words: str) -> None:
    """Do what one line asks."""
    try:
        asyncio.run(_carry_out(*words))
    except grpc.aio.AioRpcError as error:
        end(error.code().name, error.details() or "")
    else:
        end("OK")


if __name__ == "__main__":
    serve(carry_out)
