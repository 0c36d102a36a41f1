"""Any bytes and frames on connections: a stream beside them is answered, and memory is bounded."""

import itertools
import queue
import socket
from collections.abc import Iterator
from contextlib import suppress

import grpc
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S
from support.processes import Broker

from attack.http2 import END_HEADERS, HEADERS, SETTINGS, call_headers, frame
from bench.usage import resident_mb
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub

few = settings(derandomize=True, deadline=None, max_examples=200)

# What 200 connections may leave behind: far less than a leak of 1 MB each.
MOST_MB = 20.0

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
OPENING = frame(
    HEADERS, END_HEADERS, 1, hpack.Encoder().encode(call_headers([("grpc-timeout", "1H")]))
)

frames = st.builds(
    frame,
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0xFF]),
    st.sampled_from([0, 1, 1, 3, 2**31 - 1]),
    st.binary(max_size=40) | st.integers(0, 400).map(bytes),
)
sent = st.one_of(
    st.binary(max_size=400),
    st.lists(frames, max_size=10).map(lambda each: GREETING + b"".join(each)),
    st.lists(frames, max_size=10).map(lambda each: GREETING + OPENING + b"".join(each)),
)


class Neighbour:
    """A stream that stays open, at a broker of its own."""

    def __init__(self, broker: Broker, channel: grpc.Channel) -> None:
        self.broker = broker
        self._requests: queue.SimpleQueue[BrokerRequest] = queue.SimpleQueue()
        stub = BrokerServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = stub.BidirectionalStreaming(iter(self._requests.get, None))
        self._ids = itertools.count()

    def asks(self) -> None:
        """Have the next sample answered."""
        number = next(self._ids)
        self._requests.put(BrokerRequest(id=number))
        assert next(self._call).id == number

    def leave(self) -> None:
        self._call.cancel()


@pytest.fixture(scope="module")
def neighbour() -> Iterator[Neighbour]:
    with Broker("--predictor", "parity") as broker:
        with grpc.insecure_channel(broker.address) as channel:
            neighbour = Neighbour(broker, channel)
            neighbour.asks()
            before_mb = resident_mb(broker.pid)
            yield neighbour
            neighbour.leave()
        assert resident_mb(broker.pid) < before_mb + MOST_MB
        assert broker.stop() == 0
        assert "Traceback" not in broker.stderr


@few
@given(sent)
def test_a_neighbour_is_answered_whatever_comes(neighbour: Neighbour, data: bytes) -> None:
    address = ("127.0.0.1", neighbour.broker.port)
    # The broker may have enough of us, and reset the connection.
    with socket.create_connection(address, PATIENCE_S) as other, suppress(ConnectionError):
        other.sendall(data)
        neighbour.asks()
        with suppress(OSError):  # it has left
            other.shutdown(socket.SHUT_WR)
        while other.recv(65_536):
            pass
    neighbour.asks()
