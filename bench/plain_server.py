"""The broker as most people would first write it: grpcio's thread-pool server, parity, no store."""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from bench.traffic import parity
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.databroker_pb2_grpc import (
    BrokerServiceServicer,
    add_BrokerServiceServicer_to_server,
)


class PlainBroker(BrokerServiceServicer):
    """Answers each request with the parity of its id; occupies one thread for each stream."""

    def BidirectionalStreaming(  # noqa: N802 - the generated name
        self, request_iterator: Iterator[BrokerRequest], context: grpc.ServicerContext
    ) -> Iterator[BrokerResponse]:
        """One response for each request."""
        del context
        for request in request_iterator:
            yield BrokerResponse(id=request.id, prediction=parity(request.id))


def main() -> None:
    """Serve on a free port of loopback until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=10, help="streams served at a time")
    arguments = parser.parse_args()
    server = grpc.server(ThreadPoolExecutor(arguments.threads))
    add_BrokerServiceServicer_to_server(PlainBroker(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
