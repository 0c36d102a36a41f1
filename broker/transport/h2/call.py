"""One call of a connection: messages both ways, within the windows of its HTTP/2 stream."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from h2.errors import ErrorCodes

from broker.errors import LostError
from broker.model import Code, Ending
from broker.transport import Handler, Room
from broker.transport.h2 import frames
from broker.transport.h2.headers import RESPONSE, Header, Request, trailers
from broker.transport.h2.messages import Unframer, framed

log = logging.getLogger(__name__)

# Room is given back in halves, so that updates are rare and the peer never runs dry.
_CREDIT_BYTES = frames.WINDOW_BYTES // 2

# Then the other calls come to their turn: forty agents that drain at once have each other, and
# those that do not, wait for some 50 ms, and not for as long as all of their windows take.
_AT_ONCE = 128


class Wire(Protocol):
    """What a call needs of its connection."""

    @property
    def is_full(self) -> bool:
        """Whether the socket takes no more for now."""
        ...

    def send_headers(self, stream_id: int, headers: Sequence[Header]) -> None:
        """Send the headers of the answers."""
        ...

    def send_data(self, call: "H2Call", data: bytes, most_bytes: int) -> int:
        """Send as much as this and the connection's window permit; how many bytes that was.

        Where it is the connection's window that lacks, pump() is called when it opens.
        """
        ...

    def credit(self, stream_id: int, size_bytes: int) -> None:
        """Let the peer send so much more on a stream."""
        ...

    def end(self, stream_id: int, headers: Sequence[Header], *, has_peer_ended: bool) -> None:
        """Send trailers; the call is over. Its peer may end its side yet, if it has not."""
        ...

    def forget(self, stream_id: int, code: ErrorCodes) -> None:
        """The call is over; reset its stream by this code."""
        ...


class H2Call:
    """A call as the seam has it. Loop only."""

    def __init__(
        self,
        wire: Wire,
        stream_id: int,
        request: Request,
        *,
        peer: str,
        certificate: bytes | None,
        window_bytes: int,
    ) -> None:
        self.method = request.method
        self.metadata = request.metadata
        self.peer = peer
        self.certificate = certificate
        self._wire = wire
        self.stream_id = stream_id
        self._timeout_s = request.timeout_s
        self._unframer = Unframer()
        self._took_all_it_might = False
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._unsent = b""
        self._window_bytes = window_bytes
        self._receivable_bytes = frames.WINDOW_BYTES
        self._has_begun = False
        self._is_lost = False
        self._is_over = False
        self._has_peer_ended = False
        self._ending: Ending | None = None
        self._task: asyncio.Task[None] | None = None

    # The handler's end

    async def read(self, room: Room | None = None) -> Sequence[bytes]:
        """The messages that arrived since the last time; none at the end."""
        if self._took_all_it_might:
            await asyncio.sleep(0)
        while True:
            self._credit()
            if room and not self._unframer.is_empty:
                await room()
            if messages := self._unframer.take(_AT_ONCE):
                self._took_all_it_might = len(messages) == _AT_ONCE
                return messages
            if self._is_lost:
                raise LostError("the connection broke")
            if self._ending:
                return []
            if problem := self._problem():
                self.end(problem)
                raise LostError(problem.reason)
            if self._has_peer_ended:
                return []
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    async def write(self, messages: Sequence[bytes]) -> None:
        """Send messages; waits while the peer takes none. LostError where the call broke."""
        if self._is_lost:
            raise LostError("the connection broke")
        if not self._has_begun:
            self._has_begun = True
            self._wire.send_headers(self.stream_id, RESPONSE)
        self._unsent += framed(messages)
        self._send()
        while self._unsent or self._wire.is_full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def end(self, ending: Ending) -> None:
        """End the call with this status once its handler returns; the first one wins."""
        self._ending = self._ending or ending
        _wake(self._arrival)

    def _problem(self) -> Ending | None:
        if self._unframer.problem or not self._has_peer_ended or self._unframer.is_empty:
            return self._unframer.problem
        return Ending(Code.INTERNAL, "a message that ends half-way")

    # The connection's end

    def receive(self, payload: bytes, size_bytes: int) -> bool:
        """Take the payload of a frame of this size; False: the peer may not send that."""
        self._receivable_bytes -= size_bytes
        if self._receivable_bytes < 0 or self._has_peer_ended:
            return False
        self._unframer.taken_bytes += size_bytes - len(payload)
        if self._ending is None:
            self._unframer.put(payload)
            _wake(self._arrival)
        return True

    def peer_ended(self) -> None:
        """Nothing more comes."""
        self._has_peer_ended = True
        _wake(self._arrival)

    @property
    def has_peer_ended(self) -> bool:
        """Whether the peer has ended its side."""
        return self._has_peer_ended

    def open_window(self, size_bytes: int) -> bool:
        """Let so much more be sent, or less; whether a window can be so large."""
        self._window_bytes += size_bytes
        if self._window_bytes > frames.MOST_WINDOW_BYTES:
            return False
        self.pump()
        return True

    def pump(self) -> None:
        """Send what may be sent now."""
        if self._unsent:
            self._send()
        self.wake_writer()

    def _send(self) -> None:
        sent = self._wire.send_data(self, self._unsent, max(0, self._window_bytes))
        self._window_bytes -= sent
        self._unsent = self._unsent[sent:]

    def wake_writer(self) -> None:
        """Let the handler write on, if nothing holds it back any more."""
        if not self._unsent and not self._wire.is_full:
            _wake(self._room)

    def lose(self) -> None:
        """The peer is gone, or has cancelled the call."""
        self._is_lost = True
        self.cancel()

    def cancel(self) -> None:
        """Cut the handler off."""
        if self._task:
            self._task.cancel()

    def serve(self, handler: Handler) -> "asyncio.Task[None]":
        """Have it served in a task, which ends when the call is over."""
        self._task = asyncio.create_task(self._run(handler))
        return self._task

    async def _run(self, handler: Handler) -> None:
        late = self._timeout_s is not None and asyncio.get_running_loop().call_later(
            self._timeout_s, self._expire
        )
        try:
            await self._handle(handler)
            if not self._is_lost:
                self._finish()
        finally:
            if late:
                late.cancel()
            if not self._is_lost and not self._is_over:
                self._wire.forget(self.stream_id, ErrorCodes.CANCEL)

    async def _handle(self, handler: Handler) -> None:
        try:
            await handler(self)
        except asyncio.CancelledError:
            # Behind half a message no ending can be told.
            if self._ending is None or self._is_lost or self._unsent:
                raise
        except LostError as error:
            log.debug("%s: %s", self.peer, error)
        except Exception:
            log.exception("%s: a call of %s failed", self.peer, self.method)
            self.end(Ending(Code.INTERNAL, "the broker failed; its log says how"))

    def _expire(self) -> None:
        self.end(Ending(Code.DEADLINE_EXCEEDED, "the caller's deadline has passed"))
        self.cancel()

    def refuse(self, ending: Ending) -> None:
        """End it without a handler."""
        self.end(ending)
        self._finish()

    def _finish(self) -> None:
        self._is_over = True
        headers = trailers(self._ending or Ending(Code.OK))
        if not self._has_begun:
            headers = [*RESPONSE, *headers]
        self._wire.end(self.stream_id, headers, has_peer_ended=self._has_peer_ended)

    def _credit(self) -> None:
        if self._unframer.taken_bytes >= _CREDIT_BYTES and not self._ending:
            size_bytes, self._unframer.taken_bytes = self._unframer.taken_bytes, 0
            self._receivable_bytes += size_bytes
            self._wire.credit(self.stream_id, size_bytes)


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting and not waiting.done():
        waiting.set_result(None)
