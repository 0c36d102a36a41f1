"""A call that ends before its peer's side: the trailers first, the reset later or never."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from support.h2_peer import Peer, Pipe, Stream, echo, lose_all, status
from support.patience import PATIENCE_S

from broker.model import Code, Ending
from broker.transport import Call
from broker.transport.h2 import frames
from broker.transport.h2.guard import Guard
from broker.transport.h2.half_closed import HalfClosed
from broker.transport.h2.machine import MOST_CALLS
from broker.transport.h2.outlet import Outlet
from wire import METHOD_PATH

ECHO = "/a.B/Echo"
UNKNOWN = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/Unknown"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """They are lost at the end."""
    yield
    await lose_all()


async def refuse(call: Call) -> None:
    call.end(Ending(Code.ABORTED, "no"))


async def refused(count: int = 1) -> tuple[Peer, list[Stream]]:
    """A peer that has had this many calls refused, and has not ended its side of any."""
    peer = Peer({METHOD_PATH: refuse, ECHO: echo})
    await peer.settle()
    # It counts as open what it has not ended.
    peer.h2.remote_settings = Settings(
        client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 10_000}
    )
    streams = [peer.call() for _ in range(count)]
    await peer.settle()
    assert {stream.status for stream in streams} == {status(Code.ABORTED)}
    return peer, streams


async def look(peer: Peer) -> bytes:
    """What the broker says then: the client's h2 does not tell of a reset of what has ended."""
    await peer.settle()
    peer.connection.look(asyncio.get_running_loop().time())
    said = b"".join(peer.pipe.written)
    await peer.settle()
    return said


def end_frame(number: int) -> bytes:
    return frames.HEAD.pack(frames.DATA, frames.END_STREAM, number)


def reset_frame(number: int) -> bytes:
    return frames.reset(number, ErrorCodes.NO_ERROR)


def end(peer: Peer, stream: Stream) -> None:
    peer.h2.end_stream(peer.id_of(stream))


def cancel(peer: Peer, stream: Stream) -> None:
    peer.h2.reset_stream(peer.id_of(stream), ErrorCodes.NO_ERROR)


async def test_the_reset_comes_at_the_second_look() -> None:
    peer, [stream] = await refused()
    assert stream.has_ended
    await look(peer)
    assert stream.reset is None
    await look(peer)
    assert stream.reset is ErrorCodes.NO_ERROR


@pytest.mark.parametrize("leave", [end, cancel])
@pytest.mark.parametrize("looks", [0, 1])
async def test_a_peer_that_ends_its_side_is_not_reset(
    leave: Callable[[Peer, Stream], None], looks: int
) -> None:
    peer, [leaves, stays] = await refused(2)
    for _ in range(looks):
        assert await look(peer) == b""
    leave(peer, leaves)
    for _ in range(1 - looks):
        assert await look(peer) == b""
    assert await look(peer) == reset_frame(peer.id_of(stays))


async def test_a_peer_that_ends_its_side_with_the_headers_is_not_reset() -> None:
    peer, [first] = await refused()
    number = peer.h2.get_next_available_stream_id()
    peer.h2.send_headers(number, UNKNOWN, end_stream=True)
    assert await look(peer) == b""
    assert peer.streams[number].status == status(Code.UNIMPLEMENTED)
    assert await look(peer) == reset_frame(peer.id_of(first))
    assert await look(peer) == b""


async def test_what_comes_late_is_dropped_and_given_back_to_the_connection_alone() -> None:
    peer, [stream] = await refused()
    number = peer.id_of(stream)
    before = peer.h2.outbound_flow_control_window
    for _ in range(3):
        peer.raw(frames.data_frames(number, bytes(16_000)))
        await peer.settle()
    assert peer.h2.outbound_flow_control_window > before
    assert stream.reset is None
    other = peer.call(b"0", path=ECHO, end=True)
    await peer.settle()
    assert other.status == "0"


async def test_a_peer_that_sends_more_than_its_window_is_reset_at_once() -> None:
    peer, [stream, other] = await refused(2)
    number = peer.id_of(stream)
    late = frames.data_frames(number, bytes(16_000))
    for _ in range(4):
        peer.raw(late)
        await peer.settle()
    assert stream.reset is None
    peer.raw(late)
    await peer.settle()
    assert [each.reset for each in (stream, other)] == [ErrorCodes.NO_ERROR, None]


async def test_a_flood_of_late_frames_ends_the_connection() -> None:
    peer, [stream] = await refused()
    peer.raw(frames.data_frames(peer.id_of(stream), b"x") * 9000)
    await peer.settle()
    assert peer.goaway is not None
    assert peer.goaway[0] == ErrorCodes.ENHANCE_YOUR_CALM


async def test_beyond_as_many_as_calls_the_oldest_is_reset() -> None:
    peer, streams = await refused(MOST_CALLS)
    late = [peer.call() for _ in range(3)]
    await peer.settle()
    assert {stream.status for stream in late} == {status(Code.ABORTED)}
    assert [stream for stream in streams + late if stream.reset is not None] == streams[:3]


async def test_a_thousand_calls_may_be_refused_and_cancelled_between_two_looks() -> None:
    peer = Peer({METHOD_PATH: refuse})
    for _ in range(1000):
        stream = peer.call()
        peer.exchange()
        for _ in range(3):
            await asyncio.sleep(0)
        peer.exchange()
        assert stream.status == status(Code.ABORTED)
        cancel(peer, stream)
    await peer.settle()
    assert peer.goaway is None


# The end of a connection: the client's h2 says and reads nothing behind GOAWAY


@pytest.mark.parametrize("leave", [end_frame, reset_frame])
async def test_a_connection_that_stops_waits_for_the_peer_to_end_its_side(
    leave: Callable[[int], bytes],
) -> None:
    peer, streams = await refused(2)
    peer.connection.stop()
    await peer.settle()
    for stream in streams:
        assert not peer.pipe.is_closed
        peer.raw(leave(peer.id_of(stream)))
    assert peer.pipe.is_closed
    assert peer.pipe.written == []


class WaitedForPipe(Pipe):
    def __init__(self) -> None:
        super().__init__()
        self.has_closed = asyncio.Event()

    def write_eof(self) -> None:
        self.close()
        self.has_closed.set()


async def test_a_connection_that_stops_resets_in_a_moment_and_closes() -> None:
    outlet, pipe = Outlet(), WaitedForPipe()
    outlet.open(pipe)
    half_closed = HalfClosed(outlet, Guard(), parting_s=0)
    half_closed.add(1)
    half_closed.finish()
    half_closed.finish()
    assert not pipe.is_closed
    async with asyncio.timeout(PATIENCE_S):
        await pipe.has_closed.wait()
    assert pipe.written == [reset_frame(1)]
    outlet.gone()


async def test_a_connection_that_is_cut_resets_at_once_and_closes() -> None:
    peer, [stream] = await refused()
    peer.connection.stop()
    await peer.settle()
    peer.connection.cut()
    assert peer.pipe.is_closed
    assert peer.pipe.written == [reset_frame(peer.id_of(stream))]
    peer.pipe.written.clear()
