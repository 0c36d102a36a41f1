"""Calls by tools that know HTTP/2 and nothing of gRPC: a request's body is a file."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.patience import PATIENCE_S

from interop.talk import padded, samples
from interop.ways import need
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest, BrokerResponse

_HEADERS = ("content-type: application/grpc", "te: trailers")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answers' ids and predictions, the HTTP status, and gRPC's with its words."""

    answers: list[tuple[int, bool]]
    http: str
    status: str | None
    words: str


def requests(count: int) -> bytes:
    """The body of a call with samples from id 0."""
    return b"".join(map(_prefixed, samples(count)))


def large(size: int) -> bytes:
    """The body of a call with one message of this size."""
    return _prefixed(padded(size))


def curl(
    folder: Path,
    address: str,
    body: bytes,
    *,
    path: str = METHOD_PATH,
    headers: Sequence[str] = (),
) -> Outcome:
    """By curl, which begins with HTTP/2 at once."""
    sent, heads, received = (folder / name for name in ("sent", "heads", "received"))
    sent.write_bytes(body)
    given = [word for each in (*_HEADERS, *headers) for word in ("-H", each)]
    _run(
        *("curl", "-sS", "--http2-prior-knowledge", *given, "--data-binary", f"@{sent}"),
        *("-D", str(heads), "-o", str(received), f"http://{address}{path}"),
    )
    text = heads.read_text()
    status = re.search(r"^grpc-status: (\d+)", text, re.MULTILINE)
    words = re.search(r"^grpc-message: (.*)", text, re.MULTILINE)
    return Outcome(
        _answers(received.read_bytes() if received.exists() else b""),
        text.split()[1],
        status[1] if status else None,
        words[1].strip() if words else "",
    )


def nghttp(folder: Path, address: str, body: bytes) -> str:
    """What nghttp tells of each frame of a call."""
    sent = folder / "sent"
    sent.write_bytes(body)
    given = [f"-H{each}" for each in _HEADERS]
    return _run(
        need("nghttp", "nghttp2-client"),
        *("-v", "-n", f"-d{sent}", *given, f"http://{address}{METHOD_PATH}"),
    )


def h2load(folder: Path, address: str, body: bytes, *, calls: int, connections: int) -> str:
    """What h2load tells of many calls with the same body, ten at a time on each connection."""
    sent = folder / "sent"
    sent.write_bytes(body)
    given = [f"-H{each}" for each in _HEADERS]
    return _run(
        need("h2load", "nghttp2-client"),
        *(f"-n{calls}", f"-c{connections}", "-m10", f"-d{sent}", *given),
        f"http://{address}{METHOD_PATH}",
    )


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, (command, done.returncode, done.stderr)
    return done.stdout


def _prefixed(message: BrokerRequest) -> bytes:
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def _answers(data: bytes) -> list[tuple[int, bool]]:
    found = []
    while data:
        end = 5 + int.from_bytes(data[1:5], "big")
        answer = BrokerResponse.FromString(data[5:end])
        found.append((answer.id, answer.prediction))
        data = data[end:]
    return found
