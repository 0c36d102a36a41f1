import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import MAX_ID, METHOD, METHOD_PATH, SERVICE
from wire.databroker_pb2 import DESCRIPTOR, BrokerRequest, BrokerResponse
from wire.databroker_pb2_grpc import BrokerServiceStub
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

many = settings(derandomize=True, deadline=None, max_examples=60)

MAX_NS = 2**63 - 1
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
WHOLE = {"first-id": MAX_ID, "first-sampled-at-ns": MAX_NS, "sample-period-ns": MAX_NS}
KEYS = ("agent-id", "session-id", *WHOLE)

headers = st.builds(
    StreamHeader,
    agent_id=st.text(ID_LETTERS, min_size=1, max_size=64),
    session_id=st.text("0123456789abcdefABCDEF", min_size=32, max_size=32),
    first_id=st.integers(0, MAX_ID),
    first_sampled_at_ns=st.integers(0, MAX_NS),
    sample_period_ns=st.integers(0, MAX_NS),
    is_rehearsal=st.booleans(),
    sensors=st.binary(max_size=40),
)
# What a call carries besides, of a peer's own and of gRPC's.
foreign = st.lists(
    st.sampled_from([("user-agent", "grpc-c/1"), ("trace-bin", b"\0\xff"), ("id", "7")])
)


@many
@given(headers, foreign, st.randoms())
def test_a_header_is_read_back_from_its_metadata_in_any_order(
    header: StreamHeader, others: list[tuple[str, str | bytes]], chance: random.Random
) -> None:
    metadata = [*header.to_metadata(), *others]
    chance.shuffle(metadata)
    assert StreamHeader.from_metadata(metadata) == header


@many
@given(headers)
def test_metadata_has_exactly_the_keys_of_the_wire_as_text_but_for_labels(
    header: StreamHeader,
) -> None:
    metadata = dict(header.to_metadata())
    optional = ("rehearsal",) if header.is_rehearsal else ()
    optional += ("sensors-bin",) if header.sensors else ()
    assert tuple(metadata) == KEYS + optional
    assert metadata.pop("sensors-bin", b"") == header.sensors
    assert all(isinstance(value, str) and value.isascii() for value in metadata.values())


@many
@given(foreign)
def test_a_plain_peer_has_no_header(others: list[tuple[str, str | bytes]]) -> None:
    assert StreamHeader.from_metadata(others) is None


@many
@given(headers, st.sets(st.sampled_from(KEYS), min_size=1, max_size=len(KEYS) - 1))
def test_all_missing_keys_are_named(header: StreamHeader, missing: set[str]) -> None:
    metadata = [pair for pair in header.to_metadata() if pair[0] not in missing]
    with pytest.raises(ValueError, match="missing") as raised:
        StreamHeader.from_metadata(metadata)
    assert {key for key in KEYS if key in str(raised.value)} == missing


def with_value(header: StreamHeader, key: str, value: str | bytes) -> list[tuple[str, str | bytes]]:
    return [(k, value if k == key else v) for k, v in header.to_metadata()]


@pytest.mark.parametrize("value", ["", "0", "2", "11", "1\n", "true", b"1"])
def test_a_rehearsal_is_told_by_1_alone(value: str | bytes) -> None:
    header = StreamHeader("pump-1", "0" * 32, 0, 0, 0)
    metadata = [*header.to_metadata(), ("rehearsal", value)]
    with pytest.raises(ValueError, match="metadata rehearsal: expected 1"):
        StreamHeader.from_metadata(metadata)


def test_a_plain_peer_may_send_what_it_likes() -> None:
    assert StreamHeader.from_metadata([("rehearsal", "perhaps"), ("sensors-bin", b"x")]) is None


@pytest.mark.parametrize("value", [b"\xff", b"{", "text", "half a pair \ud800", b"x" * 5000])
def test_labels_of_any_form_are_left_to_whoever_reads_them(value: str | bytes) -> None:
    header = StreamHeader("pump-1", "0" * 32, 0, 0, 0)
    found = StreamHeader.from_metadata([*header.to_metadata(), ("sensors-bin", value)])
    assert found is not None
    assert replace(found, sensors=b"") == header
    assert found.sensors


BAD_WHOLE = ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1\n", "1_0", "\u0661", "one", b"1"]
BAD = [
    *(("agent-id", value) for value in ["", "a" * 65, "a b", "a/b", "p\u00fcmp", "a\n", b"a"]),
    *(
        ("session-id", value)
        for value in ["", "0" * 31, "0" * 33, "g" * 32, "0" * 32 + "\n", "-" * 32, b"0" * 32]
    ),
    *((key, value) for key in WHOLE for value in BAD_WHOLE),
    *((key, str(most + 1)) for key, most in WHOLE.items()),
    *((key, "9" * digits) for key in WHOLE for digits in (20, 5000)),
]


