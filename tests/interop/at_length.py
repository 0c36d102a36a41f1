"""Clients in other languages, and proxies in front of a broker; `make interop` alone runs it.

A test fails where the program that it needs is not installed, and names the package.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import Broker

from interop import compiled, tools, ways
from interop.envoy import envoy, envoy_tcp
from interop.peer import Peer
from interop.suite import Suite
from interop.ways import PARITY, STRAIGHT, Plant, Way

# HAProxy forgets trailers that it reads together with a reset: those of every third refusal.
REFUSALS = 30

_Meeting = tuple[Peer, Way]


def _plain(way: Way) -> _Meeting:
    return Peer.in_python("by_grpcio"), way


def _by_tls(make: Callable[[Path, Plant], Way], folder: Path) -> _Meeting:
    plant = Plant(folder)
    way = make(folder, plant)  # it fails where its proxy is not installed; a peer would be left
    return Peer.in_python("by_grpcio", str(plant.ca.path)), way


# TLS ends at the proxy, but where it says otherwise.
_MEETINGS: dict[str, Callable[[Path], _Meeting]] = {
    "C++": lambda folder: (compiled.in_cpp(folder), STRAIGHT),
    "grpc-js": lambda folder: (compiled.in_js(folder), STRAIGHT),
    "nginx": lambda folder: _plain(ways.nginx(folder)),
    "nginx, TLS": lambda folder: _by_tls(ways.nginx, folder),
    "nginx, TLS passed through": lambda folder: _by_tls(ways.nginx_stream, folder),
    "HAProxy, TCP": lambda folder: _plain(ways.haproxy(folder, "tcp")),
    "HAProxy, HTTP/2": lambda folder: _plain(ways.haproxy(folder, "http")),
    "HAProxy, HTTP/2, TLS": lambda folder: _by_tls(ways.haproxy_by_tls, folder),
    "Envoy": lambda folder: _plain(envoy(folder)),
    "Envoy, TLS": lambda folder: _by_tls(envoy, folder),
    "Envoy, TLS passed through": lambda folder: _by_tls(envoy_tcp, folder),
}


@pytest.fixture(scope="module", params=_MEETINGS)
def meeting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Meeting]:
    peer, way = _MEETINGS[request.param](tmp_path_factory.mktemp("interop"))
    with peer:
        yield peer, way


@pytest.fixture(scope="module")
def peer(meeting: _Meeting) -> Peer:
    return meeting[0]


@pytest.fixture(scope="module")
def way(meeting: _Meeting) -> Way:
    return meeting[1]


@pytest.fixture(scope="module")
def address(way: Way) -> Iterator[str]:
    with Broker(*way.arguments) as broker, way.to(broker) as address:
        yield address


class TestAtLength(Suite):
    """All cases, for each client and each proxy."""

    def test_no_refusal_loses_its_code_and_words(self, peer: Peer, address: str) -> None:
        for number in range(REFUSALS):
            outcome = peer.ask("stream", address, f"press/{number}", 1)
            assert (outcome.code, outcome.said) == ("INVALID_ARGUMENT", [])
            assert outcome.words.endswith(f"got 'press/{number}'")


def test_nghttp_sees_each_answer_and_the_status(tmp_path: Path) -> None:
    with Broker(*PARITY) as broker:
        told = tools.nghttp(tmp_path, broker.address, tools.requests(200))
    assert "grpc-status: 0" in told
    assert "RST_STREAM" not in told


def test_h2load_has_all_its_calls_answered(tmp_path: Path) -> None:
    with Broker(*PARITY) as broker:
        body = tools.requests(10)
        told = tools.h2load(tmp_path, broker.address, body, calls=2000, connections=20)
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in told
    assert "status codes: 2000 2xx" in told
