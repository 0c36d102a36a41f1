"""What a peer must not do: it ends a call, or the connection, and disturbs nobody else."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hypothesis import settings
from support.h2_peer import Peer, echo, lose_all, status, stay

from broker.errors import LostError
from broker.model import Code, Ending
from broker.transport import Call
from broker.transport.h2 import frames
from broker.transport.h2.machine import MOST_CALLS
from broker.transport.h2.messages import framed
from wire import METHOD_PATH

many = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """They are lost at the end."""
    yield
    await lose_all()


async def test_calls_beyond_the_limit_are_refused_and_the_others_go_on() -> None:
    peer = Peer({METHOD_PATH: stay, "/a.B/Echo": echo})
    await peer.settle()
    assert peer.h2.remote_settings.max_concurrent_streams == MOST_CALLS
    peer.h2.remote_settings = type(peer.h2.remote_settings)(
        client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 10_000}
    )
    streams = [peer.call(path="/a.B/Echo")] + [peer.call() for _ in range(MOST_CALLS + 2)]
    await peer.settle()
    refused = [stream for stream in streams if stream.reset]
    assert refused == streams[MOST_CALLS:]
    assert {stream.reset for stream in refused} == {ErrorCodes.REFUSED_STREAM}
    peer.send(streams[0], b"0", end=True)
    await peer.settle()
    assert streams[0].messages == [b"0"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (struct.pack(">BI", 0, 5000), Code.RESOURCE_EXHAUSTED),
        (struct.pack(">BI", 1, 1) + b"x", Code.INTERNAL),
        (framed([b"whole"]) + b"\0\0\0\0\5half", Code.INTERNAL),
    ],
)
async def test_messages_that_are_none_end_the_call_behind_those_before(
    body: bytes, code: Code
) -> None:
    raised: list[str] = []

    async def serve(call: Call) -> None:
        try:
            await echo(call)
        except LostError as error:
            raised.append(str(error))
            raise

    peer = Peer({METHOD_PATH: serve})
    stream = peer.call(b"good")
    peer.h2.send_data(peer.id_of(stream), body, end_stream=True)
    await peer.settle()
    assert stream.messages[:1] == [b"good"]
    assert stream.status == status(code)
    assert len(raised) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"grpc_encoding": "gzip"}, Code.UNIMPLEMENTED),
        ({"path": "/a.B/Unknown"}, Code.UNIMPLEMENTED),
        ({"x": "y" * 9000}, Code.RESOURCE_EXHAUSTED),
        ({"grpc_timeout": "soon"}, Code.INVALID_ARGUMENT),
        ({"x_bin": "?"}, Code.INVALID_ARGUMENT),
    ],
)
async def test_a_call_that_is_not_served_is_told_in_one_frame(
    headers: dict[str, str], expected: Code
) -> None:
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call(b"0", **headers)
    await peer.settle()
    assert stream.status == status(expected)
    assert stream.headers[":status"] == "200"
    assert stream.headers["content-type"] == "application/grpc"
    assert not stream.trailers
    if expected is Code.UNIMPLEMENTED:
        assert stream.headers["grpc-accept-encoding"] == "identity"
    good = peer.call(b"0", end=True)
    await peer.settle()
    assert good.status == "0"


async def test_what_is_no_call_of_grpc_gets_a_status_of_http() -> None:
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call(content_type="text/plain", end=True)
    await peer.settle()
    assert stream.headers == {":status": "415"}
    assert stream.has_ended


async def test_what_was_on_its_way_to_a_call_that_is_over_disturbs_nobody() -> None:
    async def refuse(call: Call) -> None:
        call.end(Ending(Code.ABORTED, "no"))

    peer = Peer({METHOD_PATH: refuse, "/a.B/Echo": echo})
    stream = peer.call()
    await peer.settle()
    number = peer.id_of(stream)
    assert stream.status == status(Code.ABORTED)
    late = frames.data_frames(number, bytes(16_000)) + frames.window_update(number, 9)
    for _ in range(8):  # more than the connection's window, which is given back
        peer.raw(late)
        await peer.settle()
    other = peer.call(b"0", path="/a.B/Echo", end=True)
    await peer.settle()
    assert other.status == "0"


async def test_who_sends_on_after_a_reset_loses_the_connection() -> None:
    async def refuse(call: Call) -> None:
        call.end(Ending(Code.ABORTED, "no"))

    peer = Peer({METHOD_PATH: refuse})
    stream = peer.call()
    await peer.settle()
    for _ in range(10):  # a window up to the reset, and one behind it
        peer.raw(frames.data_frames(peer.id_of(stream), bytes(16_000)))
        await peer.settle()
    assert peer.goaway is not None
    assert peer.goaway[0] == ErrorCodes.STREAM_CLOSED


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return frames.HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(frames.WINDOW_UPDATE, 0, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff"), ErrorCodes.FLOW_CONTROL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, bytes(5)), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(frames.DATA, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.DATA, 99, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, 1, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 2, b"\x82", 4), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 5, b"\xff\xff\xff", 4), ErrorCodes.PROTOCOL_ERROR),
        (frame(frames.DATA, 1, b"\x05x", frames.PADDED), ErrorCodes.PROTOCOL_ERROR),
        (
            frame(frames.HEADERS, 5, b"\x82") + frame(frames.DATA, 1, b"x"),
            ErrorCodes.PROTOCOL_ERROR,
        ),
        (b"\x00\x40\x01" + bytes(6), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(frames.PING, 0, bytes(8)) * 600, ErrorCodes.ENHANCE_YOUR_CALM),
        (frame(frames.SETTINGS, 0) * 600, ErrorCodes.ENHANCE_YOUR_CALM),
        (frame(frames.PRIORITY, 1, bytes(5)) * 600, ErrorCodes.ENHANCE_YOUR_CALM),
        (frame(0xAB, 1, bytes(5)) * 600, ErrorCodes.ENHANCE_YOUR_CALM),
        (frame(frames.DATA, 1) * 9000, ErrorCodes.ENHANCE_YOUR_CALM),
        (frames.window_update(1, 1) * 9000, ErrorCodes.ENHANCE_YOUR_CALM),
        (
            frame(frames.HEADERS, 5, b"\x82") + frame(frames.CONTINUATION, 5, b"\x82") * 100,
            ErrorCodes.PROTOCOL_ERROR,
        ),
        (
            frame(frames.HEADERS, 5, bytes(16_384))
            + frame(frames.CONTINUATION, 5, bytes(16_384)) * 3,
            ErrorCodes.ENHANCE_YOUR_CALM,
        ),
    ],
)
async def test_what_no_peer_may_do_ends_the_connection(data: bytes, code: ErrorCodes) -> None:
    ended = asyncio.Event()

    async def serve(call: Call) -> None:
        try:
            await echo(call)
        finally:
            ended.set()

    peer = Peer({METHOD_PATH: serve})
    peer.call(b"0")
    await peer.settle()
    peer.raw(data)
    await peer.settle()
    assert peer.left
    assert peer.goaway is not None
    assert peer.goaway[0] == code
    assert ended.is_set()
    (told,) = peer.told
    assert told.startswith("its connection is ended: ")


@pytest.mark.parametrize(
    ("payload", "kind", "code"),
    [
        (bytes(4), frames.WINDOW_UPDATE, ErrorCodes.PROTOCOL_ERROR),
        (b"\x7f\xff\xff\xff", frames.WINDOW_UPDATE, ErrorCodes.FLOW_CONTROL_ERROR),
    ],
)
async def test_what_a_call_may_not_do_ends_it_alone(
    payload: bytes, kind: int, code: ErrorCodes
) -> None:
    peer = Peer({METHOD_PATH: echo})
    stream, other = peer.call(b"0"), peer.call(b"0")
    await peer.settle()
    peer.raw(frame(kind, peer.id_of(stream), payload))
    peer.send(other, b"1", end=True)
    await peer.settle()
    assert stream.reset is code
    assert other.messages == [b"0", b"1"]
    assert other.status == "0"


async def test_a_call_that_sends_more_than_its_window_ends_alone() -> None:
    peer = Peer({METHOD_PATH: stay, "/a.B/Echo": echo})
    stream, other = peer.call(), peer.call(path="/a.B/Echo")
    await peer.settle()
    number = peer.id_of(stream)
    for _ in range(5):
        peer.raw(frames.data_frames(number, bytes(15_000)))
        await peer.settle()
    peer.send(other, b"1", end=True)
    await peer.settle()
    assert stream.reset is ErrorCodes.FLOW_CONTROL_ERROR
    assert other.status == "0"


async def test_data_behind_the_end_resets_the_call() -> None:
    peer = Peer({METHOD_PATH: stay})
    stream = peer.call(b"0", end=True)
    await peer.settle()
    peer.raw(frames.data_frames(peer.id_of(stream), b"x"))
    await peer.settle()
    assert stream.reset is ErrorCodes.STREAM_CLOSED


async def test_all_calls_of_a_connection_may_be_cancelled_at_once() -> None:
    peer = Peer({METHOD_PATH: stay, "/a.B/Echo": echo})
    await peer.settle()
    streams = [peer.call() for _ in range(MOST_CALLS)]
    await peer.settle()
    for stream in streams:
        peer.h2.reset_stream(peer.id_of(stream), ErrorCodes.CANCEL)
    other = peer.call(b"0", path="/a.B/Echo", end=True)
    await peer.settle()
    assert other.status == "0"


async def test_calls_that_are_cancelled_again_and_again_end_the_connection() -> None:
    peer = Peer({METHOD_PATH: stay})
    await peer.settle()
    for _ in range(4):
        for _ in range(90):
            peer.h2.reset_stream(peer.id_of(peer.call()), ErrorCodes.CANCEL)
        await peer.settle()
    assert peer.goaway is not None
    assert peer.goaway[0] == ErrorCodes.ENHANCE_YOUR_CALM


async def test_many_answers_permit_many_pings_and_updates() -> None:
    """grpcio sends nearly one for each answer."""
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call()
    for number in range(2000):
        peer.send(stream, b"%d" % number)
        peer.h2.ping(bytes(8))
        peer.exchange()
        await asyncio.sleep(0)
    await peer.settle()
    assert len(stream.messages) == 2000
    assert not peer.left


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
async def test_what_is_no_http_2_is_closed_at_once(opening: bytes) -> None:
    peer = Peer({METHOD_PATH: echo})
    peer.deliver(opening)
    assert peer.pipe.is_closed


async def test_looks_leave_who_is_gone() -> None:
    peer = Peer({METHOD_PATH: stay})
    peer.call()
    await peer.settle()
    now_s = asyncio.get_running_loop().time()
    peer.connection.look(now_s + 61)
    await peer.settle()  # it answers
    peer.connection.look(now_s + 62)
    assert not peer.pipe.is_closed
    peer.connection.look(now_s + 130)
    peer.connection.look(now_s + 155)
    assert peer.pipe.is_closed


async def test_a_peer_that_asks_and_reads_nothing_is_left() -> None:
    peer = Peer({METHOD_PATH: echo})
    await peer.settle()
    now_s = asyncio.get_running_loop().time()
    peer.pipe.unsent_bytes = 500_000  # a slow proxy
    peer.connection.look(now_s)
    assert not peer.pipe.is_aborted
    peer.pipe.unsent_bytes = 2_000_000
    peer.connection.look(now_s)
    assert peer.pipe.is_aborted


async def test_room_that_padding_has_taken_is_given_back_without_a_message() -> None:
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call()
    await peer.settle()
    number = peer.id_of(stream)
    for _ in range(3 * frames.WINDOW_BYTES // 256):
        peer.h2.send_data(number, b"", pad_length=255)
        await peer.settle()
    peer.send(stream, b"0", end=True)
    await peer.settle()
    assert stream.messages == [b"0"]
