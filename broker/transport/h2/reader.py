"""Cuts what a socket brings into frames."""

from collections.abc import Iterator

from h2.errors import ErrorCodes

from broker.transport.h2 import frames
from broker.transport.h2.errors import ViolationError

# What a frame takes of a turn: DATA and WINDOW_UPDATE as long as they take a slow core, HEADERS
# twice as long, all others four times. An agent sends few of the others, and nobody needs many:
# each of the four or five steps of another agent's answer waits for a turn of who floods.
_COSTS_US = {frames.DATA: 2, frames.WINDOW_UPDATE: 2, frames.HEADERS: 500}
_COST_US = 100

# Then the other connections come to their turn, however much this one has sent.
_TURN_US = 2000


class FrameReader:
    """Gives whole frames, whatever pieces they come in. The preface must come before them."""

    def __init__(self) -> None:
        self._unread = b""
        self._due = frames.PREFACE
        self.is_behind = False
        """Whether whole frames are left for another turn."""

    def read(self, data: bytes = b"") -> Iterator[frames.Frame]:
        """The frames that are whole now, at most a turn's. ViolationError for what is none."""
        if self._due:
            data = self._without_preface(data)
        if self._unread:
            data = self._unread + data
        start, size = 0, len(data)
        left_us = _TURN_US
        self.is_behind = False
        unpack = frames.HEAD.unpack_from
        while size - start >= frames.HEAD_BYTES:
            length_and_kind, flags, stream_id = unpack(data, start)
            length = length_and_kind >> 8
            if length > frames.MOST_FRAME_BYTES:
                raise ViolationError(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            stop = start + frames.HEAD_BYTES + length
            if stop > size:
                break
            if left_us <= 0:
                self.is_behind = True
                break
            kind = length_and_kind & 0xFF
            left_us -= _COSTS_US.get(kind, _COST_US)
            yield kind, flags, stream_id & frames.STREAM_MASK, data[start:stop]
            start = stop
        self._unread = data[start:]

    def _without_preface(self, data: bytes) -> bytes:
        preface, rest = data[: len(self._due)], data[len(self._due) :]
        if not self._due.startswith(preface):
            raise ViolationError(ErrorCodes.PROTOCOL_ERROR, "this port speaks HTTP/2 alone")
        self._due = self._due[len(preface) :]
        return rest
