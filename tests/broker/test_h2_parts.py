"""The parts of a connection by h2: bytes, windows and limits, without any socket."""

import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from support.h2_peer import in_pieces

from broker.model import Code
from broker.transport.h2 import frames
from broker.transport.h2.errors import ViolationError
from broker.transport.h2.guard import Guard
from broker.transport.h2.machine import machine, receive_settings
from broker.transport.h2.messages import MOST_BYTES, Unframer, framed
from broker.transport.h2.pulse import Pulse, Step
from broker.transport.h2.reader import FrameReader
from broker.transport.h2.windows import Inflow, Outflow

many = settings(derandomize=True, deadline=None, max_examples=200)
sizes = st.lists(st.integers(0, 40), max_size=30)


@many
@given(
    st.lists(st.binary(max_size=40) | st.just(bytes(300)), max_size=30), sizes, st.integers(1, 9)
)
def test_messages_come_out_as_they_went_in_whatever_the_pieces(
    messages: list[bytes], pieces: list[int], most: int
) -> None:
    unframer = Unframer()
    taken: list[bytes] = []
    for piece in in_pieces(framed(messages), pieces):
        unframer.put(piece)
        while some := unframer.take(most):
            assert len(some) <= most
            taken += some
    assert taken == messages
    assert unframer.is_empty
    assert unframer.problem is None
    assert unframer.taken_bytes == len(framed(messages))


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (struct.pack(">BI", 1, 3), Code.INTERNAL),
        (struct.pack(">BI", 0, MOST_BYTES + 1), Code.RESOURCE_EXHAUSTED),
        (struct.pack(">BI", 0, 0xFFFF_FFFF), Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_message_that_must_not_be_is_told_behind_those_before_it(head: bytes, code: Code) -> None:
    unframer = Unframer()
    unframer.put(framed([b"0", bytes(MOST_BYTES)]) + head)
    assert unframer.take(9) == [b"0", bytes(MOST_BYTES)]
    assert unframer.take(9) == []
    assert unframer.problem is not None
    assert unframer.problem.code is code


def all_frames(reader: FrameReader, data: bytes) -> list[frames.Frame]:
    """Of as many turns as it takes."""
    read = list(reader.read(data))
    while reader.is_behind:
        read += reader.read()
    return read


frame = st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary())


@many
@given(st.lists(frame, max_size=20), sizes)
def test_frames_come_out_as_they_went_in_whatever_the_pieces(
    sent: list[tuple[int, int, int, bytes]], pieces: list[int]
) -> None:
    whole = [
        frames.HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload
        for kind, flags, stream, payload in sent
    ]
    reader = FrameReader()
    read = [
        each
        for piece in in_pieces(frames.PREFACE + b"".join(whole), pieces)
        for each in all_frames(reader, piece)
    ]
    assert read == [
        (kind, flags, stream, each)
        for (kind, flags, stream, _), each in zip(sent, whole, strict=True)
    ]


@many
@given(st.integers(0, len(frames.PREFACE) - 1), sizes)
def test_what_is_no_preface_is_refused_at_its_first_wrong_byte(at: int, pieces: list[int]) -> None:
    wrong = bytearray(frames.PREFACE)
    wrong[at] ^= 1
    reader = FrameReader()
    for piece in in_pieces(bytes(wrong[:at]), pieces):
        assert list(reader.read(piece)) == []
    with pytest.raises(ViolationError, match="HTTP/2 alone"):
        list(reader.read(bytes(wrong[at : at + 1])))


def turns(frame: bytes, count: int) -> list[int]:
    """How many of these frames a reader gives in each turn."""
    reader = FrameReader()
    taken = [len(list(reader.read(frames.PREFACE + frame * count)))]
    while reader.is_behind:
        taken.append(len(list(reader.read())))
    return taken


