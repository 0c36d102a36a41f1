"""What lies between the parts of a fleet, a process of its own: python -m chaos.fleet.network N.

N TCP proxies that do what they are told by lines on stdin ("NUMBER COMMAND"), and end with them.
They lead nowhere until they are told where to.
"""

import asyncio
import contextlib
import sys

from support.peers import Proxy

from chaos.network import stdin, tell

NOWHERE = 0
"""In place of a port: connections are refused."""


async def _serve(count: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        served = [await stack.enter_async_context(Proxy(NOWHERE).serving()) for _ in range(count)]
        sys.stderr.write(f"listening on {' '.join(str(port) for _, port in served)}\n")
        async for line in await stdin():
            number, _, command = line.decode().strip().partition(" ")
            tell(served[int(number)][0], command)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
