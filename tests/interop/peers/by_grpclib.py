"""A client by grpclib, another implementation of gRPC in Python, as peer.py tells it."""

import asyncio
from collections.abc import Iterable

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.client import Channel, StreamStreamMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from interop.talk import end, header, padded, samples, say, serve
from wire import METHOD_PATH, SERVICE
from wire.databroker_pb2 import BrokerRequest, BrokerResponse

_HEALTH = "/grpc.health.v1.Health"


async def _converse(
    channel: Channel,
    agent: str,
    requests: Iterable[BrokerRequest],
    *,
    ends: bool = True,
    timeout_s: float | None = None,
) -> None:
    method = StreamStreamMethod(channel, METHOD_PATH, BrokerRequest, BrokerResponse)
    metadata = [(name, value) for name, value in header(agent)]
    async with method.open(metadata=metadata, timeout=timeout_s) as call:
        await call.send_request()
        for request in requests:
            await call.send_message(request)
        if ends:
            await call.end()
        async for answer in call:
            say("answer", answer.id, int(answer.prediction))


async def _carry_out(verb: str, address: str, *words: str) -> None:
    host, _, port = address.rpartition(":")
    async with Channel(host, int(port)) as channel:
        match verb, words:
            case "stream", (agent, count):
                await _converse(channel, agent, samples(int(count)))
            case "hold", (agent,):
                await _converse(channel, agent, samples(1), ends=False)
            case "late", (agent, seconds):
                await _converse(channel, agent, samples(1), ends=False, timeout_s=float(seconds))
            case "large", (size,):
                await _converse(channel, "large", [padded(int(size))])
            case "nothing", ():
                path = f"/{SERVICE}/Nothing"
                await UnaryUnaryMethod(channel, path, BrokerRequest, BrokerResponse)(
                    BrokerRequest()
                )
            case "health", (service,):
                check = UnaryUnaryMethod(
                    channel, f"{_HEALTH}/Check", HealthCheckRequest, HealthCheckResponse
                )
                _tell(await check(HealthCheckRequest(service=service.strip("-"))))
            case "watch", (service,):
                watch = UnaryStreamMethod(
                    channel, f"{_HEALTH}/Watch", HealthCheckRequest, HealthCheckResponse
                )
                async with watch.open() as call:
                    await call.send_message(
                        HealthCheckRequest(service=service.strip("-")), end=True
                    )
                    async for each in call:
                        _tell(each)


def _tell(answer: HealthCheckResponse) -> None:
    say("status", HealthCheckResponse.ServingStatus.Name(answer.status))


def carry_out(*words: str) -> None:
    """Do what one line asks."""
    try:
        asyncio.run(_carry_out(*words))
    except GRPCError as error:
        end(error.status.name, error.message or "")
    except (ProtocolError, StreamTerminatedError) as error:
        end("RESET", str(error))
    except TimeoutError:
        end("DEADLINE_EXCEEDED", "by its own clock")
    else:
        end("OK")


if __name__ == "__main__":
    serve(carry_out)
