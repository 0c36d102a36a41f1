"""A client of HTTP/2 in memory, by the library h2, and what it sees of a connection of ours."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from broker.model import Code
from broker.transport import Call, Handler
from broker.transport.h2.connection import Connection, read_buffer
from broker.transport.h2.messages import Unframer, framed
from wire import METHOD_PATH

_SETTLED = 12


class Pipe(asyncio.Transport):
    """The socket's place: keeps what is written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False
        self.is_aborted = False
        self.is_paused = False
        self.unsent_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    write_eof = close
    """The peer leaves when it hears that the broker does."""

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Stream:
    """What came back on one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.unframer = Unframer()
        self.messages: list[bytes] = []
        self.reset: ErrorCodes | None = None
        self.has_ended = False

    @property
    def status(self) -> str | None:
        return (self.trailers or self.headers).get("grpc-status")


PEERS: list["Peer"] = []
"""All that were made, for whoever clears up."""


class Peer:
    """Both ends of one connection. Its bytes go over in pieces of `piece` bytes."""

    def __init__(self, handlers: Mapping[str, Handler], *, piece: int = 65_536) -> None:
        self.left = False
        self.told: list[str] = []
        """What the log would say of it."""
        self.connection = Connection(
            handlers,
            "127.0.0.1:7",
            asyncio.get_running_loop().time(),
            read_buffer(),
            opened=lambda _: None,
            closed=self._leave,
            tell=lambda _, what: self.told.append(what),
        )
        self.pipe = Pipe()
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True, header_encoding="utf-8", validate_outbound_headers=False
            )
        )
        self.streams: defaultdict[int, Stream] = defaultdict(Stream)
        self.goaway: tuple[int, bytes] | None = None
        self.pongs = 0
        self.reads_windows = True
        """Whether it lets the broker send on."""
        self._piece = piece
        PEERS.append(self)
        self.h2.initiate_connection()
        self.connection.connection_made(self.pipe)

    def _leave(self, _: Connection) -> None:
        self.left = True

    def call(
        self, *messages: bytes, path: str = METHOD_PATH, end: bool = False, **more: str
    ) -> Stream:
        """Open a call and send these."""
        stream_id = self.h2.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        self.h2.send_headers(stream_id, [*headers.items()])
        stream = self.streams[stream_id]
        self.send(stream, *messages, end=end)
        return stream

    def id_of(self, stream: Stream) -> int:
        return next(number for number, each in self.streams.items() if each is stream)

    def send(self, stream: Stream, *messages: bytes, end: bool = False) -> None:
        """Send messages, each in a frame of its own."""
        number = self.id_of(stream)
        for message in messages:
            self.h2.send_data(number, framed([message]))
        if end:
            self.h2.end_stream(number)

    def raw(self, data: bytes) -> None:
        """Have these bytes arrive behind all others."""
        self._deliver(self.h2.data_to_send() + data)

    async def settle(self) -> None:
        """Let everything that can happen do so."""
        quiet = 0
        while quiet < _SETTLED:
            is_busy = self.pipe.is_paused and not self.pipe.is_closed
            quiet = 0 if is_busy else quiet + 1
            self.exchange()
            await asyncio.sleep(0)

    def exchange(self) -> None:
        """Pass on what both ends have to say now."""
        if data := self.h2.data_to_send():
            self._deliver(data)
        written, self.pipe.written = self.pipe.written, []
        self.take(b"".join(written))
        if self.pipe.is_closed and not self.left:
            self.connection.connection_lost(None)

    def take(self, data: bytes) -> None:
        """Read what the broker has sent."""
        for event in self.h2.receive_data(data):
            self._note(event)

    def _deliver(self, data: bytes) -> None:
        for start in range(0, len(data), self._piece):
            if self.pipe.is_closed:
                return
            self.deliver(data[start : start + self._piece])

    def deliver(self, data: bytes) -> None:
        """Have a read bring these bytes."""
        self.connection.get_buffer(-1)[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def _note(self, event: object) -> None:
        match event:
            case ResponseReceived():
                self.streams[event.stream_id].headers = dict(event.headers)
            case TrailersReceived():
                self.streams[event.stream_id].trailers = dict(event.headers)
            case DataReceived():
                stream = self.streams[event.stream_id]
                stream.unframer.put(event.data)
                stream.messages += stream.unframer.take(100_000)
                if self.reads_windows:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.streams[event.stream_id].has_ended = True
            case StreamReset():
                self.streams[event.stream_id].reset = ErrorCodes(event.error_code)
            case ConnectionTerminated():
                self.goaway = event.error_code, event.additional_data or b""
            case PingAckReceived():
                self.pongs += 1
            case InformationalResponseReceived():
                raise AssertionError(event)


def in_pieces(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """It, cut at pieces of these sizes; the rest is one."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


async def echo(call: Call) -> None:
    while messages := await call.read():
        await call.write(messages)


async def stay(_: Call) -> None:
    await asyncio.Event().wait()


def status(code: Code) -> str:
    """As it is told in trailers."""
    return str(code.value)


async def lose_all() -> None:
    """Lose every connection; nothing runs on for any of them."""
    for peer in PEERS:
        if not peer.left:
            peer.connection.connection_lost(None)
    PEERS.clear()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "H2Call" in repr(task.get_coro())]
