"""HTTP/2 frames (RFC 9113, section 4.1): nine bytes of head, then the payload."""

import enum
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Length (24 bits) and type (8 bits) are read as one number: one unpack for the whole head.
HEAD = struct.Struct(">IBI")
PAIR = struct.Struct(">HI")
NUMBER = struct.Struct(">I")

# Each peer opens a single stream on its connection; the first that a client may open is 1.
STREAM_ID = 1


class Kind(enum.IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(enum.IntFlag):
    """Flags of frames; ACK and END_STREAM share a bit and never a type."""

    NONE = 0x0
    ACK = 0x1
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(enum.IntEnum):
    """Settings that matter to either side here."""

    ENABLE_PUSH = 2
    INITIAL_WINDOW_SIZE = 4


def frame(kind: Kind, payload: bytes, flags: int = 0, stream_id: int = STREAM_ID) -> bytes:
    """One whole frame."""
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(Kind.SETTINGS, b"".join(PAIR.pack(*item) for item in values.items()), stream_id=0)


def window_update(size_bytes: int, stream_id: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the whole connection."""
    return frame(Kind.WINDOW_UPDATE, NUMBER.pack(size_bytes), stream_id=stream_id)


SETTINGS_ACK = frame(Kind.SETTINGS, b"", Flag.ACK, 0)
END_OF_STREAM = frame(Kind.DATA, b"", Flag.END_STREAM)


def unpadded(payload: bytes, flags: int) -> bytes:
    """The payload of a DATA or HEADERS frame without padding and priority."""
    if flags & Flag.PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & Flag.PRIORITY else payload
