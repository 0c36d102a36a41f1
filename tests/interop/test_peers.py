"""Clients in Python: grpcio's blocking and asynchronous ones, and grpclib's."""

from collections.abc import Iterator

import pytest
from support.processes import Broker

from interop.peer import Peer
from interop.suite import Suite
from interop.ways import PARITY, STRAIGHT, Way


@pytest.fixture(scope="module", params=["by_grpcio", "by_aio", "by_grpclib"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer.in_python(request.param) as peer:
        yield peer


@pytest.fixture
def way() -> Way:
    return STRAIGHT


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Broker(*PARITY) as broker:
        yield broker.address


class TestPeers(Suite):
    """In the process of each client, all cases."""


def test_the_services_are_learned_by_reflection(address: str) -> None:
    with Peer.in_python("by_grpcio") as peer:
        outcome = peer.ask("reflect", address)
    assert outcome.code == "OK"
    assert {name for _, name in outcome.said} >= {
        "bidirectional_databroker.BrokerService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
