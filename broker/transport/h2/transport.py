"""The transport by h2: listens, has connections served, and stops in order."""

import asyncio
import logging
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker.transport import Handler, Health
from broker.transport.h2.connection import Connection, read_buffer
from broker.transport.h2.health import HealthService
from broker.transport.h2.listening import Listening, listen
from broker.transport.h2.peer_log import PeerLog
from broker.transport.h2.reflection import ReflectionService
from broker.transport.h2.tls import Contexts, failure
from quartet.address import Address, Place
from quartet.outage import Outage
from quartet.repeat import repeat
from wire import HEALTH_SERVICE

if TYPE_CHECKING:
    from broker.credentials import Credentials

log = logging.getLogger(__name__)

# What the system tells of a peer at a socket in the file system: process, user, group.
_CREDENTIALS = "3i"

# How often each connection is looked at: whether its peer is still there.
_LOOK_S = 5.0

# A peer closes its end when it hears that ours is closed. Then what was sent has arrived.
_LINGER_S = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the broker those may take who have opened no call yet."""

    handshake_s: float = 10.0
    """For a handshake of TLS, which takes milliseconds."""
    handshakes: int = 2048
    """At once: twice as many as agents that come back together. Beyond it the oldest goes: its
    peer may never end it, and each holds some 50 kB."""
    connections: int = 16_384
    """At once. Each holds some 50 kB, whether or not a call is on it."""


class H2Transport:
    """Serves on one address, with gRPC's health and reflection. Loop only."""

    def __init__(
        self,
        address: Place,
        credentials: "Credentials | None",
        limits: Limits = Limits(),
        *,
        is_shared: bool = False,
    ) -> None:
        """`is_shared`: other processes may listen on the same port, and get some of the agents."""
        self._address = address
        self._is_shared = is_shared
        self._credentials = credentials
        self._limits = limits
        self._handlers: dict[str, Handler] = {}
        self._contexts: Contexts | None = None
        self._buffer = read_buffer()
        self._connections: set[Connection] = set()
        self._crowd = Outage(log)
        self._peer_log = PeerLog()
        self._opening: dict[asyncio.Task[bool], None] = {}
        """Those whose connections are not ready yet, the oldest first."""
        self._gone = asyncio.Event()
        """Whether no connection is left."""

    async def start(self, handlers: Mapping[str, Handler]) -> int:
        """Accept calls of these methods; the port, or 0. ListenError where it cannot listen."""
        services = {method.split("/")[1] for method in handlers}
        self._health = HealthService(services)
        self._reflection = ReflectionService({*services, HEALTH_SERVICE})
        self._handlers = {**handlers, **self._health.handlers, **self._reflection.handlers}
        self._loop = asyncio.get_running_loop()
        if self._credentials:
            self._contexts = Contexts(self._credentials)
        sockets = await listen(self._address, is_shared=self._is_shared)
        self._listening = Listening(sockets, self._take)
        self._looking = asyncio.create_task(repeat(self._look, _LOOK_S))
        return sockets[0].getsockname()[1] if isinstance(self._address, Address) else 0

    async def show(self, health: Health) -> None:
        """Tell this state from now on, for each service and for the server as a whole."""
        self._health.show(health)

    async def stop(self, grace_s: float) -> None:
        """Accept no more; cut the calls that are left after the grace."""
        self._listening.close()
        self._looking.cancel()
        opening = [*self._opening]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        self._health.stop()
        self._reflection.stop()
        for connection in [*self._connections]:
            connection.stop()
        await self._wait(grace_s)
        for connection in [*self._connections]:
            connection.cut()
        await self._wait(_LINGER_S)
        for connection in [*self._connections]:
            connection.abort()
        await self._wait(_LINGER_S)

    async def _wait(self, most_s: float) -> None:
        self._gone.clear()
        if self._connections:
            try:
                await asyncio.wait_for(self._gone.wait(), most_s)
            except TimeoutError:
                log.debug("%d connections are left", len(self._connections))

    def _take(self, accepted: socket.socket) -> None:
        most = self._limits.connections
        if len(self._connections) >= most:
            self._crowd.failed("%d connections are open: who connects now is turned away", most)
            accepted.close()
            return
        self._crowd.ended("connections are accepted again")
        if len(self._opening) >= self._limits.handshakes:
            # Out of the number at once: the next one that comes in this turn ends another.
            oldest = next(iter(self._opening))
            del self._opening[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._admit(accepted))
        self._opening[task] = None
        task.add_done_callback(partial(self._opened, accepted))

    def _opened(self, accepted: socket.socket, task: asyncio.Task[bool]) -> None:
        self._opening.pop(task, None)
        if task.cancelled() or not task.result():
            accepted.close()

    async def _admit(self, accepted: socket.socket) -> bool:
        """Begin to serve a connection; whether that could be."""
        context = self._contexts.current if self._contexts else None
        peer = ""
        try:
            peer = peer_of(accepted)
            await self._loop.connect_accepted_socket(
                partial(self._connection, peer),
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._limits.handshake_s if context else None,
            )
        except OSError as error:
            if context and peer:
                level, what = failure(error)
                self._peer_log.tell(peer, what, level)
            return False
        return True

    def _connection(self, peer: str) -> Connection:
        return Connection(
            *(self._handlers, peer, self._loop.time(), self._buffer),
            opened=self._connections.add,
            closed=self._left,
            tell=self._peer_log.tell,
        )

    def _left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()

    def _look(self) -> None:
        now_s = self._loop.time()
        for connection in [*self._connections]:
            connection.look(now_s)


def peer_of(accepted: socket.socket) -> str:
    """The other end as HOST:PORT, or as unix:PID of the process that has connected. OSError."""
    if accepted.family == socket.AF_UNIX:
        size = struct.calcsize(_CREDENTIALS)
        told = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return f"unix:{struct.unpack(_CREDENTIALS, told)[0]}"
    host, port = accepted.getpeername()[:2]
    return str(Address(host, port))
