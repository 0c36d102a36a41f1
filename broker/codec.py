"""Bytes to samples, answers to bytes. Nothing else of the broker touches protobuf."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from broker.model import Answer, Sample, Standing
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.state_pb2 import AdmissionResponse, Alarm, Learning, StateResponse

ADMITTED = AdmissionResponse().SerializeToString()
"""The answer to who asks whether a stream would be admitted."""


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


def encode_standing(standing: Standing) -> bytes:
    """The answer to who asks how a line stands."""
    learning, alarm = standing.learning, standing.alarm
    return StateResponse(
        learning=Learning(seen=learning.seen, needed=learning.needed) if learning else None,
        alarm=Alarm(since_ns=alarm.since_ns, reason=alarm.reason) if alarm else None,
    ).SerializeToString()
