"""Opens streams, sends one sample on each, and drops them: python dropper.py ADDRESS COUNT."""

import asyncio
import contextlib
import sys

import grpc

from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

AT_A_TIME = 100


async def main(address: str, count: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        method = channel.stream_stream(METHOD_PATH)
        for batch in range(count // AT_A_TIME):
            calls = [
                method(metadata=StreamHeader(f"{batch}-{n}", "0" * 32, 0, 0, 0).to_metadata())
                if n % 2
                else method()
                for n in range(AT_A_TIME)
            ]
            for call in calls:
                # Some end before their time: see the test.
                with contextlib.suppress(asyncio.InvalidStateError, grpc.RpcError):
                    await call.write(BrokerRequest(id=0).SerializeToString())
            for call in calls:
                call.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
