"""How much a connection does at a time, and how it ends under a peer that still sends."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from support.h2_peer import Peer, Pipe, echo, lose_all, status
from support.patience import PATIENCE_S

from broker.model import Code, Ending
from broker.transport import Call
from broker.transport.h2 import frames
from broker.transport.h2.outlet import Outlet
from broker.transport.h2.transport import H2Transport
from quartet.address import Address
from wire import METHOD_PATH

FLOOD = frames.data_frames(1, bytes(200_000))
GOAWAY = frames.HEAD.pack(8 << 8 | frames.GOAWAY, 0, 0)


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """They are lost at the end."""
    yield
    await lose_all()


async def test_a_peer_that_opens_many_calls_lets_others_come_to_their_turn() -> None:
    opened: list[str] = []

    async def serve(call: Call) -> None:
        opened.append(call.method)
        await echo(call)

    crowd, other = Peer({METHOD_PATH: serve}), Peer({"/a.B/Other": serve})
    calls = [crowd.call(b"%d" % number, end=True) for number in range(100)]
    crowd.exchange()
    other.call(b"0", path="/a.B/Other")
    other.exchange()
    assert crowd.pipe.is_paused
    assert not other.pipe.is_paused
    for _ in range(2):
        await asyncio.sleep(0)
    assert opened.index("/a.B/Other") < 20
    await crowd.settle()
    assert not crowd.pipe.is_paused
    assert [call.messages for call in calls] == [[b"%d" % number] for number in range(100)]
    assert {call.status for call in calls} == {status(Code.OK)}


async def test_what_several_calls_say_in_a_turn_goes_out_in_one_write() -> None:
    peer = Peer({METHOD_PATH: echo})
    calls = [peer.call(b"0") for _ in range(4)]
    await peer.settle()
    for call in calls:
        peer.send(call, b"1", end=True)
    peer.raw(b"")
    for _ in range(4):
        await asyncio.sleep(0)
    assert len(peer.pipe.written) == 1
    await peer.settle()
    assert [call.messages for call in calls] == [[b"0", b"1"]] * 4
    assert {call.status for call in calls} == {status(Code.OK)}


async def test_what_the_only_call_says_goes_out_at_once() -> None:
    peer = Peer({METHOD_PATH: echo})
    calls = [peer.call(b"0", end=number > 0) for number in range(2)]
    await peer.settle()
    peer.send(calls[0], b"1")
    peer.raw(b"")
    await asyncio.sleep(0)
    assert len(peer.pipe.written) == 1


async def test_what_arrives_while_nothing_should_be_read_comes_behind() -> None:
    peer = Peer({METHOD_PATH: echo})
    for _ in range(50):
        peer.call()
    stream = peer.call(b"0")
    peer.exchange()
    assert peer.pipe.is_paused
    peer.send(stream, b"1", end=True)
    await peer.settle()
    assert stream.messages == [b"0", b"1"]
    assert stream.status == status(Code.OK)


async def test_a_peer_that_leaves_has_nothing_done_for_it_any_more() -> None:
    opened: list[Call] = []

    async def serve(call: Call) -> None:
        opened.append(call)
        await echo(call)

    peer = Peer({METHOD_PATH: serve})
    for _ in range(100):
        peer.call()
    peer.exchange()
    peer.connection.connection_lost(None)
    peer.pipe.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not opened


async def test_a_peer_that_still_sends_reads_how_its_call_has_ended() -> None:
    is_over = asyncio.Event()

    async def serve(call: Call) -> None:
        await call.read()
        call.end(Ending(Code.UNAVAILABLE, "the broker is stopping"))
        is_over.set()

    client = Peer({})  # for its end alone
    client.call(b"0")
    transport = H2Transport(Address("127.0.0.1", 0), None)
    port = await transport.start({METHOD_PATH: serve})
    async with asyncio.timeout(PATIENCE_S):
        with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)) as plain:
            plain.sendall(client.h2.data_to_send())
            await is_over.wait()
            stopping = asyncio.create_task(transport.stop(PATIENCE_S))
            for _ in range(3):
                await asyncio.sleep(0)
            read = await asyncio.to_thread(flood_and_read, plain)
        await stopping
    client.take(read[: read.index(GOAWAY)])  # the library h2 reads nothing behind it
    assert client.streams[1].status == status(Code.UNAVAILABLE)
    assert client.streams[1].has_ended


def flood_and_read(plain: socket.socket) -> bytes:
    """All that comes, read when the peer has gone on sending."""
    plain.sendall(FLOOD)
    read = b""
    while piece := plain.recv(65_536):
        read += piece
        plain.sendall(FLOOD[:16_393])
    return read


async def test_a_peer_that_only_floods_is_left() -> None:
    outlet, pipe = Outlet(), Pipe()
    outlet.open(pipe)
    outlet.close()
    outlet.drop(2**20)
    assert not pipe.is_aborted
    outlet.drop(1)
    assert pipe.is_aborted
    outlet.gone()
