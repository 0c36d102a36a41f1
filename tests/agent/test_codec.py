import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import codec
from agent.model import Answer, Learning, Sample, Session, Standing
from quartet.channels import Values
from wire import MAX_ID, state_pb2
from wire.databroker_pb2 import BrokerRequest, BrokerResponse

many = settings(derandomize=True, deadline=None, max_examples=80)

SESSION = Session(1, "0123456789abcdef" * 2, 100_000_000, 0)

ids = st.integers(0, MAX_ID)
float32s = st.floats(width=32)


def values_of(request: BrokerRequest) -> Values:
    return (request.sensor1, request.sensor2, request.sensor3, request.sensor4)


@many
@given(ids, st.tuples(*[float32s] * 4))
def test_a_sample_arrives_as_it_was_sent(id_: int, values: Values) -> None:
    request = BrokerRequest.FromString(codec.encode(Sample(SESSION, id_, values, 1)))
    assert request.id == id_
    assert struct.pack("<4f", *values_of(request)) == struct.pack("<4f", *values)


@many
@given(st.tuples(*[st.floats(-3.4e38, 3.4e38)] * 4))
def test_values_become_float32(values: Values) -> None:
    request = BrokerRequest.FromString(codec.encode(Sample(SESSION, 0, values, 1)))
    assert struct.pack("<4f", *values_of(request)) == struct.pack("<4f", *values)


def test_each_value_travels_in_the_field_of_its_channel() -> None:
    encoded = codec.encode(Sample(SESSION, 7, (1.0, 2.0, 3.0, 4.0), 1))
    assert encoded.hex() == "0807" + "150000803f" + "1d00000040" + "2500004040" + "2d00008040"


@many
@given(st.integers(-(2**31), MAX_ID), st.booleans())
def test_an_answer_is_read_as_the_broker_wrote_it(id_: int, prediction: bool) -> None:
    message = BrokerResponse(id=id_, prediction=prediction).SerializeToString()
    assert codec.decode(message) == Answer(id_, prediction)


def test_an_empty_message_answers_id_0_with_false() -> None:
    assert codec.decode(b"") == Answer(0, False)


@pytest.mark.parametrize(
    "message", [b"\xff", b"\x08", b"\x08" + b"\xff" * 11, b"\x0a\x05ab", b"\x10", b"<html>"]
)
def test_bytes_that_are_no_response_are_a_value_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=f"^{len(message)} bytes that are not a BrokerResponse$"):
        codec.decode(message)


@many
@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer_or_a_value_error(message: bytes) -> None:
    try:
        answer = codec.decode(message)
    except ValueError:
        return
    assert -(2**31) <= answer.id <= MAX_ID
    assert isinstance(answer.prediction, bool)


def told(**fields: object) -> Standing:
    return codec.decode_standing(state_pb2.StateResponse(**fields).SerializeToString())


def test_what_a_broker_tells_of_its_predictor_is_read() -> None:
    assert told() == Standing()
    learning = state_pb2.Learning(seen=120, needed=300)
    alarm = state_pb2.Alarm(since_ns=5, reason="sensor2 \x1b[2J" + "x" * 300)
    standing = told(learning=learning, alarm=alarm)
    assert standing.learning == Learning(120, 300)
    assert standing.alarm_since_ns == 5
    assert standing.reason.startswith("sensor2 \\x1b[2Jxx")
    assert len(standing.reason) == 200
    assert told(alarm=state_pb2.Alarm()) == Standing(alarm_since_ns=0)


@pytest.mark.parametrize(
    ("learning", "learns"),
    [(None, False), (Learning(0, 300), True), (Learning(300, 300), False), (Learning(9, 0), False)],
)
def test_a_predictor_learns_until_it_has_seen_enough(
    learning: Learning | None, learns: bool
) -> None:
    assert Standing(learning).is_learning is learns


def test_bytes_that_tell_no_state_are_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^6 bytes that are not a StateResponse$"):
        codec.decode_standing(b"<html>")
