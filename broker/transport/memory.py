"""A transport within one process: calls without sockets, for tests and for embedding."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from broker.errors import LostError
from broker.model import Code, Ending
from broker.transport import Handler, Health, Room
from broker.transport.inbox import PAUSE_AT, Inbox

log = logging.getLogger(__name__)

_BROKEN = Ending(Code.UNAVAILABLE, "the connection broke")

Metadata = Sequence[tuple[str, str | bytes]]


class MemoryCall:
    """Both ends of one call: the handler's, as `Call` has it, and the peer's. Loop only."""

    def __init__(
        self,
        method: str,
        metadata: Metadata,
        peer: str,
        certificate: bytes | None,
        pause_at: int,
    ) -> None:
        self.method = method
        self.peer = peer
        self.metadata = metadata
        self.certificate = certificate
        self._requests = Inbox(pause_at)
        self._answers = Inbox(pause_at)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._serving: asyncio.Task[None] | None = None
        self._is_lost = False

    # The handler's end

    async def read(self, room: Room | None = None) -> Sequence[bytes]:
        """The messages that arrived since the last time; none at the end."""
        await self._requests.arrival()
        if room and self._requests.size:
            await room()
        return await self._requests.take()

    async def write(self, messages: Sequence[bytes]) -> None:
        """Send messages; waits while the peer does not read. LostError after cancel() or lose()."""
        for message in messages:
            await self._answers.room()
            if self._is_lost:
                raise LostError("the connection broke")
            self._answers.put(message)

    def end(self, ending: Ending) -> None:
        """End the call with this status once its handler returns; the first one wins."""
        self._requests.end(ending)

    # The peer's end

    async def send(self, *messages: bytes) -> None:
        """Send messages; waits while the handler does not read."""
        for message in messages:
            await self._requests.room()
            self._requests.put(message)

    def done_sending(self) -> None:
        """End the peer's side."""
        self._requests.close()

    async def receive(self) -> Sequence[bytes]:
        """The messages that were written since the last time; none at the end."""
        return await self._answers.take()

    @property
    def unread(self) -> int:
        """How many messages were written and not received yet."""
        return self._answers.size

    async def ending(self) -> Ending:
        """How the call ended; waits for it."""
        return await asyncio.shield(self._ending)

    def cancel(self) -> None:
        """Break the connection: the handler is cancelled."""
        self.lose()
        if self._serving:
            self._serving.cancel()

    def lose(self) -> None:
        """Break the connection, so that the handler notices when it writes."""
        self._is_lost = True
        self._answers.close()

    # The transport's

    def serve(self, handler: Handler | None) -> "asyncio.Task[None]":
        """Begin to serve the call."""
        self._serving = asyncio.create_task(self._run(handler))
        self._serving.add_done_callback(self._close)
        return self._serving

    async def _run(self, handler: Handler | None) -> None:
        if handler is None:
            self.end(Ending(Code.UNIMPLEMENTED, f"{self.method} is not served here"))
            return
        try:
            await handler(self)
        except LostError as error:
            log.debug("%s: %s", self.peer, error)
            self.end(_BROKEN)
        except Exception:
            log.exception("%s: a call of %s failed", self.peer, self.method)
            self.end(Ending(Code.INTERNAL, "the broker failed; its log says how"))

    def _close(self, served: "asyncio.Task[None]") -> None:
        self._requests.close()
        self._answers.close()
        self._ending.set_result(
            self._requests.ending or (_BROKEN if served.cancelled() else Ending(Code.OK))
        )


class MemoryTransport:
    """Calls are made by call(). Loop only."""

    def __init__(self, *, pause_at: int = PAUSE_AT) -> None:
        self._pause_at = pause_at
        self._handlers: Mapping[str, Handler] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.health = Health.NOT_SERVING

    async def start(self, handlers: Mapping[str, Handler]) -> int:
        """Accept calls of these methods; there is no port, and 0 is given."""
        self._handlers = handlers
        return 0

    async def show(self, health: Health) -> None:
        """Have this state from now on."""
        self.health = health

    async def stop(self, grace_s: float) -> None:
        """Serve no method any more; cut the calls that are left after the grace."""
        self._handlers = {}
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def call(
        self,
        method: str,
        metadata: Metadata = (),
        *,
        peer: str = "127.0.0.1:1",
        certificate: bytes | None = None,
    ) -> MemoryCall:
        """Make a call. Either side waits while the other has `pause_at` messages unread."""
        call = MemoryCall(method, metadata, peer, certificate, self._pause_at)
        task = call.serve(self._handlers.get(method))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return call
