"""A connection by h2, and a client of HTTP/2 that does what agents do, and what they never do."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from support.h2_peer import Peer, echo, lose_all, status, stay
from support.patience import PATIENCE_S

from broker.model import Code
from broker.transport import Call
from broker.transport.h2 import frames
from broker.transport.h2.messages import framed
from broker.transport.h2.reader import FrameReader
from wire import METHOD_PATH

many = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """They are lost at the end."""
    yield
    await lose_all()


@many
@given(
    st.lists(st.lists(st.binary(max_size=40), max_size=20), min_size=1, max_size=4),
    st.integers(1, 200),
)
async def test_calls_on_one_connection_are_answered_whatever_the_pieces(
    calls: list[list[bytes]], piece: int
) -> None:
    peer = Peer({METHOD_PATH: echo}, piece=piece)
    streams = [peer.call(*messages, end=True) for messages in calls]
    await peer.settle()
    assert [stream.messages for stream in streams] == calls
    assert {stream.status for stream in streams} == {"0"}
    assert all(stream.has_ended and stream.reset is None for stream in streams)
    assert not peer.pipe.is_closed


async def test_all_that_one_read_brings_is_one_list_and_goes_out_in_one_write() -> None:
    seen: list[int] = []

    async def count(call: Call) -> None:
        while messages := await call.read():
            seen.append(len(messages))
            await call.write(messages)

    peer = Peer({METHOD_PATH: count})
    stream = peer.call(b"0")
    await peer.settle()
    peer.send(stream, *[b"%d" % number for number in range(100)])
    peer.deliver(peer.h2.data_to_send())
    await asyncio.sleep(0)
    assert seen == [1, 100]
    assert len(peer.pipe.written) == 1


async def test_a_call_with_much_to_read_lets_others_come_to_their_turn() -> None:
    turns: list[str] = []

    async def serve(call: Call) -> None:
        while messages := await call.read():
            turns.append(call.method)
            await call.write(messages)

    peer = Peer({METHOD_PATH: serve, "/a.B/Other": serve})
    peer.call(*[b"%d" % number for number in range(400)])
    peer.call(b"0", path="/a.B/Other")
    await peer.settle()
    assert turns.index("/a.B/Other") <= 1
    assert turns.count(METHOD_PATH) == 4


async def test_more_than_the_windows_goes_over_both_ways() -> None:
    """Of the connection and of each stream; the handler reads late."""
    peer = Peer({METHOD_PATH: echo})
    streams = [peer.call() for _ in range(3)]
    await peer.settle()
    sent = [bytes([number % 256]) * 1000 for number in range(300)]
    for message in sent:
        for stream in streams:
            while peer.h2.local_flow_control_window(peer.id_of(stream)) < 1005:
                await peer.settle()
            peer.send(stream, message)
    await peer.settle()
    for stream in streams:
        assert stream.messages == sent


async def test_one_call_that_is_not_read_does_not_hold_up_another() -> None:
    peer = Peer({METHOD_PATH: echo, "/a.B/Stay": stay})
    stuck = peer.call(path="/a.B/Stay")
    await peer.settle()
    number = peer.id_of(stuck)
    for _ in range(3):
        while (room := peer.h2.local_flow_control_window(number)) > 0:
            peer.h2.send_data(number, bytes(min(room, 16_000)))
            await peer.settle()
    stream = peer.call(b"0", end=True)
    await peer.settle()
    assert stream.messages == [b"0"]


async def test_a_peer_that_lets_no_answer_through_holds_its_own_call_alone() -> None:
    written = asyncio.Event()

    async def write(call: Call) -> None:
        await call.write([b"0123456789"] * 10)
        written.set()

    peer = Peer({METHOD_PATH: write, "/a.B/Echo": echo})
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 20})
    stream = peer.call(end=True)
    peer.reads_windows = False
    await peer.settle()
    assert stream.messages == [b"0123456789"]
    assert not written.is_set()
    other = peer.call(b"0", path="/a.B/Echo", end=True)
    await peer.settle()
    assert other.messages == [b"0"]
    peer.h2.increment_flow_control_window(1000, peer.id_of(stream))
    await peer.settle()
    assert stream.messages == [b"0123456789"] * 10
    assert stream.status == "0"


async def test_windows_that_are_changed_while_answers_wait_let_them_through() -> None:
    peer = Peer({METHOD_PATH: echo})
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream = peer.call(b"0", end=True)
    await peer.settle()
    assert stream.messages == []
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    await peer.settle()
    assert stream.messages == [b"0"]


async def test_a_goaway_of_the_peer_lets_its_calls_end() -> None:
    """As of a proxy whose connections live for a while: then it closes ours."""
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call(b"0")
    await peer.settle()
    peer.raw(frames.HEAD.pack(8 << 8 | frames.GOAWAY, 0, 0) + bytes(8))
    peer.send(stream, b"1", end=True)
    await peer.settle()
    assert stream.messages == [b"0", b"1"]
    assert stream.status == "0"
    assert peer.left


async def test_a_stop_says_goaway_lets_calls_end_and_accepts_no_more() -> None:
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call(b"0")
    await peer.settle()
    late = peer.call(b"1")  # on its way when the broker stops
    peer.connection.stop()
    sent = peer.h2.data_to_send()
    peer.deliver(sent)
    peer.send(stream, b"2", end=True)
    peer.deliver(peer.h2.data_to_send())
    for _ in range(5):
        await asyncio.sleep(0)
    written = frames.PREFACE + b"".join(peer.pipe.written)
    kinds = [(kind, number) for kind, _, number, _ in FrameReader().read(written)]
    assert (frames.GOAWAY, 0) in kinds
    assert (frames.RST_STREAM, peer.id_of(late)) in kinds
    assert kinds[-1] == (frames.HEADERS, peer.id_of(stream))
    assert peer.pipe.is_closed


async def test_a_connection_without_calls_ends_at_a_stop() -> None:
    peer = Peer({METHOD_PATH: echo})
    await peer.settle()
    peer.connection.stop()
    await peer.settle()
    assert peer.left
    assert peer.goaway == (0, b"")


async def test_a_deadline_ends_the_call_with_a_status() -> None:
    peer = Peer({METHOD_PATH: stay})
    stream = peer.call(grpc_timeout="1m")
    async with asyncio.timeout(PATIENCE_S):
        while not stream.has_ended:
            await peer.settle()
    assert stream.status == status(Code.DEADLINE_EXCEEDED)


async def test_a_deadline_behind_half_an_answer_is_a_reset() -> None:
    async def write(call: Call) -> None:
        await call.write([b"0123456789"])

    peer = Peer({METHOD_PATH: write})
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 7})
    peer.reads_windows = False
    stream = peer.call(grpc_timeout="1m")
    async with asyncio.timeout(PATIENCE_S):
        while stream.reset is None:
            await peer.settle()
    assert stream.reset is ErrorCodes.CANCEL


async def test_a_length_that_was_announced_does_not_disturb() -> None:
    """As curl sends it."""
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call(b"0", end=True, content_length="6")
    await peer.settle()
    assert stream.messages == [b"0"]
    assert stream.status == "0"


async def test_padding_counts_and_is_no_message() -> None:
    peer = Peer({METHOD_PATH: echo})
    stream = peer.call()
    number = peer.id_of(stream)
    for _ in range(600):  # more than two windows, nearly all of it padding
        while peer.h2.local_flow_control_window(number) < 300:
            await peer.settle()
        peer.h2.send_data(number, framed([b"0"]), pad_length=250)
    await peer.settle()
    assert stream.messages == [b"0"] * 600


async def test_a_call_that_is_cancelled_ends_its_handler_alone() -> None:
    ended: list[str] = []

    async def serve(call: Call) -> None:
        try:
            await stay(call)
        except asyncio.CancelledError:
            ended.append(call.method)
            raise

    peer = Peer({METHOD_PATH: serve, "/a.B/Echo": echo})
    stream, other = peer.call(), peer.call(path="/a.B/Echo")
    await peer.settle()
    peer.h2.reset_stream(peer.id_of(stream), ErrorCodes.CANCEL)
    peer.send(other, b"0", end=True)
    await peer.settle()
    assert ended == [METHOD_PATH]
    assert other.status == "0"


async def test_a_ping_is_answered() -> None:
    peer = Peer({METHOD_PATH: echo})
    peer.h2.ping(b"12345678")
    await peer.settle()
    assert peer.pongs == 1


async def test_a_socket_that_takes_no_more_holds_its_writers() -> None:
    wrote: list[int] = []

    async def write(call: Call) -> None:
        for number in range(3):
            await call.write([b"%d" % number])
            wrote.append(number)

    peer = Peer({METHOD_PATH: write})
    peer.connection.pause_writing()
    stream = peer.call(end=True)
    await peer.settle()
    assert wrote == []
    peer.connection.resume_writing()
    await peer.settle()
    assert wrote == [0, 1, 2]
    assert stream.status == "0"
