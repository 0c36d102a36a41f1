"""What goes out on a connection."""

import asyncio
from contextlib import suppress

# A peer closes its end when it hears that ours is closed. Until then what it sends is read and
# dropped: a socket that is closed with unread bytes is reset, and the peer may lose what we said.
_LINGER_S = 1.0
_MOST_DROPPED_BYTES = 1_048_576

# Calls wait where the socket takes no more, each with 128 answers or less. What is refused at
# once, and acknowledgements, do not wait.
_MOST_UNSENT_BYTES = 1_048_576


class Outlet:
    """Writes to a socket: what a read asks for in one write, and so what several calls say in a
    turn of the loop. What the only call of a connection says goes out at once. Loop only.

    After close() nothing is sent any more, and nobody needs to know.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] | None = None
        self._end: asyncio.TimerHandle | None = None
        self._dropped_bytes = 0
        self.is_closed = False
        self.has_several = False
        """Whether several calls write here."""
        self.is_full = False
        """Whether the socket takes no more for now."""

    @property
    def is_stuffed(self) -> bool:
        """Whether the peer asks for more, and takes nothing of it."""
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > _MOST_UNSENT_BYTES

    def open(self, transport: asyncio.Transport) -> None:
        """Write to this one."""
        self._transport = transport

    def hold(self) -> None:
        """Keep what is sent until release()."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Send what was kept."""
        held, self._held = self._held, None
        if held and self._transport and not self.is_closed:
            self._transport.write(b"".join(held))

    def send(self, data: bytes) -> None:
        """Send bytes behind those that were sent before."""
        if self.is_closed or self._transport is None:
            return
        if self._held is not None:
            self._held.append(data)
        elif self.has_several:
            self._held = [data]
            asyncio.get_running_loop().call_soon(self.release)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Leave when all has been sent and the peer has left, or has had the time to.

        A peer that does not even take what was sent is left by abort().
        """
        if self._transport and not self.is_closed:
            self.release()
            self.is_closed = True
            if self._transport.can_write_eof():  # TLS has no such end: GOAWAY says it
                with suppress(OSError):  # the peer has left
                    self._transport.write_eof()
            self._end = asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)

    def drop(self, size_bytes: int) -> None:
        """Bytes have come after close()."""
        self._dropped_bytes += size_bytes
        if self._dropped_bytes > _MOST_DROPPED_BYTES:
            self.abort()

    def abort(self) -> None:
        """Leave at once."""
        self.is_closed = True
        if self._transport:
            self._transport.abort()

    def gone(self) -> None:
        """The socket is closed."""
        self.is_closed = True
        if self._end:
            self._end.cancel()
