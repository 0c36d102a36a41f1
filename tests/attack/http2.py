"""A raw HTTP/2 connection, which does what no client library would. Source: RFC 9113."""

import select
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Self

import hpack
from support.certificates import Files
from support.patience import PATIENCE_S

from wire import METHOD_PATH

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *(0, 1, 3, 4, 6, 7, 8, 9),
)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE = 4

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", type_, flags, stream) + payload


def setting(identifier: int, value: int) -> bytes:
    return struct.pack(">HI", identifier, value)


def message(body: bytes) -> bytes:
    """A gRPC message, not compressed."""
    return struct.pack(">BI", 0, len(body)) + body


def call_headers(
    more: Iterable[tuple[str, str]] = (), *, path: str = METHOD_PATH
) -> list[tuple[str, str]]:
    """Those of a call; lower case, as HTTP/2 wants it."""
    return [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]


class Connection:
    """To a broker, by TLS with this certificate; reads whatever comes while it writes."""

    def __init__(self, port: int, trusted: str, files: Files, settings: bytes = b"") -> None:
        context = ssl.create_default_context(cafile=trusted)
        context.load_cert_chain(files.certificate, files.key)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._socket.setblocking(False)
        self.encoder = hpack.Encoder()
        self._unread = b""
        self.seen: Counter[int] = Counter()
        self.goaway: tuple[int, bytes] | None = None
        self.is_closed = False
        self.send(_PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def open_call(self, stream: int, headers: list[tuple[str, str]] | None = None) -> bytes:
        """The frame that opens a call."""
        block = self.encoder.encode(headers or call_headers())
        return frame(HEADERS, END_HEADERS, stream, block)

    def send(self, data: bytes) -> bool:
        """Whether all of it went out, and the broker has not closed."""
        view, until_s = memoryview(data), time.monotonic() + PATIENCE_S
        while view and not self.is_closed and time.monotonic() < until_s:
            try:
                view = view[self._socket.send(view) :]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                select.select([self._socket], [self._socket], [], 0.1)
            except OSError:
                self.is_closed = True
            self._read()
        return not view and not self.is_closed

    def send_all(self, frames: Iterator[bytes], batch: int = 500) -> int:
        """How many frames went out before the broker had enough."""
        sent = 0
        while several := [each for _, each in zip(range(batch), frames, strict=False)]:
            if not self.send(b"".join(several)):
                break
            sent += len(several)
        return sent

    def wait_for_close(self) -> bool:
        """Whether the broker closes the connection, by itself, in time."""
        until_s = time.monotonic() + PATIENCE_S
        while not self.is_closed and time.monotonic() < until_s:
            select.select([self._socket], [], [], 0.1)
            self._read()
        return self.is_closed

    def wait_for(self, type_: int, count: int = 1) -> bool:
        """Whether so many frames of a type come in time."""
        until_s = time.monotonic() + PATIENCE_S
        while self.seen[type_] < count and not self.is_closed and time.monotonic() < until_s:
            select.select([self._socket], [], [], 0.1)
            self._read()
        return self.seen[type_] >= count

    def _read(self) -> None:
        try:
            while data := self._socket.recv(65536):
                self._take(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            pass
        self.is_closed = True

    def _take(self, data: bytes) -> None:
        self._unread += data
        while len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + length:
                return
            type_ = self._unread[3]
            payload, self._unread = self._unread[9 : 9 + length], self._unread[9 + length :]
            self.seen[type_] += 1
            if type_ == GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big"), payload[8:]