def test_samples_have_longer_turns_than_what_brings_none() -> None:
    sample = frames.data_frames(1, bytes(35))
    ping = frames.HEAD.pack(8 << 8 | frames.PING, 0, 0) + bytes(8)
    call = frames.HEAD.pack(40 << 8 | frames.HEADERS, frames.END_HEADERS, 1) + bytes(40)
    assert turns(sample, 1000) == [1000]
    assert turns(ping, 50) == [20, 20, 10]
    assert turns(call, 10) == [4, 4, 2]


def test_a_frame_that_is_too_large_is_refused_by_its_head() -> None:
    head = frames.HEAD.pack((frames.MOST_FRAME_BYTES + 1) << 8, 0, 1)
    with pytest.raises(ViolationError) as raised:
        list(FrameReader().read(frames.PREFACE + head))
    assert raised.value.code is ErrorCodes.FRAME_SIZE_ERROR


@many
@given(st.binary(max_size=50_000))
def test_data_goes_out_in_frames_that_any_peer_takes(payload: bytes) -> None:
    read = list(FrameReader().read(frames.PREFACE + frames.data_frames(7, payload)))
    assert b"".join(each[frames.HEAD_BYTES :] for *_, each in read) == payload
    assert {(kind, flags, stream) for kind, flags, stream, _ in read} == {(0, 0, 7)}
    assert all(len(each) <= frames.HEAD_BYTES + frames.MOST_FRAME_BYTES for *_, each in read)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x03ab", b"\xff" * 200])
def test_padding_without_end_is_refused(payload: bytes) -> None:
    with pytest.raises(ViolationError):
        frames.unpadded(payload)


@many
@given(st.binary(max_size=50), st.integers(0, 255))
def test_padding_is_taken_off(payload: bytes, padding: int) -> None:
    assert frames.unpadded(bytes([padding]) + payload + bytes(padding)) == payload


@many
@given(st.lists(st.integers(0, 16_384), max_size=50))
def test_what_arrives_is_credited_in_full_and_seldom(arriving: list[int]) -> None:
    inflow = Inflow()
    credited = [inflow.take(size) for size in arriving]
    given_back = [credit for credit in credited if credit]
    assert 0 <= sum(arriving) - sum(given_back) < frames.WINDOW_BYTES // 2
    assert all(credit >= frames.WINDOW_BYTES // 2 for credit in given_back)


def test_more_than_the_window_ends_the_connection() -> None:
    inflow = Inflow()
    inflow.take(30_000)
    with pytest.raises(ViolationError) as raised:
        inflow.take(40_000)
    assert raised.value.code is ErrorCodes.FLOW_CONTROL_ERROR


@many
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60_000)), max_size=30))
def test_no_more_is_sent_than_the_window_and_who_waits_longest_is_next(
    wanted: list[tuple[str, int]],
) -> None:
    outflow: Outflow[str] = Outflow()
    taken = 0
    waiting: list[str] = []
    for who, size in wanted:
        got = outflow.take(size, who)
        taken += got
        if got < size and who not in waiting:
            waiting.append(who)
    assert taken == min(frames.WINDOW_BYTES, sum(size for _, size in wanted))
    assert outflow.open(1) == waiting
    assert outflow.open(1) == []


@pytest.mark.parametrize(
    ("size", "code"),
    [(0, ErrorCodes.PROTOCOL_ERROR), (2**31 - 1, ErrorCodes.FLOW_CONTROL_ERROR)],
)
def test_a_window_that_must_not_be_ends_the_connection(size: int, code: ErrorCodes) -> None:
    with pytest.raises(ViolationError) as raised:
        Outflow[str]().open(size)
    assert raised.value.code is code


def test_frames_for_nothing_are_bounded_until_answers_go_out_or_time_passes() -> None:
    for kind, most in ((frames.PING, 512), (frames.WINDOW_UPDATE, 8192)):
        guard = Guard()
        for forget in (guard.progress, guard.forgive):
            for _ in range(most):
                guard.frame(kind)
            forget()
        for _ in range(most):
            guard.frame(kind)
        with pytest.raises(ViolationError) as raised:
            guard.frame(kind)
        assert raised.value.code is ErrorCodes.ENHANCE_YOUR_CALM


