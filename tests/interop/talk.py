"""What a peer in Python is told on stdin and says on stdout, a line each; see peer.py."""

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader


def serve(carry_out: Callable[..., None]) -> None:
    """Carry out each line of stdin, until its end."""
    for line in sys.stdin:
        carry_out(*line.split())


def say(*words: object) -> None:
    """One thing that the broker has sent."""
    print(*words, flush=True)


def end(code: str, words: str = "") -> None:
    """The last word on a call: its status."""
    say("end", code, " ".join(words.split()))


def header(agent: str) -> Sequence[tuple[str, str | bytes]]:
    """The metadata of an agent's stream, in a session of its own."""
    return StreamHeader(agent, uuid.uuid4().hex, 0, time.time_ns(), 10**7).to_metadata()


def samples(count: int) -> Iterator[BrokerRequest]:
    """Samples from id 0."""
    for number in range(count):
        yield BrokerRequest(id=number, sensor1=0.1, sensor2=0.12, sensor3=0.09, sensor4=0.06)


def padded(size: int) -> BrokerRequest:
    """A sample with a field that nobody knows, so that it has a size in bytes, 200 or more."""
    rest = size - 3
    length = bytes([rest & 0x7F | 0x80, rest >> 7])
    return BrokerRequest.FromString(b"\x7a" + length + bytes(rest))
