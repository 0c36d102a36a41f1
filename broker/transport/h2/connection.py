"""One connection: reads a turn's work, answers it in one write, and knows when it is over."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from h2.exceptions import ProtocolError

from broker.transport import Handler
from broker.transport.h2.errors import ViolationError
from broker.transport.h2.exchange import Exchange
from broker.transport.h2.machine import GREETING
from broker.transport.h2.outlet import Outlet
from broker.transport.h2.pulse import Pulse, Step
from broker.transport.h2.reader import FrameReader
from quartet.foreign import described

log = logging.getLogger(__name__)


# A peer has no more on its way: the window of its connection, and a few frames.
_READ_BYTES = 65_536


def read_buffer() -> memoryview:
    """What all connections of a loop read into: each takes its bytes out at once."""
    return memoryview(bytearray(_READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """Serves the calls of one peer. Loop only.

    It brings the buffer: for each read of a record of TLS, uvloop and asyncio would have the system
    map 256 kB, and unmap them, which takes longer than the record.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        peer: str,
        now_s: float,
        buffer: memoryview,
        *,
        opened: Callable[["Connection"], None],
        closed: Callable[["Connection"], None],
        tell: Callable[[str, str], None],
    ) -> None:
        """`opened` is called when it is ready, and not if its handshake fails; then `closed` when
        it is gone; `tell` when the peer does what it must not.
        """
        self._handlers = handlers
        self._peer = peer
        self._buffer = buffer
        self._opened = opened
        self._closed = closed
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._outlet = Outlet()
        self._pulse = Pulse(now_s)
        self._next_turn: asyncio.Handle | None = None
        """Takes the frames that are left; nothing is read meanwhile."""

    # The socket's end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        self._transport = cast("asyncio.Transport", transport)
        self._outlet.open(self._transport)
        self._exchange = Exchange(self._handlers, self._peer, self._outlet, self._pulse)
        secured = transport.get_extra_info("ssl_object")
        if secured and (shown := secured.getpeercert(binary_form=True)):
            self._exchange.certificate = ssl.DER_cert_to_PEM_cert(shown).encode()
        self._outlet.send(GREETING)
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cut off whoever serves a call of it."""
        del exc
        self._outlet.gone()
        self._exchange.lose()
        self._closed(self)

    def pause_writing(self) -> None:
        """Have the calls wait."""
        self._outlet.is_full = True

    def resume_writing(self) -> None:
        """Let the calls write on."""
        self._outlet.is_full = False
        self._exchange.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what a read has brought, or the first of it."""
        if self._outlet.is_closed:
            self._outlet.drop(nbytes)
            return
        self._pulse.heard_s = self._loop.time()
        self._work(bytes(self._buffer[:nbytes]))

    def _work(self, data: bytes = b"") -> None:
        """Take a turn's frames, and send what they ask for in one write."""
        if self._next_turn:
            self._next_turn.cancel()
        if self._outlet.is_closed:
            return
        self._outlet.hold()
        try:
            for frame in self._reader.read(data):
                self._exchange.take(frame)
                if self._outlet.is_closed:
                    break
        except ViolationError as error:
            self._exchange.say_goaway(error.code, str(error))
            self._leave(str(error))
        except ProtocolError as error:  # h2 has a GOAWAY ready
            self._exchange.flush()
            self._leave(described(error))
        finally:
            self._outlet.release()
        self._pace()

    def _leave(self, why: str) -> None:
        self._tell(self._peer, f"its connection is ended: {why}")
        self._outlet.close()
        self._exchange.lose()

    def _pace(self) -> None:
        """Read no more while frames are left for the next turn."""
        was_behind = self._next_turn is not None
        is_behind = self._reader.is_behind and not self._outlet.is_closed
        self._next_turn = self._loop.call_soon(self._work) if is_behind else None
        if self._transport.is_closing():
            return
        if is_behind and not was_behind:
            self._transport.pause_reading()
        elif was_behind and not is_behind:
            self._transport.resume_reading()

    # Its life

    def stop(self) -> None:
        """Accept no more calls; end when those that are left have ended."""
        self._exchange.stop()

    def cut(self) -> None:
        """End all calls, and the connection behind what they have to say."""
        self._exchange.cancel()

    def abort(self) -> None:
        """Leave at once."""
        self._outlet.abort()

    def look(self, now_s: float) -> None:
        """To be called each few seconds: ping a silent peer, leave one that is gone or idle."""
        if self._outlet.is_closed or self._outlet.is_stuffed:
            self.abort()  # the peer does not take what is left to send
            return
        self._exchange.look()
        match self._pulse.look(now_s, is_busy=self._exchange.is_busy):
            case Step.PING:
                self._exchange.ping()
            case Step.STOP:
                self.stop()
            case Step.ABORT:
                log.debug("%s: does not answer", self._peer)
                self.abort()
