"""Any bytes for messages, any text for metadata: a clear status, and the broker goes on."""

from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import Broker

from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import StreamHeader

many = settings(derandomize=True, deadline=None, max_examples=300)

GOOD = dict(StreamHeader("fuzz", "0" * 32, 0, 1, 1).to_metadata())

# What HTTP/2 carries as the value of a header; anything else the client library keeps back.
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100)


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with Broker("--predictor", "parity") as broker:
        with grpc.insecure_channel(broker.address) as channel:
            yield channel
        assert "Traceback" not in broker.stderr
        assert broker.stop() == 0


def stream(
    channel: grpc.Channel, messages: list[bytes], metadata: dict[str, str] | None = None
) -> tuple[list[bytes], grpc.StatusCode]:
    """The answers and the status of a stream of these messages."""
    call = channel.stream_stream(METHOD_PATH)(
        iter(messages), metadata=tuple((metadata or {}).items())
    )
    answers: list[bytes] = []
    try:
        answers.extend(call)
    except grpc.RpcError as error:
        return answers, error.code()
    return answers, grpc.StatusCode.OK


@many
@given(st.lists(st.binary(max_size=64), max_size=5))
def test_what_is_a_request_is_answered_up_to_what_is_none(
    channel: grpc.Channel, messages: list[bytes]
) -> None:
    readable = []
    for message in messages:
        try:
            readable.append(BrokerRequest.FromString(message).id)
        except Exception:
            break
    answers, code = stream(channel, messages)
    whole = len(readable) == len(messages)
    assert code is (grpc.StatusCode.OK if whole else grpc.StatusCode.INVALID_ARGUMENT)
    assert [BrokerResponse.FromString(answer).id for answer in answers] == readable


@many
@given(st.dictionaries(st.sampled_from(list(GOOD)), values, min_size=1))
def test_metadata_is_taken_as_a_whole_or_refused(
    channel: grpc.Channel, changed: dict[str, str]
) -> None:
    metadata = GOOD | changed
    try:
        StreamHeader.from_metadata(metadata.items())
    except ValueError:
        expected = grpc.StatusCode.INVALID_ARGUMENT
    else:
        expected = grpc.StatusCode.OK
    _, code = stream(channel, [], metadata)
    assert code is expected
