"""Whether a broker serves: `python3 -m broker.healthcheck [HOST:PORT]` exits 0 if so, else 1."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quartet.address import Address
from quartet.errors import SettingsError

DEFAULT_ADDRESS = "127.0.0.1:8061"

# A broker that works answers in milliseconds; the image's HEALTHCHECK allows 5 s with the start.
_DEADLINE_S = 2.0

# A proxy from the environment is not meant for a question about this very machine.
_OPTIONS = [("grpc.enable_http_proxy", 0)]


def problem(address: Address) -> str:
    """Why the broker there is not serving, in one line; empty if it is. Blocks for at most 2 s."""
    with grpc.insecure_channel(str(address), _OPTIONS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            return f"{address}: {error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def main() -> None:
    """Exit 0, or 1 with the reason on stderr; wrong use is 1 too, for Docker reserves 2."""
    if len(sys.argv) > 2:
        sys.exit("usage: python3 -m broker.healthcheck [HOST:PORT]")
    try:
        address = Address.parse((*sys.argv[1:], DEFAULT_ADDRESS)[0], "healthcheck")
    except SettingsError as error:
        sys.exit(str(error))
    sys.exit(problem(address) or 0)


if __name__ == "__main__":
    main()
