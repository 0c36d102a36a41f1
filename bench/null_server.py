"""Answers made in advance, as fast as bytes can be copied: shows what the load itself can do.

Not a gRPC server: it counts requests without reading them, and sends back as many answers, one
DATA frame each, which is the most that the load can have to take apart.
"""

import argparse
import selectors
import socket
import sys

from bench import frames
from bench.frames import Flag, Kind, Setting
from bench.traffic import Tape, answer, parity

# The largest window that HTTP/2 has: flow control never holds the load back.
_WINDOW_BYTES = (1 << 31) - 1
_DEFAULT_WINDOW_BYTES = 65_535
_READ_BYTES = 1 << 17
_GREETING = frames.settings({Setting.INITIAL_WINDOW_SIZE: _WINDOW_BYTES}) + frames.window_update(
    _WINDOW_BYTES - _DEFAULT_WINDOW_BYTES, 0
)
# ":status: 200" is entry 8 of HPACK's static table (RFC 7541); the load asks for no more.
_HEADERS = frames.frame(Kind.HEADERS, b"\x88", Flag.END_HEADERS)
_TRAILERS = frames.frame(
    Kind.HEADERS,
    b"\x00\x0bgrpc-status\x010",  # a literal name and value, not to be remembered
    Flag.END_HEADERS | Flag.END_STREAM,
)


class Echo:
    """One connection: what is left of what came, and how many answers have gone."""

    def __init__(self, connection: socket.socket, answers: Tape) -> None:
        self._socket = connection
        self._answers = answers
        self._answered = 0
        self._unread = b""

    def receive(self) -> bool:
        """Answer what has come; False when the load has left."""
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                # Blocking is harmless: the load always reads, and never waits for its own writes.
                self._socket.sendall(self._replies(self._unread + data))
        except ConnectionError:
            return False
        return bool(data)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _replies(self, data: bytes) -> bytes:
        """Answers to the whole frames of data; the rest is kept."""
        replies = b""
        if data.startswith(frames.PREFACE):  # sent at once, so that it comes whole
            replies, data = _GREETING, data[len(frames.PREFACE) :]
        unpack = frames.HEAD.unpack_from
        trailers = b""
        first, start, size = self._answered, 0, len(data)
        while size - start >= 9:
            length_and_kind, flags, _ = unpack(data, start)
            end = start + 9 + (length_and_kind >> 8)
            if end > size:
                break
            start = end
            kind = length_and_kind & 0xFF
            if kind == 0 and flags:
                trailers = _TRAILERS
            elif kind == 0:
                self._answered += 1
            elif kind == Kind.HEADERS:
                replies += _HEADERS
        self._unread = data[start:]
        return replies + self._answers.cut(first, self._answered) + trailers


def main() -> None:
    """Serve on a free port of loopback until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="the most on one stream")
    arguments = parser.parse_args()
    answers = Tape.of(
        frames.frame(Kind.DATA, answer(i, parity(i))) for i in range(arguments.messages)
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(connection, selectors.EVENT_READ, Echo(connection, answers))
                elif not key.data.receive():
                    selector.unregister(key.fileobj)
                    key.data.close()


if __name__ == "__main__":
    main()
