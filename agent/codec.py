"""Sample to bytes, bytes to Answer. Nothing else in the agent touches protobuf."""

from google.protobuf.message import DecodeError

from agent.model import Answer, Sample
from wire.databroker_pb2 import BrokerRequest, BrokerResponse


def encode(sample: Sample) -> bytes:
    """Give the BrokerRequest of a sample; its values become 32-bit floats."""
    first, second, third, fourth = sample.values
    return BrokerRequest(
        id=sample.id, sensor1=first, sensor2=second, sensor3=third, sensor4=fourth
    ).SerializeToString()


def decode(message: bytes) -> Answer:
    """Read a BrokerResponse; ValueError where the bytes are none."""
    try:
        response = BrokerResponse.FromString(message)
    except DecodeError as error:
        raise ValueError(f"{len(message)} bytes that are not a BrokerResponse") from error
    return Answer(response.id, response.prediction)
