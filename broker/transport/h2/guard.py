"""How much a peer may have done for nothing: frames that bring no sample forward, and resets."""

from h2.errors import ErrorCodes

from broker.transport.h2 import frames
from broker.transport.h2.errors import ViolationError

# What a frame costs, in the time of a WINDOW_UPDATE, about 2 us: the others go through h2. A
# frame of a kind that is not named here goes there too. gRPC's clients send a RST_STREAM for each
# call that is refused; those that cancel a call are counted as resets besides.
_COSTS = {frames.WINDOW_UPDATE: 1, frames.DATA: 1, frames.HEADERS: 4, frames.RST_STREAM: 4}
_COST = 16

# 512 pings, or 8192 updates of windows: grpcio sends up to one for each answer, and a ping for
# each few kB of them. Each write of answers sets the count to 0.
_MOST_COST = 8192

# Calls that a peer may cancel, or have refused for being too many, between two looks at the
# connection, five seconds. Each costs some 0.05 ms. A proxy whose other side breaks cancels all
# that a connection may have.
_MOST_RESETS = 300


class Guard:
    """Counts what one connection asks for. ViolationError when it is too much."""

    def __init__(self, most_cost: int = _MOST_COST, most_resets: int = _MOST_RESETS) -> None:
        self._most_cost = most_cost
        self._most_resets = most_resets
        self._cost = 0
        self._resets = 0
        self._late_bytes = 0
        """How much data may still come on streams that are over."""

    def frame(self, kind: int) -> None:
        """A frame has come that brings no sample."""
        self._cost += _COSTS.get(kind, _COST)
        if self._cost > self._most_cost:
            raise ViolationError(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames without a message")

    def reset(self) -> None:
        """A call was opened for nothing."""
        self._resets += 1
        if self._resets > self._most_resets:
            raise ViolationError(ErrorCodes.ENHANCE_YOUR_CALM, "too many calls that were cancelled")

    def stream_reset(self) -> None:
        """We have reset a stream: its peer may have sent a window by the time it hears that."""
        self._late_bytes += frames.WINDOW_BYTES

    def late(self, size_bytes: int) -> None:
        """Data has come on a stream that is over."""
        self._late_bytes -= size_bytes
        if self._late_bytes < 0:
            raise ViolationError(ErrorCodes.STREAM_CLOSED, "data on streams that are over")

    def progress(self) -> None:
        """Answers were sent."""
        self._cost = 0

    def forgive(self) -> None:
        """Some seconds have passed."""
        self._cost = self._resets = 0
