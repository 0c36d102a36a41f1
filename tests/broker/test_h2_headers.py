"""What the headers of a call say, and those that answer it."""

import base64

import pytest

from broker.model import Code, Ending
from broker.transport.h2.headers import MalformedError, request, trailers

GOOD = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b"content-type", b"application/grpc+proto"),
    (b"te", b"trailers"),
]


def test_metadata_is_all_that_is_not_grpcs_or_http_2s_own() -> None:
    binary = base64.b64encode(b"\x00\xff").rstrip(b"=")
    asked = request(
        [
            *GOOD,
            (b"user-agent", b"x"),
            (b"agent-id", b" a "),
            (b"sensors-bin", binary + b", " + binary),
            (b"grpc-timeout", b"250m"),
            (b"grpc-encoding", b"identity"),
        ]
    )
    assert asked.method == "/a.B/C"
    assert asked.metadata == (
        ("user-agent", "x"),
        ("agent-id", " a "),
        ("sensors-bin", b"\x00\xff"),
        ("sensors-bin", b"\x00\xff"),
    )
    assert asked.timeout_s == 0.25
    assert asked.problem is None
    assert asked.http_status == b"200"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (b"x-bin", b"?", Code.INVALID_ARGUMENT),
        (b"x", bytes(9000).replace(b"\0", b"y"), Code.RESOURCE_EXHAUSTED),
        (b"grpc-encoding", b"gzip", Code.UNIMPLEMENTED),
        (b"grpc-timeout", b"soon", Code.INVALID_ARGUMENT),
        (b"grpc-timeout", b"123456789S", Code.INVALID_ARGUMENT),
    ],
)
def test_a_call_that_cannot_be_served_is_told_why(name: bytes, value: bytes, code: Code) -> None:
    problem = request([*GOOD, (name, value)]).problem
    assert problem is not None
    assert problem.code is code
    assert len(problem.reason) < 300


@pytest.mark.parametrize(
    ("changed", "status"),
    [((b":method", b"GET"), b"405"), ((b"content-type", b"text/html"), b"415")],
)
def test_what_is_no_call_gets_a_status_of_http(changed: tuple[bytes, bytes], status: bytes) -> None:
    headers = [changed if each[0] == changed[0] else each for each in GOOD]
    assert request(headers).http_status == status


@pytest.mark.parametrize(
    "headers",
    [
        *(
            [each for each in GOOD if each[0] != name]
            for name in (b":path", b":method", b":scheme")
        ),
        *([*GOOD, (name, b"x")] for name in (b"X-Upper", b"a b", b"", b"connection", b"upgrade")),
        *([*GOOD, (b"x", value)] for value in (b"a\0", b"a\nb", b"\r")),
        [*GOOD, (b":path", b"/late")],
        [GOOD[0], *GOOD],
        [(b":status", b"200"), *GOOD],
        [(b"x", b"y"), *GOOD],
    ],
)
def test_headers_that_http_2_forbids_are_no_request(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedError):
        request(headers)


def test_an_ending_is_told_in_trailers() -> None:
    ending = Ending(Code.ABORTED, "50 % é\n", (("superseded-by", "x"),))
    assert trailers(ending) == [
        (b"grpc-status", b"10"),
        (b"grpc-message", b"50 %25 %C3%A9%0A"),
        (b"superseded-by", b"x"),
    ]
    assert trailers(Ending(Code.OK)) == [(b"grpc-status", b"0")]
    assert (b"grpc-accept-encoding", b"identity") in trailers(Ending(Code.UNIMPLEMENTED))
