"""A client's connection with one gRPC stream on it: HTTP/2 written out, for speed."""

import bisect
import socket
import ssl
from collections.abc import Sequence
from typing import NoReturn

import hpack

from bench import frames
from bench.frames import Flag, Kind, Setting
from bench.tls import TlsSocket
from bench.traffic import Traffic

_REQUEST_HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/bidirectional_databroker.BrokerService/BidirectionalStreaming"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)

# RFC 9113, 6.9.2: what either side may send before the first SETTINGS or WINDOW_UPDATE.
_DEFAULT_WINDOW_BYTES = 65_535
# What the server may send ahead of our WINDOW_UPDATEs: far more than a window of answers.
_RECEIVE_WINDOW_BYTES = 1 << 20
# Room is given back in halves, so that updates are rare and the server never runs dry.
_UPDATE_EVERY_BYTES = _RECEIVE_WINDOW_BYTES // 2
# Loopback answers at once, unless the server's backlog is full.
_CONNECT_S = 10.0
# One read takes all that a full window of answers can bring (about 512 * 20 bytes).
_READ_BYTES = 1 << 17


Metadata = Sequence[tuple[str, str | bytes]]


class StreamError(Exception):
    """The stream broke, was refused, or carried a wrong answer."""


class Stream:
    """One stream on its own connection; sends pre-serialised requests, checks every answer.

    Only __init__ blocks, for the connection. Every method raises StreamError when the stream is
    broken, refused or ended by the server. `sent` and `answered` count messages.
    """

    def __init__(
        self,
        host: str,
        port: int,
        traffic: Traffic,
        metadata: Metadata = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`metadata` of the call: an agent's, or none."""
        self.sent = 0
        self.answered = 0
        self.is_ready = False  # the server's SETTINGS have come
        self.is_ended = False  # the server's trailers have come, with status 0
        self._traffic = traffic
        self._metadata = metadata
        self._released = 0
        self._is_finishing = False
        self._is_finished = False
        self._answer_bytes = 0
        self._unread = b""
        self._unsent = b""
        self._to_return_bytes = 0
        self._connection_room_bytes = _DEFAULT_WINDOW_BYTES
        self._stream_room_bytes = _DEFAULT_WINDOW_BYTES
        self._initial_window_bytes = _DEFAULT_WINDOW_BYTES
        self._header_block = b""
        self._headers_end_stream = False
        self._decoder = hpack.Decoder()
        try:
            connection = socket.create_connection((host, port), _CONNECT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket: socket.socket | TlsSocket = connection
            if tls:
                connection = tls.wrap_socket(connection, server_hostname=host)
                self._socket = TlsSocket(connection)
        except OSError as error:
            raise StreamError(f"no connection to {host}:{port}: {error}") from None
        connection.setblocking(False)
        self._write(
            frames.PREFACE
            + frames.settings(
                {Setting.ENABLE_PUSH: 0, Setting.INITIAL_WINDOW_SIZE: _RECEIVE_WINDOW_BYTES}
            )
            + frames.window_update(_RECEIVE_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES, 0)
        )
        self._authority = f"{host}:{port}"

    def fileno(self) -> int:
        """For the poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Leave at once; the server sees the connection break."""
        self._socket.close()

    @property
    def wants_write(self) -> bool:
        """Whether the socket's buffer was full."""
        return bool(self._unsent)

    def open(self) -> None:
        """Send the call's headers."""
        headers = hpack.Encoder().encode(
            [(":authority", self._authority), *_REQUEST_HEADERS, *self._metadata]
        )
        self._write(frames.frame(Kind.HEADERS, headers, Flag.END_HEADERS))

    def release(self, count: int) -> None:
        """Send messages up to `count` in all, as soon as the server's windows permit."""
        self._released = count
        self._pump()

    def finish(self) -> None:
        """Close our side in good order, after all that was released."""
        self._is_finishing = True
        self._pump()

    def flush(self) -> None:
        """Send what the socket did not take before."""
        unsent, self._unsent = self._unsent, b""
        self._write(unsent)

    def receive(self) -> int:
        """Read what is there; return the number of new answers, all of them checked.

        Raises:
            StreamError: the server ended the stream or connection, or an answer is wrong.
        """
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamError(f"connection lost after {self.answered} answers: {error}") from None
        if not data:
            self._fail("server closed the connection")
        if self._unread:
            data = self._unread + data
        answers = self._walk(data)
        before = self.answered
        if answers:
            self._check(answers)
        return self.answered - before

    def _walk(self, data: bytes) -> bytes:
        """Take whole frames off data; return the payloads of DATA."""
        unpack = frames.HEAD.unpack_from
        payloads: list[bytes] = []
        start, size = 0, len(data)
        while size - start >= 9:
            length_and_kind, flags, stream_id = unpack(data, start)
            payload_start = start + 9
            end = payload_start + (length_and_kind >> 8)
            if end > size:
                break
            kind = length_and_kind & 0xFF
            if kind == 0:
                self._to_return_bytes += end - payload_start
                if flags:
                    payloads.append(frames.unpadded(data[payload_start:end], flags))
                    if flags & Flag.END_STREAM:
                        self._fail("server ended the stream without a status")
                else:
                    payloads.append(data[payload_start:end])
            else:
                self._control(kind, flags, stream_id, data[payload_start:end])
            start = end
        self._unread = data[start:]
        if self._to_return_bytes >= _UPDATE_EVERY_BYTES:
            size_bytes, self._to_return_bytes = self._to_return_bytes, 0
            self._write(b"".join(frames.window_update(size_bytes, i) for i in (0, 1)))
        return b"".join(payloads)

    def _check(self, received: bytes) -> None:
        """Compare with what is due, and count; a message may be half there."""
        tape = self._traffic.answers
        start = self._answer_bytes
        end = start + len(received)
        if received != tape.data[start:end] or end > tape.offsets[self.sent]:
            self._fail("wrong or unasked answer")
        self._answer_bytes = end
        self.answered = bisect.bisect_right(tape.offsets, end, self.answered, self.sent + 1) - 1

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        match kind:
            case Kind.SETTINGS if not flags & Flag.ACK:
                self._apply_settings(payload)
            case Kind.WINDOW_UPDATE:
                (size_bytes,) = frames.NUMBER.unpack(payload)
                if stream_id:
                    self._stream_room_bytes += size_bytes
                else:
                    self._connection_room_bytes += size_bytes
                self._pump()
            case Kind.PING if not flags & Flag.ACK:
                self._write(frames.frame(Kind.PING, payload, Flag.ACK, 0))
            case Kind.HEADERS:
                self._header_block = frames.unpadded(payload, flags)
                self._headers_end_stream = bool(flags & Flag.END_STREAM)
                self._read_headers(flags)
            case Kind.CONTINUATION:
                self._header_block += payload
                self._read_headers(flags)
            case Kind.RST_STREAM:
                self._fail(f"server reset the stream, HTTP/2 code {int.from_bytes(payload)}")
            case Kind.GOAWAY:
                code, reason = int.from_bytes(payload[4:8]), payload[8:].decode(errors="replace")
                self._fail(f"server said GOAWAY, HTTP/2 code {code} {reason!r}")
            case Kind.PUSH_PROMISE:
                self._fail("server pushed, which was forbidden in our SETTINGS")

    def _apply_settings(self, payload: bytes) -> None:
        for key, value in frames.PAIR.iter_unpack(payload):
            if key == Setting.INITIAL_WINDOW_SIZE:
                self._stream_room_bytes += value - self._initial_window_bytes
                self._initial_window_bytes = value
        self.is_ready = True
        self._write(frames.SETTINGS_ACK)
        self._pump()

    def _read_headers(self, flags: int) -> None:
        if not flags & Flag.END_HEADERS:
            return
        headers = {
            str(name): str(value) for name, value in self._decoder.decode(self._header_block)
        }
        if headers.get(":status", "200") != "200":
            self._fail(f"HTTP status {headers[':status']}")
        if not self._headers_end_stream:
            return
        status = headers.get("grpc-status")
        if status != "0" or not self._is_finished:
            reason = headers.get("grpc-message", "")
            self._fail(f"server ended the stream, grpc-status {status} {reason!r}")
        self.is_ended = True

    def _pump(self) -> None:
        """Send released messages within the server's windows."""
        tape = self._traffic.requests
        first, end = self.sent, self._released
        room_bytes = min(self._stream_room_bytes, self._connection_room_bytes)

        def payload_bytes(upto: int) -> int:
            return tape.offsets[upto] - tape.offsets[first] - 9 * (upto - first)

        if end > first:
            if payload_bytes(end) > room_bytes:
                end = (
                    first
                    - 1
                    + bisect.bisect_right(range(first, end + 1), room_bytes, key=payload_bytes)
                )
            used_bytes = payload_bytes(end)
            self._stream_room_bytes -= used_bytes
            self._connection_room_bytes -= used_bytes
            self.sent = end
            self._write(tape.cut(first, end))
        if self._is_finishing and not self._is_finished and end == self._released:
            self._is_finished = True
            self._write(frames.END_OF_STREAM)

    def _write(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            taken = self._socket.send(data) if data else 0
        except BlockingIOError:
            taken = 0
        except OSError as error:
            raise StreamError(f"connection lost after {self.answered} answers: {error}") from None
        self._unsent = data[taken:]

    def _fail(self, what: str) -> NoReturn:
        raise StreamError(f"{what}, after {self.answered} answers to {self.sent} requests")
