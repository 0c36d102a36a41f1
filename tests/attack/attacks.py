"""What an attacker tries: from outside, with no certificate, and from inside, with a good one.

Each takes a target and how often, and says in a few words what came of it. It
raises AssertionError where the broker let something through that it must not.
"""

import contextlib
import itertools
import random
import socket
import ssl
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from support.certificates import Ca, Files
from support.trust import Plant

from attack.http2 import (
    CONTINUATION,
    DATA,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PATIENCE_S,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    call_headers,
    frame,
    message,
    setting,
)
from wire.databroker_pb2 import BrokerRequest
from wire.databroker_pb2_grpc import BrokerServiceStub
from wire.metadata import StreamHeader


@dataclass(frozen=True)
class Target:
    """A broker that listens here, and an insider's certificate."""

    port: int
    plant: Plant
    insider: Files
    scratch: Path
    chance: random.Random

    def connect(self, settings: bytes = b"") -> Connection:
        return Connection(self.port, str(self.plant.ca.path), self.insider, settings)

    def channel(self, files: Files | None = None) -> grpc.Channel:
        of = files or self.insider
        credentials = grpc.ssl_channel_credentials(
            self.plant.ca.path.read_bytes(), of.key.read_bytes(), of.certificate.read_bytes()
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        return grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)


Attack = Callable[[Target, int], str]


# From outside


def bad_certificates(target: Target, count: int) -> str:
    """Of another authority, expired, not yet valid, and none at all."""
    other = Ca(target.scratch, "other")
    ca = target.plant.ca
    bad = [
        other.issue("press-1"),
        ca.issue("expired", from_days=-9, days=-1),
        ca.issue("early", from_days=2),
    ]
    for files in itertools.islice(itertools.cycle([*bad, None]), count):
        assert not _is_let_in(target, files), files
    return f"{count} handshakes refused"


def old_tls(target: Target, count: int) -> str:
    """TLS 1.0 and 1.1, and ciphers without a name."""
    for version in itertools.islice(
        itertools.cycle([ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]), count
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        try:
            with target.raw() as plain, context.wrap_socket(plain):
                raise AssertionError(f"{version.name} was accepted")
        except OSError:
            pass
    return f"{count} handshakes refused"


def plain_text(target: Target, count: int) -> str:
    """HTTP/2 without TLS, HTTP/1, and noise."""
    openings = itertools.cycle(
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            target.chance.randbytes(2000),
            b"\x16\x03\x01\xff\xff\x01" + target.chance.randbytes(300),
        ]
    )
    for opening in itertools.islice(openings, count):
        with target.raw() as plain, contextlib.suppress(ConnectionError):
            plain.sendall(opening)
            plain.shutdown(socket.SHUT_WR)
            answer = plain.recv(4096)
            # At most a TLS alert.
            assert not answer or answer[:1] == b"\x15", answer
    return f"{count} connections closed"


def slow_handshakes(target: Target, count: int) -> str:
    """Connections that begin a handshake, and go no further."""
    with contextlib.ExitStack() as leaving:
        held = [leaving.enter_context(target.raw()) for _ in range(count)]
        for plain in held:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert _is_let_in(target, target.insider), "nobody else may connect meanwhile"
        for plain in held:
            with contextlib.suppress(ConnectionError):
                assert plain.recv(4096)[:1] in {b"", b"\x15"}
    return f"{count} held, all closed by the broker"


# From inside: HTTP/2


def settings_flood(target: Target, count: int) -> str:
    """Each SETTINGS wants an acknowledgement."""
    with target.connect() as connection:
        sent = connection.send_all(
            frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 65_535)) for _ in range(count)
        )
        return _told(sent, connection)


def ping_flood(target: Target, count: int) -> str:
    """Each PING wants an answer."""
    with target.connect() as connection:
        sent = connection.send_all(
            frame(PING, 0, 0, struct.pack(">Q", number)) for number in range(count)
        )
        return _told(sent, connection)


def rapid_reset(target: Target, count: int) -> str:
    """Calls that are cancelled as soon as they are opened."""
    with target.connect() as connection:

        def calls() -> Iterator[bytes]:
            for number in range(count):
                stream = 2 * number + 1
                yield connection.open_call(stream) + frame(
                    RST_STREAM, 0, stream, struct.pack(">I", 8)
                )

        return _told(connection.send_all(calls(), batch=100), connection)


def continuation_flood(target: Target, count: int) -> str:
    """Headers that never end."""
    with target.connect() as connection:
        block = connection.encoder.encode(call_headers())
        field = hpack_literal("x", "y" * 1000)
        opening = frame(HEADERS, 0, 1, block)
        rest = (frame(CONTINUATION, 0, 1, field) for _ in range(count))
        return _told(connection.send_all(itertools.chain([opening], rest), batch=50), connection)


def header_bomb(target: Target, count: int) -> str:
    """Headers that are too large, each time on a new call, and ones that repeat a table's entry."""
    with target.connect() as connection:

        def calls() -> Iterator[bytes]:
            for number in range(count):
                large = [("x-bomb", "z" * 4000)] * (1 + number % 5)
                yield connection.open_call(2 * number + 1, call_headers(large))

        return _told(connection.send_all(calls(), batch=5), connection)


def tiny_windows(target: Target, count: int) -> str:
    """Calls that let no answer through: the broker may send a byte, and then none."""
    with target.connect(setting(INITIAL_WINDOW_SIZE, 1)) as connection:
        body = message(BrokerRequest(id=1, sensor1=0.5).SerializeToString())

        def calls() -> Iterator[bytes]:
            for number in range(count):
                stream = 2 * number + 1
                yield connection.open_call(stream) + frame(DATA, 0, stream, body * 20)

        return _told(connection.send_all(calls(), batch=10), connection)


