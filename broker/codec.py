"""Bytes to samples, answers to bytes. Nothing else of the broker touches protobuf."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from broker.model import Answer, Sample
from wire.databroker_pb2 import BrokerRequest, BrokerResponse


def decode(messages: Iterable[bytes]) -> tuple[list[Sample], str]:
    """The samples up to the first message that is none, and what is wrong with that one."""
    samples: list[Sample] = []
    for message in messages:
        try:
            request = BrokerRequest.FromString(message)
        except DecodeError:
            return samples, f"{len(message)} bytes that are not a BrokerRequest"
        values = request.sensor1, request.sensor2, request.sensor3, request.sensor4
        samples.append(Sample(request.id, values))
    return samples, ""


def encode(answers: Sequence[Answer]) -> list[bytes]:
    """One message for each answer."""
    return [
        BrokerResponse(id=answer.id, prediction=answer.prediction).SerializeToString()
        for answer in answers
    ]
