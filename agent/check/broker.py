"""The broker: whether it can be reached, and speaks gRPC."""

import asyncio
import socket

from agent.check.findings import Findings, failed, passed
from quartet.address import Address

# A broker on a slow link answers within it; a firewall that drops never does.
_PATIENCE_S = 5.0


def check_broker(address: Address) -> Findings:
    """A connection, and the beginning of HTTP/2."""
    try:
        with socket.create_connection((address.host, address.port), _PATIENCE_S):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        yield failed(
            "broker",
            f"{address} cannot be reached: {reason}",
            "start it there with 'broker run', or set broker.address",
        )
        return
    if asyncio.run(_speaks_grpc(address)):
        yield passed("broker", f"{address} answers")
    else:
        yield failed(
            "broker",
            f"{address} does not answer as a gRPC server does",
            "check broker.address: another program listens there, or it wants TLS",
        )


async def _speaks_grpc(address: Address) -> bool:
    import grpc  # noqa: PLC0415 - half a second on a Pi

    async with grpc.aio.insecure_channel(
        str(address), options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await channel.channel_ready()
        except TimeoutError:
            return False
    return True
