"""A client by grpcio's blocking stubs, as peer.py tells it; with a path, an authority's, by TLS."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from interop.talk import end, header, padded, samples, say, serve
from wire import SERVICE
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub


def _channel(address: str) -> grpc.Channel:
    if len(sys.argv) > 1:
        trusted = grpc.ssl_channel_credentials(Path(sys.argv[1]).read_bytes())
        return grpc.secure_channel(address, trusted)
    return grpc.insecure_channel(address)


def _converse(
    channel: grpc.Channel,
    agent: str,
    requests: Iterator[BrokerRequest],
    timeout_s: float | None = None,
) -> None:
    stub = BrokerServiceStub(channel)  # type: ignore[no-untyped-call]
    for answer in stub.BidirectionalStreaming(requests, metadata=header(agent), timeout=timeout_s):
        say("answer", answer.id, int(answer.prediction))


def _health(channel: grpc.Channel, verb: str, service: str) -> None:
    asked = health_pb2.HealthCheckRequest(service=service.strip("-"))
    stub = health_pb2_grpc.HealthStub(channel)
    for answer in [stub.Check(asked)] if verb == "health" else stub.Watch(asked):
        say("status", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _reflect(channel: grpc.Channel) -> None:
    for name in ProtoReflectionDescriptorDatabase(channel).get_services():
        say("service", name)


def _open_ended(over: threading.Event) -> Iterator[BrokerRequest]:
    yield from samples(1)
    over.wait()


def carry_out(verb: str, address: str, *words: str) -> None:
    """Do what one line asks."""
    over = threading.Event()
    with _channel(address) as channel:
        try:
            match verb, words:
                case "stream", (agent, count):
                    _converse(channel, agent, samples(int(count)))
                case "hold", (agent,):
                    _converse(channel, agent, _open_ended(over))
                case "late", (agent, seconds):
                    _converse(channel, agent, _open_ended(over), float(seconds))
                case "large", (size,):
                    _converse(channel, "large", iter([padded(int(size))]))
                case "nothing", ():
                    channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
                case "health" | "watch", (service,):
                    _health(channel, verb, service)
                case "reflect", ():
                    _reflect(channel)
        except grpc.RpcError as error:
            end(error.code().name, error.details() or "")
        else:
            end("OK")
        finally:
            over.set()


if __name__ == "__main__":
    serve(carry_out)
