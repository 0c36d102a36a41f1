"""What the log says of peers that connect and disconnect."""

import logging

import pytest
from support.clock import ManualClock

from broker.access import Peer
from broker.connections import ConnectionLog


def agent(name: str = "press-1", port: int = 1) -> Peer:
    return Peer(f"10.0.0.9:{port}", None, name)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_each_change_of_an_agent_that_seldom_changes_is_logged(
    said: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = ConnectionLog(clock)
    for _ in range(20):
        log.opened(agent())
        log.ended(agent(), "the connection broke", in_order=False)
        clock.advance(300.0)
    assert said.messages[:2] == [
        "press-1 at 10.0.0.9:1: connected",
        "press-1 at 10.0.0.9:1: disconnected: the connection broke",
    ]
    assert len(said.messages) == 40


def test_forty_agents_behind_a_link_that_flaps_for_a_day_cost_a_bounded_log(
    said: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = ConnectionLog(clock)
    for _ in range(24 * 60):
        for number in range(40):
            log.opened(agent(f"press-{number}"))
            log.ended(agent(f"press-{number}"), "the connection broke", in_order=False)
        clock.advance(60.0)
    log.sweep()
    assert len(said.messages) <= 40 * 24 * 6 * 7


def test_how_an_agent_stands_is_known_also_after_many_changes(
    said: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = ConnectionLog(clock, most=2)
    for why in "12":
        log.opened(agent())
        log.ended(agent(), why, in_order=False)
    log.opened(agent())
    clock.advance(599.0)
    log.sweep()
    assert len(said.messages) == 2
    clock.advance(1.0)
    log.sweep()
    assert said.messages[2:] == [
        "press-1 at 10.0.0.9:1: connected; 2 changes before it are not logged"
    ]
    log.ended(agent(), "3", in_order=False)
    assert len(said.messages) == 4


def test_a_single_change_that_was_left_out_is_logged_at_the_end_as_it_was(
    said: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = ConnectionLog(clock, most=1)
    log.opened(agent())
    log.ended(agent(), "1", in_order=False)
    clock.advance(600.0)
    log.sweep()
    assert said.messages[1:] == ["press-1 at 10.0.0.9:1: disconnected: 1"]


def test_plain_peers_go_by_their_host(said: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(ManualClock(), most=3)
    for port in range(100):
        log.opened(Peer(f"10.0.0.9:{port}", None, None))
    log.opened(Peer("10.0.0.8:1", None, None))
    assert said.messages == [
        *(f"10.0.0.9:{port}: connected" for port in range(3)),
        "10.0.0.8:1: connected",
    ]


def test_many_peers_cost_no_memory_without_end_and_none_is_dropped_without_a_word(
    said: pytest.LogCaptureFixture,
) -> None:
    log = ConnectionLog(ManualClock(), most=1, peers=2)
    for name in ("a", "b"):
        log.opened(agent(name))
        log.ended(agent(name), "1", in_order=False)
    log.opened(agent("c"))
    assert said.messages == [
        "a at 10.0.0.9:1: connected",
        "b at 10.0.0.9:1: connected",
        "a at 10.0.0.9:1: disconnected: 1",
        "c at 10.0.0.9:1: connected",
    ]


def test_streams_of_an_agent_on_one_connection_are_one_whatever_their_number(
    said: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = ConnectionLog(clock)
    for number in range(20):
        log.opened(agent())
        clock.advance(5.0)
        log.sweep()
        log.ended(agent(), f"the agent ended it; {number} samples", in_order=True)
        clock.advance(0.5)
        log.sweep()
    assert said.messages == ["press-1 at 10.0.0.9:1: connected"]
    clock.advance(0.5)
    log.sweep()
    log.sweep()
    assert said.messages[1:] == [
        "press-1 at 10.0.0.9:1: disconnected: the agent ended it; 19 samples"
    ]
    log.opened(agent())
    assert said.messages[2:] == ["press-1 at 10.0.0.9:1: connected"]


def test_an_agent_that_comes_back_on_another_connection_had_disconnected(
    said: pytest.LogCaptureFixture,
) -> None:
    log = ConnectionLog(ManualClock())
    log.opened(agent())
    log.ended(agent(), "the agent ended it", in_order=True)
    log.opened(agent(port=2))
    log.ended(agent(port=2), "the agent ended it", in_order=True)
    log.ended(agent(port=3), "the agent ended it", in_order=True)
    log.close()
    assert said.messages == [
        "press-1 at 10.0.0.9:1: connected",
        "press-1 at 10.0.0.9:1: disconnected: the agent ended it",
        "press-1 at 10.0.0.9:2: connected",
        "press-1 at 10.0.0.9:2: disconnected: the agent ended it",
        "press-1 at 10.0.0.9:3: disconnected: the agent ended it",
    ]


def test_ends_in_good_order_cost_no_memory_without_end(said: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(ManualClock(), peers=2)
    for name in "abc":
        log.ended(agent(name), "1", in_order=True)
    assert said.messages == ["a at 10.0.0.9:1: disconnected: 1"]


def test_a_plain_peer_that_ends_its_stream_is_logged_at_once(
    said: pytest.LogCaptureFixture,
) -> None:
    ConnectionLog(ManualClock()).ended(Peer("10.0.0.9:1", None, None), "1", in_order=True)
    assert said.messages == ["10.0.0.9:1: disconnected: 1"]
