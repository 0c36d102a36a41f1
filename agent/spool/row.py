"""A sample as a file keeps it: its key, its time and values, and their checksum."""

import struct
import zlib
from typing import NamedTuple

from agent.model import Sample, Session

SAMPLE_BYTES = 64
"""What a kept sample costs in its file, measured (44 in a row, more in small files), rounded up."""

_READING = struct.Struct("<q4f")

READING_BYTES = _READING.size + 4
"""Of a row's reading: a time, four values and their checksum."""


class Key(NamedTuple):
    """The order of all samples: the sequence of the session, and the id in it."""

    session: int
    id: int

    @classmethod
    def of(cls, sample: Sample) -> "Key":
        """The key of a sample."""
        return cls(sample.session.sequence, sample.id)


FAR_OFF = 2**61
"""A sequence beyond that of any session."""

BEFORE_ALL = Key(-FAR_OFF, -1)
AFTER_ALL = Key(FAR_OFF, -1)


class Row(NamedTuple):
    """A sample as it is kept: a key, and a time and four values with their checksum."""

    session: int
    id: int
    reading: bytes

    @property
    def key(self) -> Key:
        """The key of its sample."""
        return Key(self.session, self.id)


def pack(sample: Sample) -> Row:
    """Give the row of a sample."""
    return Row(sample.session.sequence, sample.id, reading(sample))


def reading(sample: Sample) -> bytes:
    """The reading of a sample's row."""
    packed = _READING.pack(sample.sampled_at_ns, *sample.values)
    return _with_checksum(packed, sample.session.id, sample.id)


def unpack(row: Row, session: Session) -> Sample | None:
    """Give the sample of a row; None where the checksum does not match."""
    if not verifies(row.reading, session.id, row.id):
        return None
    sampled_at_ns, first, second, third, fourth = _READING.unpack_from(row.reading)
    return Sample(session, row.id, (first, second, third, fourth), sampled_at_ns)


def verifies(reading: bytes, session_id: str, id_: int) -> bool:
    """Whether the checksum of a row's reading matches."""
    return reading == _with_checksum(reading[: _READING.size], session_id, id_)


def _with_checksum(reading: bytes, session_id: str, id_: int) -> bytes:
    """A value under another id, or in another session, is an invented one."""
    checksum = zlib.crc32(reading, zlib.crc32(session_id.encode(), id_))
    return reading + checksum.to_bytes(4, "little")
