"""gRPC's messages in a stream of bytes: a flag, a length of four bytes, and the message."""

import struct
from collections.abc import Iterable

from broker.model import Code, Ending

# A request has at most 31 bytes; nothing larger is one.
MOST_BYTES = 4096

_HEAD = struct.Struct(">BI")

# Nearly all messages have less than 256 bytes.
_SHORT = [_HEAD.pack(0, length) for length in range(256)]


def framed(messages: Iterable[bytes]) -> bytes:
    """Messages as they travel, none of them compressed."""
    return b"".join([_head(len(message)) + message for message in messages])


def _head(length: int) -> bytes:
    return _SHORT[length] if length < len(_SHORT) else _HEAD.pack(0, length)


class Unframer:
    """Cuts what a peer has sent into messages, whatever pieces it comes in."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        # As a list, pieces of a message each would take three times as much while they wait.
        self._unread = bytearray()
        self.taken_bytes = 0
        """How many bytes the messages had that were taken since somebody set this to 0."""
        self.problem: Ending | None = None
        """What is wrong with the message behind those that were taken."""

    def put(self, piece: bytes) -> None:
        """Add what has arrived."""
        self._unread += piece

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, not even a part of a message."""
        return not self._unread

    def take(self, most: int) -> list[bytes]:
        """The next messages, `most` or fewer; none where no whole one has arrived."""
        if not self._unread:  # as each time when all has been answered
            return []
        data = bytes(self._unread)
        messages: list[bytes] = []
        start, size = 0, len(data)
        while size - start >= 5 and len(messages) < most:
            flag, length = _HEAD.unpack_from(data, start)
            if flag or length > self._most_bytes:
                self.problem = self._objection(flag, length)
                break
            stop = start + 5 + length
            if stop > size:
                break
            messages.append(data[start + 5 : stop])
            start = stop
        del self._unread[:start]
        self.taken_bytes += start
        return messages

    def _objection(self, flag: int, length: int) -> Ending:
        if flag:
            reason = "a compressed message, but grpc-encoding is identity"
            return Ending(Code.INTERNAL, reason)
        reason = f"a message of {length} bytes, but at most {self._most_bytes} are allowed"
        return Ending(Code.RESOURCE_EXHAUSTED, reason)
