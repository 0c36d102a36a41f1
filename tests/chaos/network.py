"""What lies between agents and broker, a process of its own: python -m chaos.network PORT SEED N.

N TCP proxies, one an agent, that do what they are told by lines on stdin ("NUMBER COMMAND"), and
end with them. Each leads to the broker's port, or there by way of a relay that repeats old
answers. "strangers COUNT" has invented agents stream one sample each.
"""

import asyncio
import contextlib
import math
import random
import sys

import grpc
from support.peers import Proxy, plain_stream, scripted_broker

from chaos.relay import Relay
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

# A stranger that gets no answer goes away again.
_STRANGERS_PATIENCE_S = 5.0


async def _serve(broker_port: int, seed: int, count: int) -> None:
    random_ = random.Random(seed)  # noqa: S311 - to be drawn again
    relay = Relay(broker_port, random_)
    strangers: set[asyncio.Task[None]] = set()
    async with contextlib.AsyncExitStack() as stack:
        relay_port = await stack.enter_async_context(scripted_broker(relay.serve))
        served = [
            await stack.enter_async_context(Proxy(broker_port).serving()) for _ in range(count)
        ]
        sys.stderr.write(f"listening on {' '.join(str(port) for _, port in served)}\n")
        async for line in await stdin():
            whom, _, command = line.decode().strip().partition(" ")
            if whom == "strangers":
                for _ in range(int(command)):
                    task = asyncio.create_task(_stranger(broker_port, random_.randbytes(16).hex()))
                    strangers.add(task)
                    task.add_done_callback(strangers.discard)
            else:
                repeat = {"repeat on": f"to {relay_port}", "repeat off": f"to {broker_port}"}
                proxy = served[int(whom)][0]
                tell(proxy, repeat.get(command, command))
                if command in repeat:
                    proxy.cut()
        await asyncio.gather(*strangers)


def tell(proxy: Proxy, said: str) -> None:
    """Have a proxy do what a line says; with "to PORT", lead new connections there."""
    command, _, value = said.partition(" ")
    match command:
        case "cut":
            proxy.cut()
        case "stall":
            proxy.stall()
        case "delay":
            proxy.delay_s = float(value)
        case "throttle":
            proxy.bytes_per_s = float(value or math.inf)
        case "to":
            proxy.to_port = int(value)


async def _stranger(broker_port: int, session_id: str) -> None:
    """Stream one sample as an agent that nobody knows, and that never comes again."""
    header = StreamHeader(f"stranger-{session_id[:8]}", session_id, 0, 0, 0)
    with contextlib.suppress(grpc.RpcError, TimeoutError, asyncio.InvalidStateError):
        async with (
            asyncio.timeout(_STRANGERS_PATIENCE_S),
            plain_stream(f"127.0.0.1:{broker_port}", tuple(header.to_metadata())) as call,
        ):
            await call.write(BrokerRequest(id=0, sensor1=1.0))
            await call.read()


async def stdin() -> asyncio.StreamReader:
    """What this process is told, line by line."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:4])))
