"""Streams that we have ended, and whose peers have not: each is reset, but not at once."""

import asyncio
from collections.abc import Iterable

from h2.errors import ErrorCodes

from broker.transport.h2 import frames
from broker.transport.h2.guard import Guard
from broker.transport.h2.machine import MOST_CALLS
from broker.transport.h2.outlet import Outlet

# Where a connection ends, its peers have this long to end their streams. It takes a round trip.
_PARTING_S = 0.5


class HalfClosed:
    """The half-closed streams of one connection. Loop only.

    HAProxy and curl lose the trailers of a stream when a reset comes with them. So the peer has
    five to ten seconds to end its side. What it sends meanwhile is dropped, and not credited.
    """

    def __init__(self, outlet: Outlet, guard: Guard, parting_s: float = _PARTING_S) -> None:
        self._outlet = outlet
        self._guard = guard
        self._parting_s = parting_s
        self._late_bytes: dict[int, int] = {}
        """Of each stream, the oldest first: what has come since we ended it."""
        self._seen: list[int] = []
        """Those that were here at the last look; the peer may have ended some of them since."""
        self._is_finishing = False
        self._parting: asyncio.TimerHandle | None = None

    def add(self, stream_id: int) -> None:
        """We have ended this one. If there are too many, the oldest is reset."""
        self._late_bytes[stream_id] = 0
        if len(self._late_bytes) > MOST_CALLS:
            self._reset([next(iter(self._late_bytes))])

    def receive(self, stream_id: int, size_bytes: int) -> None:
        """The peer has sent more. Beyond a whole window it does not heed windows, and is told.

        ViolationError where it sends on, or where it has ended the stream itself.
        """
        if stream_id not in self._late_bytes:
            self._guard.late(size_bytes)
            return
        self._late_bytes[stream_id] += size_bytes
        if self._late_bytes[stream_id] > frames.WINDOW_BYTES:
            self._reset([stream_id])

    def peer_ended(self, stream_id: int) -> None:
        """The peer has ended or reset this one, if it is here."""
        if self._late_bytes.pop(stream_id, None) is not None:
            self._look_if_done()

    def look(self) -> None:
        """Some seconds have passed: reset the streams that were here at the last look."""
        self._reset(self._seen)
        self._seen = list(self._late_bytes)

    def finish(self) -> None:
        """No call is left and none will come: close when no stream is left, or in a moment."""
        self._is_finishing = True
        self._look_if_done()
        if self._late_bytes and not self._parting:
            self._parting = asyncio.get_running_loop().call_later(self._parting_s, self.reset_all)

    def reset_all(self) -> None:
        """Wait no more: gRPC's clients lose the trailers if the connection ends before this."""
        self._reset(list(self._late_bytes))

    def gone(self) -> None:
        """The connection is gone."""
        if self._parting:
            self._parting.cancel()

    def _reset(self, stream_ids: Iterable[int]) -> None:
        for stream_id in stream_ids:
            if self._late_bytes.pop(stream_id, None) is not None:
                self._guard.stream_reset()
                self._outlet.send(frames.reset(stream_id, ErrorCodes.NO_ERROR))
        self._look_if_done()

    def _look_if_done(self) -> None:
        if self._is_finishing and not self._late_bytes:
            self._outlet.close()