@many
@given(headers, st.sampled_from(BAD))
def test_a_malformed_or_too_great_value_is_refused_by_its_key(
    header: StreamHeader, bad: tuple[str, str | bytes]
) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        StreamHeader.from_metadata(with_value(header, *bad))
    assert [key for key in KEYS if f"metadata {key}:" in str(raised.value)] == [bad[0]]


@pytest.mark.parametrize("bad", BAD)
def test_each_bad_value_is_refused(bad: tuple[str, str | bytes]) -> None:
    header = StreamHeader("pump-1", "0" * 32, 0, 0, 0)
    with pytest.raises(ValueError, match=f"metadata {bad[0]}"):
        StreamHeader.from_metadata(with_value(header, *bad))


@many
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.text(max_size=40) | st.binary(max_size=40))))
def test_any_values_give_a_header_or_a_value_error(pairs: list[tuple[str, str | bytes]]) -> None:
    try:
        header = StreamHeader.from_metadata(pairs)
    except ValueError:
        return
    assert (header is None) == (not pairs)


@many
@given(
    st.integers(0, MAX_ID), st.integers(0, 10**9), st.integers(0, MAX_NS), st.integers(0, 10**12)
)
def test_samples_of_a_run_are_evenly_spaced(
    first_id: int, count: int, first_ns: int, period_ns: int
) -> None:
    header = StreamHeader("a", "0" * 32, first_id, first_ns, period_ns)
    assert header.sampled_at_ns(first_id) == first_ns
    assert header.sampled_at_ns(first_id + count) == first_ns + count * period_ns


# The wire is frozen: other implementations of it exist

TYPES = {FieldDescriptor.TYPE_INT32: "int32", FieldDescriptor.TYPE_FLOAT: "float"}
TYPES[FieldDescriptor.TYPE_BOOL] = "bool"


def fields(message: Descriptor) -> list[tuple[str, str, int]]:
    return [(TYPES.get(f.type, str(f.type)), f.name, f.number) for f in message.fields]


def test_a_request_is_an_id_and_four_floats() -> None:
    assert fields(BrokerRequest.DESCRIPTOR) == [
        ("int32", "id", 1),
        ("float", "sensor1", 2),
        ("float", "sensor2", 3),
        ("float", "sensor3", 4),
        ("float", "sensor4", 5),
    ]


def test_a_response_is_an_id_and_a_prediction() -> None:
    assert fields(BrokerResponse.DESCRIPTOR) == [("int32", "id", 1), ("bool", "prediction", 2)]


def test_no_field_of_the_wire_is_repeated_or_knows_its_presence() -> None:
    for message in (BrokerRequest.DESCRIPTOR, BrokerResponse.DESCRIPTOR):
        assert not message.oneofs
        assert not any(f.has_presence for f in message.fields)
        assert not any(f.default_value for f in message.fields)


def test_the_file_declares_the_two_messages_and_the_one_service_alone() -> None:
    assert DESCRIPTOR.package == "bidirectional_databroker"
    assert set(DESCRIPTOR.message_types_by_name) == {"BrokerRequest", "BrokerResponse"}
    assert not DESCRIPTOR.enum_types_by_name
    assert [s.full_name for s in DESCRIPTOR.services_by_name.values()] == [SERVICE]


def test_the_service_streams_both_ways_under_the_names_that_we_use() -> None:
    (service,) = DESCRIPTOR.services_by_name.values()
    (method,) = service.methods
    assert method.name == METHOD
    assert (method.input_type.full_name, method.output_type.full_name) == (
        "bidirectional_databroker.BrokerRequest",
        "bidirectional_databroker.BrokerResponse",
    )
    assert method.client_streaming
    assert method.server_streaming
    assert f"/{service.full_name}/{method.name}" == METHOD_PATH


class PathChannel:
    """A channel that only notes which method a stub asks for."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def stream_stream(self, path: str, *_: object, **__: object) -> Callable[[], None]:
        self.paths.append(path)
        return lambda: None


def test_the_generated_stub_calls_the_path_that_we_use() -> None:
    channel = PathChannel()
    BrokerServiceStub(channel)
    assert channel.paths == [METHOD_PATH]


@pytest.mark.parametrize(
    ("message", "wire_hex"),
    [
        (
            BrokerRequest(id=300, sensor1=1.0, sensor2=-2.0, sensor3=0.5, sensor4=4.0),
            "08ac02150000803f1d000000c0250000003f2d00008040",
        ),
        (BrokerRequest(id=MAX_ID), "08ffffffff07"),
        (BrokerRequest(), ""),
        (BrokerResponse(id=300, prediction=True), "08ac021001"),
        (BrokerResponse(id=0, prediction=False), ""),
    ],
)
def test_messages_have_the_bytes_of_the_frozen_wire(message: Any, wire_hex: str) -> None:
    assert message.SerializeToString().hex() == wire_hex
    assert type(message).FromString(bytes.fromhex(wire_hex)) == message


def test_names_of_trailing_metadata_are_those_of_the_wire() -> None:
    assert (REFUSED_ID, SUPERSEDED_BY) == ("refused-id", "superseded-by")
