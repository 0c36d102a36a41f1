"""What a browser may take of the server: time, connections, and the room for an answer."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from support.patience import PATIENCE_S

from broker.console.gate import Gate
from broker.console.server import Bounds, bind, serving
from quartet.address import Address

QUICK = Bounds(request_s=1.0, stuck_s=0.4)
HEAD = b"Host: localhost\r\nOrigin: http://localhost\r\n"


class Answers:
    """An application that reads what is posted, and has answers without an end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        """An answer without an end is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/":
            body = await Request(scope, receive).body()
            await Response(b"read %d" % len(body))(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body, is_over = b"x" * 65536, asyncio.create_task(left(receive))
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while path == "/flood" and not is_over.done():
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await is_over
        self.ended.set()


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def answering(bounds: Bounds) -> AsyncIterator[tuple[Answers, int]]:
    """The application and its port."""
    sockets = bind(Address("127.0.0.1", 0))
    app = Answers()
    async with serving(Gate(app, ()), sockets, None, bounds):
        yield app, sockets[0].getsockname()[1]


async def trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send it again and again."""
    with suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("whole", "half", "piece"),
    [
        (b"", b"", b""),
        (b"", b"GET / HTTP/1.1\r\nX", b"x"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n", b"GET / HTTP/1.1\r\nX", b"x"),
        (b"", b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 9000\r\n\r\n", b"x"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n", b"POST / HTTP/1.1\r\n" + HEAD, b"X-X: x\r\n"),
    ],
)
async def test_a_request_that_does_not_end_is_cut(
    caplog: pytest.LogCaptureFixture, whole: bytes, half: bytes, piece: bytes
) -> None:
    async with answering(QUICK) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if whole:
            writer.write(whole)
            assert b"200 OK" in await reader.readuntil(b"read 0")
        writer.write(half)
        sending = asyncio.create_task(trickle(writer, piece) if piece else asyncio.sleep(0))
        async with asyncio.timeout(PATIENCE_S / 2):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        sending.cancel()
        writer.close()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_an_answer_that_nobody_takes_is_cut_and_others_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answering(QUICK) as (app, port):
        idle, quiet = await asyncio.open_connection("127.0.0.1", port)
        quiet.write(b"GET /quiet HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert await idle.readuntil(b"begun")
        with socket.socket() as asleep:
            asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asleep.connect(("127.0.0.1", port))
            asleep.sendall(b"GET /flood HTTP/1.1\r\n" + HEAD + b"\r\n")
            async with asyncio.timeout(PATIENCE_S / 2):
                await app.ended.wait()
        assert not idle.at_eof()
        quiet.close()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_one_address_leaves_connections_for_others() -> None:
    opened: list[socket.socket] = []

    async def asked(address: str) -> bytes:
        """What comes back on a new connection of this address, which stays open."""
        page = socket.create_connection(("127.0.0.1", port), PATIENCE_S, (address, 0))
        opened.append(page)
        page.setblocking(False)
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            await loop.sock_sendall(page, b"GET /quiet HTTP/1.1\r\n" + HEAD + b"\r\n")
            async with asyncio.timeout(PATIENCE_S):
                return await loop.sock_recv(page, 15)
        return b""

    try:
        async with answering(Bounds(of_one=3)) as (_, port):
            said = [await asked("127.0.0.1") for _ in range(5)]
            assert said == [b"HTTP/1.1 200 OK"] * 3 + [b""] * 2
            assert await asked("127.0.0.2") == b"HTTP/1.1 200 OK"
            for page in opened:
                page.close()
    finally:
        for page in opened:
            page.close()