def window_overflow(target: Target, count: int) -> str:
    """Windows beyond what is allowed, and updates of none."""
    for increment in itertools.islice(itertools.cycle([0, 0x7FFF_FFFF]), count):
        with target.connect() as connection:
            connection.send(connection.open_call(1))
            for stream in (1, 0):
                connection.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment)) * 2)
    return f"{count} connections"


# From inside: gRPC


def tiny_messages(target: Target, count: int) -> str:
    """As many samples as fit through, as fast as they go, answers unread until the end."""
    with target.channel() as channel:
        requests = (BrokerRequest(id=number & 0x7FFF_FFFF) for number in range(count))
        answered = sum(1 for _ in BrokerServiceStub(channel).BidirectionalStreaming(requests))
    assert answered == count
    return f"{count} answered, each"


def false_lengths(target: Target, count: int) -> str:
    """Messages that announce more than there is, or than there may be, or are compressed."""
    lengths = itertools.cycle([0xFFFF_FFFF, 5000, 0x7FFF_FFFF])
    with target.connect() as connection:
        for number, length in zip(range(count), lengths, strict=False):
            stream = 2 * number + 1
            head = struct.pack(">BI", number % 3, length)
            connection.send(connection.open_call(stream) + frame(DATA, 0, stream, head + b"x" * 64))
        return _told(count, connection)


def many_streams(target: Target, count: int) -> str:
    """More calls at a time than one certificate may have."""
    with target.connect() as connection:
        opening = (connection.open_call(2 * number + 1) for number in range(count))
        sent = connection.send_all(opening, batch=50)
        refused = connection.wait_for(HEADERS, min(sent, count) - 16) or connection.goaway
        assert refused, f"of {sent} calls, only {connection.seen[HEADERS]} were refused"
        return _told(sent, connection)


def another_name(target: Target, count: int) -> str:
    """Streams under the names of other agents."""
    body = BrokerRequest(id=0)
    with target.channel() as channel:
        call = BrokerServiceStub(channel).BidirectionalStreaming
        for number in range(count):
            header = StreamHeader(f"healthy{number or ''}", "0" * 32, 0, 1, 1)
            _expect(_REFUSED, call(iter([body]), metadata=header.to_metadata()))
    return f"{count} refused"


def malformed_metadata(target: Target, count: int) -> str:
    """Names, ids and numbers that are none."""
    with target.channel() as channel:
        call = BrokerServiceStub(channel).BidirectionalStreaming
        for _ in range(count):
            good = dict(StreamHeader("insider", "0" * 32, 0, 1, 1).to_metadata())
            key = target.chance.choice(list(good))
            junk = target.chance.choice(
                ["", "-1", "9" * 40, "a b", "../..", "%s%n", "x" * 3000, "é"]
            )
            good[key] = junk.encode("ascii", "ignore").decode()
            _expect(_REFUSED, call(iter([]), metadata=tuple(good.items())))
    return f"{count} refused"


def malformed_messages(target: Target, count: int) -> str:
    """Bytes that are no request; where they happen to be one, it is answered."""
    with target.channel() as channel:
        call = channel.stream_stream(
            "/bidirectional_databroker.BrokerService/BidirectionalStreaming"
        )
        for _ in range(count):
            junk = target.chance.randbytes(target.chance.randrange(1, 40))
            try:
                list(call(iter([junk])))
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error  # noqa: PT017
    return f"{count} refused or answered"


OUTSIDE: dict[Attack, int] = {
    bad_certificates: 200,
    old_tls: 200,
    plain_text: 1000,
    slow_handshakes: 1000,
}
INSIDE: dict[Attack, int] = {
    settings_flood: 200_000,
    ping_flood: 200_000,
    rapid_reset: 20_000,
    continuation_flood: 20_000,
    header_bomb: 1000,
    tiny_windows: 500,
    window_overflow: 100,
    tiny_messages: 1_000_000,
    false_lengths: 1000,
    many_streams: 2000,
    another_name: 500,
    malformed_metadata: 1000,
    malformed_messages: 1000,
}
ATTACKS = OUTSIDE | INSIDE
"""Each, and how often in the long run."""


def hpack_literal(name: str, value: str) -> bytes:
    """A field that goes into no table, neither of them compressed."""
    return b"\x00" + _hpack_text(name) + _hpack_text(value)


def _hpack_text(text: str) -> bytes:
    length = len(text)
    if length < 127:
        return bytes([length]) + text.encode()
    length -= 127
    head = b"\x7f"
    while length >= 128:
        head += bytes([length % 128 + 128])
        length //= 128
    return head + bytes([length]) + text.encode()


def _is_let_in(target: Target, files: Files | None) -> bool:
    """Whether the broker speaks HTTP/2 to one with this certificate."""
    context = ssl.create_default_context(cafile=str(target.plant.ca.path))
    context.set_alpn_protocols(["h2"])
    if files:
        context.load_cert_chain(files.certificate, files.key)
    try:
        with (
            target.raw() as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return bool(secured.recv(1))
    except OSError:
        return False


_REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED}


def _expect(codes: set[grpc.StatusCode], call: grpc.Call) -> None:
    try:
        answers = list(call)
    except grpc.RpcError as error:
        assert error.code() in codes, error  # noqa: PT017
    else:
        raise AssertionError(f"answered {answers}")


def _told(sent: int, connection: Connection) -> str:
    end = ""
    if connection.goaway:
        code, reason = connection.goaway
        end = f", then GOAWAY {code} {reason.decode('ascii', 'replace')[:40]}"
    elif connection.is_closed:
        end = ", then closed"
    return f"{sent} sent{end}"
