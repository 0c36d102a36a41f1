"""Any frames, and any bytes: a connection ends with a GOAWAY, or goes on, and raises nothing."""

import asyncio

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st
from support.h2_peer import PEERS, Peer, echo

from broker.transport.h2 import frames
from broker.transport.h2.messages import framed
from broker.transport.h2.reader import FrameReader
from wire import METHOD_PATH

many = settings(derandomize=True, deadline=None, max_examples=500)

_HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", METHOD_PATH.encode()),
    (b"content-type", b"application/grpc"),
    (b"grpc-timeout", b"1H"),
    (b"x-bin", b"AA"),
    (b"content-length", b"3"),
]


def block(names: list[int]) -> bytes:
    """Some of the headers, in some order, not indexed: it means the same in any place."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode([_HEADERS[name] for name in names], huffman=False))


payloads = st.one_of(
    st.binary(max_size=30),
    st.lists(st.integers(0, len(_HEADERS) - 1), max_size=8).map(block),
    st.just(block([*range(len(_HEADERS))])),
    st.lists(st.binary(max_size=5), max_size=3).map(framed),
    st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4)),
    st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1)).map(
        lambda pair: pair[0].to_bytes(2) + pair[1].to_bytes(4)
    ),
)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return frames.HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


streams = st.sampled_from([1, 3, 5])
number = st.sampled_from([0, 1, 7, 65_535, 2**31 - 1]).map(lambda value: value.to_bytes(4))

# Those that a call is made of, so that there is one for the others to disturb.
likely = st.one_of(
    st.builds(
        frame,
        st.just(frames.HEADERS),
        st.sampled_from([4, 5]),
        streams,
        st.just(block([*range(6)])),
    ),
    st.builds(frame, st.just(frames.DATA), st.sampled_from([0, 0, 1, 8, 9]), streams, payloads),
    st.builds(frame, st.just(frames.WINDOW_UPDATE), st.just(0), streams | st.just(0), number),
    st.builds(frame, st.just(frames.RST_STREAM), st.just(0), streams, number),
    st.builds(frame, st.just(frames.SETTINGS), st.just(0), st.just(0), number.map(b"\0\4".__add__)),
    st.builds(frame, st.just(frames.GOAWAY), st.just(0), st.just(0), st.just(bytes(8))),
)
unlikely = st.builds(
    frame,
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x25, 0xFF]),
    streams | st.sampled_from([0, 2, 2**31 - 1, 2**32 - 1]),
    payloads,
)
opening = frame(frames.HEADERS, frames.END_HEADERS, 1, block([*range(6)]))


async def survives(data: bytes) -> None:
    """Have a connection read these bytes; it goes on, or ends as one should."""
    problems: list[object] = []
    loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
    former = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    try:
        peer = Peer({METHOD_PATH: echo})
        await peer.settle()
        peer.deliver(data)
        for _ in range(5):
            await asyncio.sleep(0)
        written = b"".join(peer.pipe.written)
        kinds = {kind for kind, *_ in FrameReader().read(frames.PREFACE + written)}
        if peer.pipe.is_closed:
            assert frames.GOAWAY in kinds or data.count(bytes([frames.GOAWAY]))
        peer.connection.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(former)
        PEERS.clear()
    assert not problems
    assert asyncio.all_tasks() <= before


@many
@given(st.booleans(), st.lists(likely, max_size=12), st.lists(unlikely, max_size=2))
async def test_any_frames(is_open: bool, first: list[bytes], then: list[bytes]) -> None:
    await survives(opening * is_open + b"".join([*first, *then]))


@many
@given(st.binary(max_size=200))
async def test_any_bytes(data: bytes) -> None:
    await survives(data)
