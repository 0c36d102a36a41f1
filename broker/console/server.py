"""The HTTP server: uvicorn on sockets of ours, which ends within 2 s."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from broker.console.answers import CLOSE
from broker.console.attempts import network
from broker.errors import ListenError
from quartet.address import Address
from quartet.sockets import listening

# Answers on their way when the console stops.
_STOP_S = 1

_MOST_HEADER_BYTES = 16_384

# Looks at what waits to be sent, within the time after which an answer counts as stuck.
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a browser may take of the server."""

    request_s: float = 15.0
    """For a whole request to arrive, from its first byte, or from the connection."""
    stuck_s: float = 60.0
    """An answer of which nothing goes out for so long belongs to a browser that sleeps."""
    connections: int = 512
    """Beyond, the answer is 503 at once."""
    of_one: int = 384
    """Connections of one address, which may be a proxy's: others find room beside it."""


class _Bounded(H11Protocol):
    """Ends a connection that asks nothing, takes nothing, or is one too many of its address."""

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self.network = ""
        self._late: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._stuck = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        self.app_state = {**self.app_state, CLOSE: transport.close}
        super().connection_made(transport)
        self.network = network(self.client[0]) if self.client else ""
        if self._is_one_too_many():
            transport.abort()
            return
        self._time_request()
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        for timer in (self._late, self._look):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._time_request()

    def _time_request(self) -> None:
        """Limit the time for what a browser has still to send. It stays, whatever trickles in."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            if self._late:
                self._late.cancel()
            self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(self._bounds.request_s, self.transport.abort)

    def _is_one_too_many(self) -> bool:
        same = 0
        for each in self.connections:
            same += isinstance(each, _Bounded) and each.network == self.network
        return same > self._bounds.of_one

    def _look_again(self) -> None:
        """Cut an answer that is stuck. Closing alone would wait until it is sent."""
        waiting = self.transport.get_write_buffer_size()
        is_stuck = 0 < self._waiting <= waiting
        self._stuck = self._stuck + 1 if is_stuck else 0
        self._waiting = waiting
        if self._stuck >= _LOOKS:
            self.transport.abort()
            return
        self._look = self.loop.call_later(self._bounds.stuck_s / _LOOKS, self._look_again)


class _Server(uvicorn.Server):
    """Signals are the console's own to take."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def bind(address: Address) -> list[socket.socket]:
    """Sockets on all addresses of the host, on one port. ListenError where one cannot be had."""
    try:
        return listening(address)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from error
    except OSError as error:
        raise ListenError(
            f"cannot listen on {address}: {error.strerror}: choose another address with"
            " --listen, or end the program that has it"
        ) from error


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    sockets: list[socket.socket],
    tls: ssl.SSLContext | None,
    bounds: Bounds = Bounds(),
) -> AsyncIterator[None]:
    """Answer requests while entered; then cut what is not answered within a second."""
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(_Bounded, bounds=bounds)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=bounds.connections,
        timeout_graceful_shutdown=_STOP_S,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
    )
    config.load()
    config.ssl = tls
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.WARNING)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets))
    try:
        yield
    finally:
        log.setLevel(logging.CRITICAL)  # it would report each answer that is cut
        server.should_exit = True
        await task
