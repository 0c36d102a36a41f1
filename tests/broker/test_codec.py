"""What is read and written by hand is what the protobuf library reads and writes."""

import subprocess
import sys

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import codec
from broker.model import Alarm, Answer, Learning, Sample, Standing
from wire import MAX_ID
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.state_pb2 import AdmissionResponse, StateResponse

many = settings(derandomize=True, deadline=None, max_examples=500)
ids = st.integers(-MAX_ID - 1, MAX_ID) | st.integers(0, 2**21)
values = st.just(0.0) | st.floats(width=32)
requests = st.builds(
    BrokerRequest, id=ids, sensor1=values, sensor2=values, sensor3=values, sensor4=values
).map(BrokerRequest.SerializeToString)

# All that may stand in a message: fields of ours in any order and number, those of a newer
# version, and what is no field at all.
varints = st.integers(0, 2**64 - 1).map(codec.varint)
pieces = st.one_of(
    requests,
    st.binary(max_size=6),
    varints.map(lambda varint: b"\x08" + varint),
    st.builds(
        lambda tag, value: bytes((tag,)) + value,
        st.sampled_from((0x08, 0x0D, 0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3A, 0x10)),
        st.binary(min_size=4, max_size=4),
    ),
    st.sampled_from((b"\x08\x80\x00", b"\x08\x80\x80\x80\x80\x00", b"\x08\xff\xff\xff\xff\x08")),
)
messages = requests | st.lists(pieces, max_size=5).map(b"".join)


def by_library(message: bytes) -> Sample | None:
    try:
        read = BrokerRequest.FromString(message)
    except DecodeError:
        return None
    return Sample(read.id, (read.sensor1, read.sensor2, read.sensor3, read.sensor4))


@many
@given(st.lists(messages, max_size=6))
def test_samples_are_read_as_the_library_reads_them(sent: list[bytes]) -> None:
    samples, problem = codec.decode(sent)
    expected = [by_library(message) for message in sent]
    good = expected.index(None) if None in expected else len(expected)
    assert repr(samples) == repr(expected[:good])  # as texts: NaN is not itself
    assert bool(problem) == (good < len(sent))
    if problem:
        assert problem == f"{len(sent[good])} bytes that are not a BrokerRequest"


@many
@given(requests, st.data())
def test_a_message_that_is_cut_or_changed_is_read_as_the_library_reads_it(
    message: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(message)))
    changed = message[:place] + data.draw(st.binary(max_size=1)) + message[place + 1 :]
    for each in (message[:place], changed):
        samples, _ = codec.decode([each])
        expected = by_library(each)
        assert repr(samples) == repr([] if expected is None else [expected])


@many
@given(st.lists(st.builds(Answer, ids, st.booleans()), max_size=6))
def test_answers_are_written_as_the_library_writes_them(answers: list[Answer]) -> None:
    assert codec.encode(answers) == [
        BrokerResponse(id=each.id, prediction=each.prediction).SerializeToString()
        for each in answers
    ]


counts = st.integers(0, 2**62)


@many
@given(
    st.none() | st.builds(Learning, counts, counts),
    st.none() | st.builds(Alarm, st.integers(-(2**63), 2**63 - 1), st.text(max_size=200)),
)
def test_a_standing_is_written_as_the_library_writes_it(
    learning: Learning | None, alarm: Alarm | None
) -> None:
    expected = StateResponse()
    if learning:
        expected.learning.SetInParent()
        expected.learning.seen, expected.learning.needed = learning.seen, learning.needed
    if alarm:
        expected.alarm.SetInParent()
        expected.alarm.since_ns, expected.alarm.reason = alarm.since_ns, alarm.reason
    assert codec.encode_standing(Standing(learning, alarm)) == expected.SerializeToString()


def test_who_would_be_admitted_gets_an_empty_message() -> None:
    assert AdmissionResponse().SerializeToString() == codec.ADMITTED


@pytest.mark.real
def test_what_agents_send_is_read_without_the_library() -> None:
    usual = [
        BrokerRequest(id=id_, sensor1=0.25, sensor2=value, sensor3=-1.5, sensor4=2.0)
        for id_ in (0, 1, 127, 128, 16_384, MAX_ID)
        for value in (0.0, 0.5, float("nan"))
    ]
    script = (
        "import sys; from broker import codec;"
        f" samples, _ = codec.decode({[each.SerializeToString() for each in usual]});"
        " codec.encode([codec.Answer(sample.id, True) for sample in samples]);"
        " print(len(samples), 'google.protobuf' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(len(usual)), "False"]
