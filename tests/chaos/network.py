"""What lies between agent and broker, a process of its own: python -m chaos.network PORT SEED.

A TCP proxy that does what it is told by lines on stdin, and ends with them. It
leads to the broker's port, or there by way of a relay that repeats old answers.
"""

import asyncio
import math
import random
import sys

from support.peers import Proxy, scripted_broker

from chaos.relay import Relay


async def _serve(broker_port: int, seed: int) -> None:
    relay = Relay(broker_port, random.Random(seed))  # noqa: S311 - to be drawn again
    async with scripted_broker(relay.serve) as relay_port, Proxy(broker_port).serving() as served:
        proxy, port = served
        sys.stderr.write(f"listening on {port}\n")
        async for line in await _stdin():
            command, _, value = line.decode().strip().partition(" ")
            match command:
                case "cut":
                    proxy.cut()
                case "stall":
                    proxy.stall()
                case "delay":
                    proxy.delay_s = float(value)
                case "throttle":
                    proxy.bytes_per_s = float(value or math.inf)
                case "repeat":
                    proxy.to_port = relay_port if value == "on" else broker_port
                    proxy.cut()


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
