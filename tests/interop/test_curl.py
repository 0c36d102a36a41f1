"""A call by curl, where it knows HTTP/2: bytes of gRPC over a client that knows nothing of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Broker

from interop.tools import curl, large, requests
from interop.ways import PARITY
from wire import SERVICE


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    try:
        told = subprocess.run(["curl", "--version"], check=False, capture_output=True).stdout
    except FileNotFoundError:
        told = b""
    if b"HTTP2" not in told:
        pytest.skip("no curl here that knows HTTP/2: apt-get install curl")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Broker(*PARITY) as broker:
        yield broker.address


def test_answers_are_equal_and_in_order(address: str, tmp_path: Path) -> None:
    outcome = curl(tmp_path, address, requests(200))
    assert outcome.answers == [(number, number % 2 == 0) for number in range(200)]
    assert (outcome.http, outcome.status) == ("200", "0")


def test_a_refusal_has_its_code_and_words(address: str, tmp_path: Path) -> None:
    outcome = curl(tmp_path, address, b"", headers=["agent-id: press-1"])
    assert (outcome.answers, outcome.http, outcome.status) == ([], "200", "3")
    assert "session-id" in outcome.words


def test_a_method_that_is_not_there_is_unimplemented(address: str, tmp_path: Path) -> None:
    outcome = curl(tmp_path, address, b"", path=f"/{SERVICE}/Nothing")
    assert (outcome.http, outcome.status) == ("200", "12")


def test_a_message_has_a_largest_size(address: str, tmp_path: Path) -> None:
    assert curl(tmp_path, address, large(4096)).status == "0"
    outcome = curl(tmp_path, address, large(4097))
    assert (outcome.answers, outcome.status) == ([], "8")
