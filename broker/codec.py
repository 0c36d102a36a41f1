"""Bytes to samples, answers to bytes: what the broker knows of Quartet's messages.

What agents send is read, and what they hear is written, without the protobuf library: that takes
longer, and 4 MB. Only a message that is written otherwise has the library be imported.
"""

import struct
from collections.abc import Iterable, Sequence

from broker.model import Answer, Sample, Standing
from wire import MAX_ID
from wire.fields import message, number, text, varint

ADMITTED = b""
"""The answer to who asks whether a stream would be admitted: a message without fields."""

# Tags of fields: the number, and how the value is laid out.
_ID = 0x08
_SENSORS = (0x15, 0x1D, 0x25, 0x2D)
_TRUE = b"\x10\x01"

_ALL_SENSORS = struct.Struct("<BfBfBfBf")
_SENSOR = struct.Struct("<f")


def decode(messages: Iterable[bytes]) -> tuple[list[Sample], str]:
    """The samples up to the first message that is none, and what is wrong with that one."""
    samples: list[Sample] = []
    for each in messages:
        sample = _sample(each) or _unusual_sample(each)
        if sample is None:
            return samples, f"{len(each)} bytes that are not a BrokerRequest"
        samples.append(sample)
    return samples, ""


def encode(answers: Sequence[Answer]) -> list[bytes]:
    """One message for each answer."""
    return [_id(each.id) + _TRUE if each.prediction else _id(each.id) for each in answers]


def encode_standing(standing: Standing) -> bytes:
    """The answer to who asks how a line stands."""
    learning, alarm = standing.learning, standing.alarm
    encoded = b""
    if learning:
        encoded += message(1, number(1, learning.seen) + number(2, learning.needed))
    if alarm:
        encoded += message(2, number(1, alarm.since_ns) + text(2, alarm.reason))
    return encoded


def _sample(encoded: bytes) -> Sample | None:
    """A sample whose fields come once at most, and in their order; None: it is another message."""
    id_, start = _read_id(encoded) if encoded[:1] == b"\x08" else (0, 0)
    if not 0 <= id_ <= MAX_ID:
        return None
    if len(encoded) - start != _ALL_SENSORS.size:
        return _sparse_sample(id_, encoded, start)
    tag1, value1, tag2, value2, tag3, value3, tag4, value4 = _ALL_SENSORS.unpack_from(
        encoded, start
    )
    if (tag1, tag2, tag3, tag4) != _SENSORS:
        return None
    return Sample(id_, (value1, value2, value3, value4))


def _read_id(encoded: bytes) -> tuple[int, int]:
    """The number behind the tag, and where it ends; -1: it has more bytes than an id."""
    number = 0
    for place, byte in enumerate(encoded[1:6]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, place + 2
    return -1, 0


def _sparse_sample(id_: int, encoded: bytes, start: int) -> Sample | None:
    """The same where sensors of exactly 0 are left out."""
    values = [0.0, 0.0, 0.0, 0.0]
    for channel, tag in enumerate(_SENSORS):
        if encoded[start : start + 1] == bytes((tag,)):
            if len(encoded) < start + 5:
                return None
            (values[channel],) = _SENSOR.unpack_from(encoded, start + 1)
            start += 5
    return (
        Sample(id_, (values[0], values[1], values[2], values[3])) if start == len(encoded) else None
    )


def _unusual_sample(encoded: bytes) -> Sample | None:
    """A sample as the library reads it; None: it is none."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above

    from wire.databroker_pb2 import BrokerRequest  # noqa: PLC0415

    try:
        request = BrokerRequest.FromString(encoded)
    except DecodeError:
        return None
    return Sample(request.id, (request.sensor1, request.sensor2, request.sensor3, request.sensor4))


def _id(id_: int) -> bytes:
    if 0 < id_ < 0x80:
        return bytes((_ID, id_))
    if 0x80 <= id_ < 0x4000:
        return bytes((_ID, id_ & 0x7F | 0x80, id_ >> 7))
    return b"\x08" + varint(id_) if id_ else b""
