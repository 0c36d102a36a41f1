"""What a call's headers say, and those that answer it. Source: gRPC over HTTP/2, its protocol."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.model import Code, Ending
from quartet.foreign import shown

Header = tuple[bytes, bytes]

# As many as grpcio allows by default.
MOST_METADATA_BYTES = 8192

CONTENT_TYPE = (b"content-type", b"application/grpc")
RESPONSE: Sequence[Header] = ((b":status", b"200"), CONTENT_TYPE)
_ACCEPTED = (b"grpc-accept-encoding", b"identity")

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

# Those of gRPC and HTTP/2 themselves.
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_REQUIRED = _PSEUDO - {b":authority"}
_RESERVED = frozenset({b"te", b"content-type", b"content-length"})

# RFC 9113, 8.2: lower case, and nothing of HTTP/1's connections.
_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_FORBIDDEN = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_FORBIDDEN_IN_VALUES = re.compile(rb"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class Request:
    """What opens a call."""

    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout_s: float | None
    problem: Ending | None = None
    """Why it must not be served."""
    http_status: bytes = b"200"
    """Another one where it is no call of gRPC at all."""


class MalformedError(ValueError):
    """Headers that HTTP/2 forbids. They end the stream, and not its connection."""


def request(headers: Iterable[Header]) -> Request:
    """Read the headers of a call. MalformedError.

    Space around a value is allowed, unlike in RFC 9113: grpcio sends it.
    """
    reserved: dict[bytes, bytes] = {}
    metadata: list[tuple[str, str | bytes]] = []
    problem: Ending | None = None
    size_bytes = 0
    for name, value in headers:
        _check(name, value, reserved, is_behind=bool(metadata))
        if name[:1] == b":" or name in _RESERVED or name[:5] == b"grpc-":
            reserved[name] = value
            continue
        size_bytes += len(name) + len(value) + 32  # as RFC 9113, 6.5.2 counts
        try:
            metadata += _pairs(name, value)
        except ValueError:
            problem = Ending(Code.INVALID_ARGUMENT, f"{shown(_text(name))}: is not in base64")
    if missing := _REQUIRED - reserved.keys():
        raise MalformedError(f"without {_text(min(missing))}")
    if size_bytes > MOST_METADATA_BYTES:
        most = f"at most {MOST_METADATA_BYTES} are allowed"
        problem = Ending(Code.RESOURCE_EXHAUSTED, f"{size_bytes} bytes of metadata, but {most}")
    timeout_s, misspelt = _timeout(reserved.get(b"grpc-timeout"))
    encoding = _text(reserved.get(b"grpc-encoding", b"identity"))
    if encoding != "identity":
        reason = f"grpc-encoding {shown(encoding)} is not served: send messages uncompressed"
        problem = Ending(Code.UNIMPLEMENTED, reason)
    return Request(
        _text(reserved.get(b":path", b"")),
        tuple(metadata),
        timeout_s,
        problem or misspelt,
        _http_status(reserved),
    )


def _check(name: bytes, value: bytes, before: Mapping[bytes, bytes], *, is_behind: bool) -> None:
    if name[:1] == b":":
        if name not in _PSEUDO or name in before or is_behind or before.keys() - _PSEUDO:
            raise MalformedError(f"a header {shown(_text(name))} that must not be there")
    elif not _NAME.fullmatch(name) or name in _FORBIDDEN or _FORBIDDEN_IN_VALUES.search(value):
        raise MalformedError(f"a header {shown(_text(name))} that must not be there")


def _http_status(reserved: dict[bytes, bytes]) -> bytes:
    if reserved.get(b":method") != b"POST":
        return b"405"
    kind = reserved.get(b"content-type", b"")
    return b"200" if kind.startswith(b"application/grpc") else b"415"


def _timeout(value: bytes | None) -> tuple[float | None, Ending | None]:
    if value is None:
        return None, None
    if found := _TIMEOUT.fullmatch(value):
        return int(found[1]) * _UNITS_S[found[2]], None
    return None, Ending(Code.INVALID_ARGUMENT, f"grpc-timeout {shown(_text(value))}: is not a time")


def _pairs(name: bytes, value: bytes) -> list[tuple[str, str | bytes]]:
    if not name.endswith(b"-bin"):
        return [(_text(name), _text(value))]
    try:
        # Without padding, and several in one value: both are allowed.
        return [
            (_text(name), base64.b64decode(each + b"=" * (-len(each) % 4), validate=True))
            for each in (part.strip() for part in value.split(b","))
        ]
    except binascii.Error as error:
        raise ValueError from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def trailers(ending: Ending) -> list[Header]:
    """Those that tell how a call has ended."""
    headers = [(b"grpc-status", b"%d" % ending.code.value)]
    if ending.reason:
        headers.append((b"grpc-message", _percent_encoded(ending.reason)))
    if ending.code is Code.UNIMPLEMENTED:
        headers.append(_ACCEPTED)
    for name, value in ending.trailing:
        headers.append((name.encode(), value.encode()))
    return headers


def _percent_encoded(text: str) -> bytes:
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode("utf-8", "replace")
    )
