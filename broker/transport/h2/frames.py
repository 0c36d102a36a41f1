"""HTTP/2 frames (RFC 9113, section 4): nine bytes of head, then the payload."""

import struct

from h2.errors import ErrorCodes

from broker.transport.h2.errors import ViolationError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEAD_BYTES = 9

Frame = tuple[int, int, int, bytes]
"""Its type, its flags, its stream, and all of it, with its head."""

# Length (24 bits) and type (8 bits) as one number, flags, stream.
HEAD = struct.Struct(">IBI")
_NUMBER = struct.Struct(">I")

# Of the frame's last four bytes the first bit means nothing.
STREAM_MASK = 0x7FFF_FFFF

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

# RFC 9113, 6.5.2: what holds until a peer's SETTINGS say otherwise. We never do.
WINDOW_BYTES = 65_535
MOST_FRAME_BYTES = 16_384

MOST_WINDOW_BYTES = 2**31 - 1


def data_frames(stream_id: int, payload: bytes) -> bytes:
    """DATA frames of this payload, each no larger than any peer must take."""
    if len(payload) <= MOST_FRAME_BYTES:
        return HEAD.pack(len(payload) << 8, 0, stream_id) + payload
    pieces: list[bytes] = []
    for start in range(0, len(payload), MOST_FRAME_BYTES):
        piece = payload[start : start + MOST_FRAME_BYTES]
        pieces += HEAD.pack(len(piece) << 8, 0, stream_id), piece
    return b"".join(pieces)


def window_update(stream_id: int, size_bytes: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the whole connection."""
    return HEAD.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id) + _NUMBER.pack(size_bytes)


def reset(stream_id: int, code: ErrorCodes) -> bytes:
    """A RST_STREAM frame."""
    return HEAD.pack(4 << 8 | RST_STREAM, 0, stream_id) + _NUMBER.pack(code)


def increment(payload: bytes) -> int:
    """What a WINDOW_UPDATE gives. ViolationError."""
    if len(payload) != _NUMBER.size:
        raise ViolationError(ErrorCodes.FRAME_SIZE_ERROR, "a WINDOW_UPDATE of a wrong length")
    (number,) = _NUMBER.unpack(payload)
    return int(number & STREAM_MASK)


def unpadded(payload: bytes) -> bytes:
    """The payload of a padded DATA frame without its padding. ViolationError."""
    if not payload or payload[0] >= len(payload):
        raise ViolationError(ErrorCodes.PROTOCOL_ERROR, "a DATA frame with too much padding")
    return payload[1 : len(payload) - payload[0]]
