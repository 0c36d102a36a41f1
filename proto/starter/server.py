"""A broker in few lines: it answers each sample at once. Put your own prediction into `predict`.

python server.py [HOST:PORT]    (default: 127.0.0.1:8061)
"""

import asyncio
import sys

import grpc
from databroker_pb2 import BrokerRequest, BrokerResponse
from databroker_pb2_grpc import BrokerServiceServicer, add_BrokerServiceServicer_to_server

OPTIONS = [
    # Agents ping every 20 s, also while they have no sample. By default, a server refuses that.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),  # a second server on this port is an error
]


def predict(sample: BrokerRequest) -> bool:
    return sample.id % 2 == 0


class Broker(BrokerServiceServicer):
    async def BidirectionalStreaming(self, requests, context):
        async for sample in requests:
            yield BrokerResponse(id=sample.id, prediction=predict(sample))


async def serve(host: str, port: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    add_BrokerServiceServicer_to_server(Broker(), server)
    print(f"listening on {host}:{server.add_insecure_port(f'{host}:{port}')}", flush=True)
    await server.start()
    await server.wait_for_termination()


address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8061"
try:
    asyncio.run(serve(*address.rsplit(":", 1)))
except RuntimeError as error:  # the port is in use, for example
    sys.exit(f"{address}: {error}")
except KeyboardInterrupt:
    pass
