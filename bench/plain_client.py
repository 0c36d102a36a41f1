"""The agent as most people would first write it: grpcio's blocking client, no spool, no log."""

import argparse
import itertools
import signal
import time
from collections.abc import Iterator

import grpc

from wire import databroker_pb2_grpc
from wire.databroker_pb2 import BrokerRequest


def requests(rate_hz: float) -> Iterator[BrokerRequest]:
    """Samples with ids from 0, for ever, on an even grid."""
    started_s = time.monotonic()
    for sample_id in itertools.count():
        time.sleep(max(0.0, started_s + sample_id / rate_hz - time.monotonic()))
        yield BrokerRequest(id=sample_id, sensor1=0.1, sensor2=0.12, sensor3=0.09, sensor4=0.06)


def main() -> None:
    """Stream until SIGTERM; print how many answers came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--rate", type=float, default=200.0, metavar="HZ")
    arguments = parser.parse_args()
    answers = 0
    with grpc.insecure_channel(arguments.broker) as channel:
        stub = databroker_pb2_grpc.BrokerServiceStub(channel)  # type: ignore[no-untyped-call]
        call = stub.BidirectionalStreaming(requests(arguments.rate))
        signal.signal(signal.SIGTERM, lambda *_: call.cancel())
        try:
            for _ in call:
                answers += 1
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                raise
    print(f"predictions {answers}")


if __name__ == "__main__":
    main()