def test_calls_that_are_cancelled_are_bounded_whatever_is_answered_meanwhile() -> None:
    guard = Guard(most_resets=2)
    guard.reset()
    guard.forgive()
    for _ in range(2):
        guard.progress()
        guard.reset()
    with pytest.raises(ViolationError, match="cancelled"):
        guard.reset()


def test_a_window_may_come_late_for_each_stream_that_was_reset_and_no_more() -> None:
    guard = Guard()
    for _ in range(2):
        guard.stream_reset()
    guard.late(2 * frames.WINDOW_BYTES)
    guard.forgive()
    with pytest.raises(ViolationError) as raised:
        guard.late(1)
    assert raised.value.code is ErrorCodes.STREAM_CLOSED


def looked(pulse: Pulse, until_s: float, *, is_busy: bool = False) -> list[tuple[float, Step]]:
    steps = ((now_s, pulse.look(float(now_s), is_busy=is_busy)) for now_s in range(int(until_s)))
    return [(now_s, step) for now_s, step in steps if step is not Step.NOTHING]


def test_who_says_nothing_of_http_2_is_left_after_ten_seconds() -> None:
    assert looked(Pulse(0.0), 12)[0] == (10, Step.ABORT)


def test_who_has_no_call_for_five_minutes_is_told_that_it_is_over() -> None:
    pulse = Pulse(0.0)
    pulse.is_greeted = True
    for now_s in range(300):
        pulse.heard_s = now_s
        assert pulse.look(now_s, is_busy=False) is Step.NOTHING
    assert pulse.look(300.0, is_busy=False) is Step.STOP


def test_who_is_silent_for_a_minute_is_asked_and_left_where_it_does_not_answer() -> None:
    pulse = Pulse(0.0)
    pulse.is_greeted = True
    assert looked(pulse, 81, is_busy=True) == [(60, Step.PING), (80, Step.ABORT)]


def test_who_answers_stays() -> None:
    pulse = Pulse(0.0)
    pulse.is_greeted = True
    for now_s in range(1000):
        step = pulse.look(float(now_s), is_busy=True)
        assert step in {Step.NOTHING, Step.PING}
        if step is Step.PING:
            pulse.heard_s = now_s + 0.5


said = st.dictionaries(
    st.integers(1, 12).filter(lambda key: key not in {2, 5, 8}), st.integers(1, 99)
)


def settings_frame(values: dict[int, int]) -> bytes:
    frame = SettingsFrame(0)
    frame.settings = values
    return bytes(frame.serialize())


@many
@given(st.lists(st.tuples(st.integers(0, 2), said), max_size=8))
def test_a_peer_is_known_by_what_it_has_said_itself(told: list[tuple[int, dict[int, int]]]) -> None:
    machines = [machine() for _ in range(3)]
    apart = [H2Connection(H2Configuration(client_side=False)) for _ in machines]
    for each in apart:
        each.initiate_connection()
        each.receive_data(frames.PREFACE)
    for place, values in told:
        frame = settings_frame(values)
        receive_settings(machines[place], frame)
        apart[place].receive_data(frame)
        for one, other in zip(machines, apart, strict=True):
            assert {**one.remote_settings} == {**other.remote_settings}


def test_peers_that_say_the_same_are_known_by_the_same() -> None:
    one, other = machine(), machine()
    assert one.remote_settings is other.remote_settings
    for each in (one, other):
        receive_settings(each, settings_frame({3: 7}))
    assert one.remote_settings is other.remote_settings
    assert one.remote_settings[3] == 7


def test_peers_that_say_much_are_known_by_nobody_else() -> None:
    one, other = machine(), machine()
    for each in (one, other):
        receive_settings(each, settings_frame(dict.fromkeys(range(100, 120), 1)))
    assert one.remote_settings is not other.remote_settings
