"""The doctor's question to the brokers: all of them at once, within a time that stages share."""

import contextlib
import re
import socket
import threading
from pathlib import Path

import pytest
from support.certificates import Ca
from support.clock import ManualClock
from support.patience import PATIENCE_S

from agent.check import doctor
from agent.check.broker import MOST_S, Budget, check_brokers
from agent.check.findings import Outcome
from agent.config import (
    AgentSettings,
    BrokerSettings,
    Settings,
    TlsSettings,
)
from agent.reach.names import Addresses, Names


def to(*addresses: str, tls: TlsSettings | None = None) -> Settings:
    """The settings of an agent with these brokers."""
    return Settings(AgentSettings("press-1"), BrokerSettings(addresses), tls)


def test_a_port_where_nobody_listens_is_told_from_one_that_speaks_no_grpc() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        (finding,) = check_brokers(to(address), patience_s=0.5)
        assert "it accepts the connection, and then sends no HTTP/2 within 0.5 s" in finding.detail
    (finding,) = check_brokers(to(address))
    assert f"it cannot be reached at {address}: Connection refused" in finding.detail


def test_all_brokers_of_a_list_are_asked_at_the_same_time(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(40)]

        def hang_up_once_all_have_called() -> None:
            for connection in [each.accept()[0] for each in listening]:
                connection.close()

        calls = threading.Thread(target=hang_up_once_all_have_called)
        calls.start()
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in listening]
        tls = TlsSettings(str(Ca(tmp_path).path))
        findings = list(check_brokers(to(*addresses, tls=tls), PATIENCE_S, PATIENCE_S))
        calls.join()
    assert [each.outcome for each in findings] == [Outcome.FAILED] * 40
    assert [each.detail.split(": ")[0] for each in findings] == addresses


def test_a_name_that_nobody_resolves_does_not_hold_up_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that takes a query and does not answer: tests have none of their own."""
    is_over = threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: str, *arguments: object, flags: int = 0, **more: object) -> object:
        if host == "lost.plant" and not flags & socket.AI_NUMERICHOST:
            is_over.wait()
        return resolve(host, *arguments, flags=flags, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        first, second = check_brokers(to("lost.plant:8061", "127.0.0.1:1"), most_s=1.0)
    finally:
        is_over.set()
    assert first.detail == (
        "lost.plant:8061: nobody answers within 0.9 s what address the name lost.plant has"
    )
    assert "Connection refused" in second.detail


def test_the_stages_share_the_time_of_a_check() -> None:
    """Each has its own most, and what those before it have left."""
    clock = ManualClock()
    budget = Budget(clock, most_s=5.5, patience_s=3.0)
    assert (budget.for_name(), budget.for_connection(), budget.for_answer()) == (5.0, 3.0, 4.5)
    clock.advance(2.0)
    assert (budget.for_name(), budget.for_connection(), budget.for_answer()) == (3.5, 2.3, 3.5)
    clock.advance(3.2)
    assert (budget.for_name(), budget.for_connection(), budget.for_answer()) == (0.3, 0.2, 0.3)
    clock.advance(9.0)
    assert (budget.for_name(), budget.for_connection(), budget.for_answer()) == (0.1, 0.1, 0.1)


def test_all_checks_leave_the_brokers_what_is_left_and_never_too_little() -> None:
    assert [doctor.for_brokers(left_s) for left_s in (8.0, 4.0, -1.0)] == [MOST_S, 4.0, 2.0]


def test_a_slow_name_leaves_less_time_for_the_connection_and_this_is_told() -> None:
    clock = ManualClock()

    def slow(_: str) -> Addresses:
        clock.advance(8.5)
        return (("127.0.0.1", 0),)

    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = to(f"broker.plant:{mute.getsockname()[1]}")
        (finding,) = check_brokers(settings, most_s=10.0, names=Names(slow), clock=clock)
    # Of the 1.5 s that are left, the connection has 1 s; a busy machine may need them all.
    assert re.search(r"(sends no HTTP/2 within 1|is not reached within 1\.5) s$", finding.detail)
