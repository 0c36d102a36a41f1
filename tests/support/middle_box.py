"""What stands between an agent and its broker, and ends each connection at a stage of it."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import hpack
from support.certificates import Files

SETTINGS, HEADERS, DATA, RST_STREAM, GOAWAY = 4, 1, 0, 3, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
_PREFACE_BYTES = 24

# Of the loop, for a connection that was just accepted, or is aborted, to be closed.
_TURNS = 10

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", type_, flags, stream) + payload


async def close(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Close at once."""


async def close_at_first_bytes(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(1 << 16)


async def reset_at_first_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1 << 16)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass


def say(answer: bytes) -> Script:
    """Answer the first bytes with this, and close."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(answer)
        await writer.drain()

    return script


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_port: int, late_s: float = 0.0
) -> None:
    """Pass everything on to a port and back; the first bytes that come back wait."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()

    there, back = await asyncio.open_connection("127.0.0.1", to_port)
    out = asyncio.create_task(pump(reader, back))
    try:
        await asyncio.sleep(late_s)
        await pump(there, writer)
    finally:
        out.cancel()
        back.transport.abort()


def late(to_port: int, late_s: float) -> Script:
    """Be slow to answer."""
    return lambda reader, writer: pass_on(reader, writer, to_port, late_s)


def http_proxy(to_port: int, asked: list[str], status: str = "200 Connected") -> Script:
    """Connect to a port whatever is asked for, and note that; or answer with another status."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.splitlines()[0])
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        await writer.drain()
        if status.startswith("200"):
            await pass_on(reader, writer, to_port)

    return script


def http2(answer: Callable[[int], bytes]) -> Script:
    """Speak HTTP/2, and answer each call, by its stream, with these frames."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(SETTINGS, 0, 0))
        await reader.readexactly(_PREFACE_BYTES)
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            type_, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if type_ == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            elif type_ == HEADERS:
                writer.write(answer(stream))
            await writer.drain()

    return script


def response(headers: Sequence[tuple[str, str]], body: bytes = b"") -> Callable[[int], bytes]:
    """A whole response, each time."""

    def frames(stream: int) -> bytes:
        block = hpack.Encoder().encode(headers)
        if not body:
            return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
        return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)

    return frames


def reset_call(error: int) -> Callable[[int], bytes]:
    return lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def go_away(said: bytes) -> Callable[[int], bytes]:
    return lambda _: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + said)


def context(files: Files, *, alpn: Sequence[str] = ("h2",), client_ca: str = "") -> ssl.SSLContext:
    """TLS with this certificate, as a server has it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if client_ca:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(client_ca)
    return made


@asynccontextmanager
async def middle_box(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Have each connection by the script, and close it then; gives the port."""
    tasks = set[asyncio.Task[None]]()

    async def have(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            if tls:
                await writer.start_tls(tls)
            await script(reader, writer)
            if not tls:
                writer.close()
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.transport
        task = asyncio.create_task(have(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: connection.abort())
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # A closed server forgets to close what it accepted at the last moment: first, no more.
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await _turns()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@contextlib.contextmanager
def deaf_port() -> "contextlib.Iterator[int]":
    """A port that answers no connection: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield server.getsockname()[1]
