"""Opens streams, sends one sample on each, and resets them: python dropper.py HOST:PORT COUNT.

Raw HTTP/2, a hundred streams a connection: no client library stands between.
"""

import socket
import sys

from hpack import Encoder

from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest

A_CONNECTION = 100

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_HEADERS = 4
CANCEL = (8).to_bytes(4)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return b"%b%c%c%b%b" % (
        len(payload).to_bytes(3),
        kind,
        flags,
        stream.to_bytes(4),
        payload,
    )


def drop(host: str, port: int) -> None:
    """Open and reset the streams of one connection."""
    encoder = Encoder()
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD_PATH,
        ":authority": host,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    request = BrokerRequest(id=1, sensor1=1.0).SerializeToString()
    message = b"\0" + len(request).to_bytes(4) + request
    streams = range(1, 2 * A_CONNECTION, 2)
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
        for stream in streams:
            connection.sendall(
                frame(HEADERS, END_HEADERS, stream, encoder.encode(headers.items()))
                + frame(DATA, 0, stream, message)
            )
        connection.recv(65536)
        connection.sendall(b"".join(frame(RST_STREAM, 0, stream, CANCEL) for stream in streams))


if __name__ == "__main__":
    host, _, port = sys.argv[1].partition(":")
    for _ in range(int(sys.argv[2]) // A_CONNECTION):
        drop(host, int(port))
