"""A small HTTP server: GET and HEAD, three paths, one request a connection."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from quartet.address import Address
from quartet.clock import Clock
from quartet.errors import PortError
from quartet.foreign import shown
from quartet.metrics.settings import MetricsSettings
from quartet.metrics.text import CONTENT_TYPE
from quartet.sockets import listening

log = logging.getLogger(__name__)

_MOST_HEAD_BYTES = 8192

# Figures are gathered at most this often. Each time takes the loop some milliseconds, and whoever
# asks in an endless loop would have all of it.
_FRESH_S = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take of the listener."""

    connections: int = 32
    """Whoever connects beyond ends the oldest connection: one that is slow holds nobody up."""
    request_s: float = 5.0
    """For a whole request to arrive."""
    send_s: float = 10.0
    """For its answer to be taken."""


_BOUNDS = Bounds()


class _Reply(NamedTuple):
    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


class Answers:
    """What there is to tell. Loop only."""

    def __init__(
        self,
        metrics: Callable[[], str],
        trouble: Callable[[], str],
        hosts: Callable[[str], bool] = lambda _: True,
        clock: Clock = time,
    ) -> None:
        """`trouble`: why the program is not ready; empty when it is. `hosts`: who may be asked."""
        self._metrics = metrics
        self._trouble = trouble
        self._hosts = hosts
        self._clock = clock
        self._text = b""
        self._fresh_until_s = -1.0

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request, whose head this is."""
        reply = self._reply(head.decode("latin-1").splitlines())
        allow = "Allow: GET, HEAD\r\n" if reply.status is HTTPStatus.METHOD_NOT_ALLOWED else ""
        start = (
            f"HTTP/1.1 {reply.status.value} {reply.status.phrase}\r\n"
            f"Content-Type: {reply.kind}\r\nContent-Length: {len(reply.body)}\r\n{allow}"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n"
        )
        return start.encode() + (b"" if head.startswith(b"HEAD ") else reply.body)

    def _reply(self, lines: list[str]) -> _Reply:
        words = lines[0].split(" ") if lines else []
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _Reply(HTTPStatus.BAD_REQUEST, b"not a request of HTTP/1.1\n")
        method, path = words[0], words[1].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _Reply(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n")
        if not all(map(self._hosts, _hosts(lines))):
            told = b"Host: this listens for this machine alone: ask at 127.0.0.1\n"
            return _Reply(HTTPStatus.FORBIDDEN, told)
        try:
            return self._found(path)
        except Exception:
            log.exception("internal error: please report it")
            return _Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error\n")

    def _found(self, path: str) -> _Reply:
        match path:
            case "/metrics":
                return _Reply(HTTPStatus.OK, self._fresh(), CONTENT_TYPE)
            case "/healthz":
                return _Reply(HTTPStatus.OK, b"ok\n")
            case "/readyz":
                trouble = self._trouble()
                if not trouble:
                    return _Reply(HTTPStatus.OK, b"ready\n")
                text = f"not ready: {shown(trouble)}\n"
                return _Reply(HTTPStatus.SERVICE_UNAVAILABLE, text.encode())
        return _Reply(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")

    def _fresh(self) -> bytes:
        now_s = self._clock.monotonic()
        if now_s >= self._fresh_until_s:
            self._text = self._metrics().encode()
            self._fresh_until_s = now_s + _FRESH_S
        return self._text


def _hosts(lines: list[str]) -> list[str]:
    """The hosts in the headers, without their ports."""
    named = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
    return [_host(each) for each in named]


def _host(text: str) -> str:
    host, colon, port = text.rpartition(":")
    return (host if colon and port.isdecimal() else text).removeprefix("[").removesuffix("]")


def _is_local(host: str) -> bool:
    return Address(host, 0).is_loopback


class _Connection(asyncio.Protocol):
    """One request, and its answer. It is cut when either takes too long."""

    def __init__(self, answers: Answers, others: "dict[_Connection, None]", bounds: Bounds) -> None:
        self._answers = answers
        self._others = others
        self._bounds = bounds
        self._head = b""
        self._is_answered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the request."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._bounds.request_s, transport.abort)
        if len(self._others) >= self._bounds.connections:
            oldest = next(iter(self._others))
            del self._others[oldest]
            oldest.cut()
        self._others[self] = None

    def data_received(self, data: bytes) -> None:
        """Take a part of the request. What comes after it is left out."""
        if self._is_answered:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._end(self._answers.answer(self._head))
        elif len(self._head) > _MOST_HEAD_BYTES:
            self._end(b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n")

    def connection_lost(self, _: Exception | None) -> None:
        """Wait for nothing more."""
        self._timer.cancel()
        self._others.pop(self, None)

    def cut(self) -> None:
        """End at once."""
        self._transport.abort()

    def _end(self, answer: bytes) -> None:
        """Send, and let the peer close: it may not have read all when we do."""
        self._is_answered = True
        self._timer.cancel()
        self._timer = self._loop.call_later(self._bounds.send_s, self._transport.abort)
        self._transport.write(answer)
        self._transport.write_eof()


@contextmanager
def bound(settings: MetricsSettings) -> Iterator[Sequence[socket.socket]]:
    """Sockets that listen while entered; none where nothing is to listen. PortError."""
    address = settings.address
    if address is None:
        yield ()
        return
    try:
        sockets = listening(address)
    except OSError as error:
        raise PortError(
            f"metrics.listen: cannot listen on {address}: {error.strerror}: {_advice(error)}"
        ) from error
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "choose another port, or end the program that has it ('ss -ltnp' shows it)"
    return "choose an address of this machine, and a port above 1023"


@asynccontextmanager
async def serving(
    sockets: Sequence[socket.socket],
    metrics: Callable[[], str],
    trouble: Callable[[], str],
    bounds: Bounds = _BOUNDS,
) -> AsyncIterator[None]:
    """Answer while entered; then cut whoever is connected.

    `metrics` gives the figures as text, and `trouble` says why the program is not ready.
    """
    host, port = sockets[0].getsockname()[:2]
    address = Address(host, port)
    hosts = _is_local if address.is_loopback else lambda _: True
    answers = Answers(metrics, trouble, hosts)
    connections: dict[_Connection, None] = {}
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: _Connection(answers, connections, bounds), sock=each)
        for each in sockets
    ]
    without = "" if address.is_loopback else " WITHOUT TLS"
    log.info("metrics on http://%s/metrics%s", address, without)
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for connection in [*connections]:
            connection.cut()
