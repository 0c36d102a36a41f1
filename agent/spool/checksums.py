"""Checksums of rows that are no samples: whether a row is the one that was written.

None in the place of a checksum: the row is from before there were any, and is not verified.
"""

import struct
import zlib

from agent.model import Session

_SESSION = struct.Struct("<3q")
_KEY = struct.Struct("<2q")
_MOVE = struct.Struct("<q")
_SEAL_BYTES = 4


def session_checksum(session: Session, account: bytes) -> int:
    """Of a session and its account. Errors where a part is of another type."""
    numbers = _SESSION.pack(session.sequence, session.period_ns, session.started_at_ns)
    return zlib.crc32(account, zlib.crc32(session.id.encode(), zlib.crc32(numbers)))


def sealed(session: Session) -> bytes | None:
    """The labels of a session's sensors behind their checksum; None for none.

    It is their own, so that they alone are lost with a flipped bit.
    """
    if not session.sensors:
        return None
    return _sensors_checksum(session.id, session.sensors) + session.sensors


def unsealed(session_id: str, labels: bytes | None) -> bytes:
    """What sealed() was given; empty where that is not whole."""
    checksum, sensors = (labels or b"")[:_SEAL_BYTES], (labels or b"")[_SEAL_BYTES:]
    return sensors if checksum == _sensors_checksum(session_id, sensors) else b""


def _sensors_checksum(session_id: str, sensors: bytes) -> bytes:
    return zlib.crc32(sensors, zlib.crc32(session_id.encode())).to_bytes(_SEAL_BYTES, "little")


def key_checksum(sequence: int, id_: int) -> int:
    """Of the key of a settled sample. struct.error where a part is no integer."""
    return zlib.crc32(_KEY.pack(sequence, id_))


def move_checksum(number: int) -> int:
    """Of the number of a move. struct.error where it is no integer."""
    return zlib.crc32(_MOVE.pack(number))


def session_verifies(session: Session, account: bytes, checksum: int | None) -> bool:
    """Whether a session and its account are whole; without a checksum, whether they may be."""
    try:
        return checksum in (None, session_checksum(session, account))
    except (AttributeError, TypeError, struct.error):
        return False


def key_verifies(sequence: int, id_: int, checksum: int | None) -> bool:
    """Whether the key of a settled sample is whole; as session_verifies()."""
    try:
        return checksum in (None, key_checksum(sequence, id_))
    except struct.error:
        return False


def move_verifies(number: int, checksum: int | None) -> bool:
    """Whether the number of a move is whole; as session_verifies()."""
    try:
        return checksum in (None, move_checksum(number))
    except struct.error:
        return False
