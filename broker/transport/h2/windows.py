"""How much may be on its way on a connection, each way, over all of its calls."""

from typing import Generic, TypeVar

from h2.errors import ErrorCodes

from broker.transport.h2 import frames
from broker.transport.h2.errors import ViolationError

Who = TypeVar("Who")

# Room is given back in halves, so that updates are rare and the peer never runs dry.
_CREDIT_BYTES = frames.WINDOW_BYTES // 2


class Inflow:
    """What the peer may send. Credited on arrival: one slow call must not starve the others."""

    def __init__(self) -> None:
        self._uncredited_bytes = 0

    def take(self, size_bytes: int) -> int:
        """So much has come; how much the peer is to be credited now."""
        self._uncredited_bytes += size_bytes
        if self._uncredited_bytes < _CREDIT_BYTES:
            return 0
        if self._uncredited_bytes > frames.WINDOW_BYTES:
            raise ViolationError(ErrorCodes.FLOW_CONTROL_ERROR, "more bytes than the window")
        credit, self._uncredited_bytes = self._uncredited_bytes, 0
        return credit


class Outflow(Generic[Who]):
    """What we may send, and who waits for more."""

    def __init__(self) -> None:
        self._window_bytes = frames.WINDOW_BYTES
        self._waiting: dict[Who, None] = {}

    def take(self, size_bytes: int, who: Who) -> int:
        """How much of this may be sent now; for the rest one waits."""
        taken = min(size_bytes, self._window_bytes)
        self._window_bytes -= taken
        if taken < size_bytes:
            self._waiting[who] = None
        return taken

    def open(self, size_bytes: int) -> list[Who]:
        """So much more may be sent; who has waited for it, the longest first."""
        if not size_bytes:
            raise ViolationError(ErrorCodes.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing")
        self._window_bytes += size_bytes
        if self._window_bytes > frames.MOST_WINDOW_BYTES:
            raise ViolationError(ErrorCodes.FLOW_CONTROL_ERROR, "a window that is too large")
        waiting, self._waiting = self._waiting, {}
        return list(waiting)

    def leave(self, who: Who) -> None:
        """One waits no more."""
        self._waiting.pop(who, None)
