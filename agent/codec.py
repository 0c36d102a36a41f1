"""Sample to bytes, bytes to Answer. Nothing else in the agent touches protobuf."""

from google.protobuf.message import DecodeError

from agent.model import Answer, Learning, Sample, Standing
from quartet.foreign import shown
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.state_pb2 import AdmissionRequest, StateRequest, StateResponse

STATE_REQUEST = StateRequest().SerializeToString()
"""The question for the state of the caller's own line."""

ADMISSION_REQUEST = AdmissionRequest().SerializeToString()
"""The question whether a stream would be admitted."""

HEALTH_REQUEST = b""
"""The question for a server's health as a whole: a HealthCheckRequest without a service."""

# HealthCheckResponse(status=SERVING). The agent does not carry that service's library.
_SERVING = b"\x08\x01"


def is_serving(message: bytes) -> bool:
    """Whether a HealthCheckResponse says so."""
    return message == _SERVING


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


def decode_standing(message: bytes) -> Standing:
    """Read a StateResponse; ValueError where the bytes are none."""
    try:
        response = StateResponse.FromString(message)
    except DecodeError as error:
        raise ValueError(f"{len(message)} bytes that are not a StateResponse") from error
    learning = response.learning if response.HasField("learning") else None
    alarm = response.alarm if response.HasField("alarm") else None
    return Standing(
        Learning(learning.seen, learning.needed) if learning else None,
        alarm.since_ns if alarm else None,
        shown(alarm.reason) if alarm else "",
    )
