"""What each stream says and what it must hear, serialised once and shared by all streams."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Self

from bench.frames import Kind, frame
from broker.model import Sample
from broker.predictors.load import load
from quartet.channels import Values
from wire.databroker_pb2 import BrokerRequest, BrokerResponse

# The head that gRPC puts before each message: not compressed, and its length in four bytes.
_UNCOMPRESSED = b"\x00"


@dataclasses.dataclass(frozen=True, slots=True)
class Tape:
    """Messages one after another; message i lies at data[offsets[i]:offsets[i + 1]]."""

    data: bytes
    offsets: list[int]

    @classmethod
    def of(cls, messages: Iterable[bytes]) -> Self:
        """Join messages."""
        pieces = list(messages)
        return cls(b"".join(pieces), list(itertools.accumulate(map(len, pieces), initial=0)))

    def cut(self, first: int, end: int) -> bytes:
        """Messages first to end - 1."""
        return self.data[self.offsets[first] : self.offsets[end]]


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """Requests with ids from 0, one DATA frame each, and the answers that a black box gives."""

    requests: Tape  # whole DATA frames
    answers: Tape  # gRPC messages without frames: a server may share them out to frames as it likes
    count: int

    @classmethod
    def of(cls, count: int, predictor: str = "parity") -> Self:
        """Serialise count requests, and the answers of a built-in predictor."""
        ids = range(count)
        return cls(
            Tape.of(frame(Kind.DATA, request(i)) for i in ids),
            Tape.of(map(answer, ids, predictions(predictor, count))),
            count,
        )


def parity(sample_id: int) -> bool:
    """The answer that needs no state and that everybody knows in advance: is the id even?"""
    return sample_id % 2 == 0


def predictions(predictor: str, count: int) -> Iterable[bool]:
    """What a fresh black box says of the samples 0 to count - 1. Parity is not asked but known."""
    if predictor == "parity":
        return map(parity, range(count))
    predict = load(predictor, {}).make().predict
    return (bool(predict(Sample(i, _values(_message(i))))) for i in range(count))


def request(sample_id: int) -> bytes:
    """A sample as a gRPC message."""
    return _prefixed(_message(sample_id).SerializeToString())


def answer(sample_id: int, prediction: bool) -> bytes:
    """The answer expected to a sample, as a gRPC message."""
    return _prefixed(BrokerResponse(id=sample_id, prediction=prediction).SerializeToString())


def _message(sample_id: int) -> BrokerRequest:
    """No sensor is 0, so that each has its bytes on the wire."""
    near = 0.06 + sample_id % 97 * 1e-5
    return BrokerRequest(
        id=sample_id, sensor1=near, sensor2=near * 1.2, sensor3=near * 0.9, sensor4=near * 0.7
    )


def _values(message: BrokerRequest) -> Values:
    """As the wire rounds them."""
    return message.sensor1, message.sensor2, message.sensor3, message.sensor4


def _prefixed(message: bytes) -> bytes:
    return _UNCOMPRESSED + len(message).to_bytes(4, "big") + message
