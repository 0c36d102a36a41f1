"""What a person is told of the agent's state."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.states import before_ns, latest, state

from agent.model import Learning
from agent.state import LinkState, State, details, line
from quartet.duration import lasted
from wire.sensors import Label

ALARM = {"prediction": latest(True), "alarm_since_ns": before_ns(130)}
NAMED = (Label("inlet", "bar"), Label("oil sensor1"), Label("\x1b[2J\\1"), None)
HELD = {"output": "held", "output_held_since_ns": before_ns(3600)}
BROKEN = {"link": LinkState.WAITING, "link_trouble": "UNAVAILABLE: refused"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "streaming to bench:8061"),
        ({"prediction": latest()}, "streaming to bench:8061, no alarm"),
        (
            {"prediction": latest(), "learning": Learning(120, 300)},
            "streaming to bench:8061, learning 120/300",
        ),
        (ALARM, "streaming to bench:8061, ALARM for 2 min"),
        (
            ALARM | {"alarm_reason": "alarm: T2 is 30: sensor2 98%"},
            "streaming to bench:8061, ALARM for 2 min: T2 is 30: sensor2 98%",
        ),
        (
            ALARM
            | {"alarm_reason": "sensor2 60%, sensor12, sensor4 1%, sensor3", "sensors": NAMED},
            "streaming to bench:8061, ALARM for 2 min:"
            " oil sensor1 60%, sensor12, sensor4 1%, \\x1b[2J\\1",
        ),
        (
            {"prediction": latest(age_s=10_800), "waiting": 5000},
            "streaming to bench:8061, no alarm, 5000 samples wait, 3 h behind",
        ),
        ({"prediction": latest(age_s=1), "waiting": 5000}, "streaming to bench:8061, no alarm"),
        (
            {"link": LinkState.CONNECTING, "link_since_ns": before_ns(2), "waiting": 1},
            "connecting to bench:8061 for 2 s, 1 sample waits",
        ),
        (
            BROKEN | {"waiting": 180},
            "no connection to bench:8061 for 3 min (UNAVAILABLE: refused), 180 samples wait",
        ),
        (
            BROKEN | ALARM,  # which may be over since
            "no connection to bench:8061 for 3 min (UNAVAILABLE: refused), 0 samples wait",
        ),
        (
            {"link": LinkState.REFUSED, "link_trouble": "PERMISSION_DENIED: who?"},
            "bench:8061 refuses the stream for 3 min (PERMISSION_DENIED: who?), 0 samples wait",
        ),
        (
            {"output": "off", "source_trouble": "sensor2: no answer", "spool_trouble": "spool: x"},
            "streaming to bench:8061; alarm output off; sensor2: no answer; spool: x",
        ),
        ({"home": "bench:8061"}, "streaming to bench:8061"),
        ({"home": "b1:8061"}, "streaming to bench:8061, away from its home b1:8061"),
        (
            BROKEN | {"home": "b1:8061"},
            "no connection to bench:8061 for 3 min (UNAVAILABLE: refused), 0 samples wait",
        ),
        (
            HELD,
            "streaming to bench:8061; alarm output held since 2024-05-01 11:00 UTC, waits for a"
            " person ('agent release')",
        ),
    ],
)
def test_a_state_is_said_on_a_line(changes: dict[str, Any], said: str) -> None:
    assert line(state(**changes)) == said


@pytest.mark.parametrize("link", LinkState)
def test_only_an_agent_that_streams_says_so_first(link: LinkState) -> None:
    said = line(state(link=link, source_trouble="sensor1: no answer"))
    assert said.startswith("streaming") is (link is LinkState.STREAMING)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"learning": Learning(0, 300)}, False),
        (ALARM, True),
        (HELD, True),
        (BROKEN, True),
        ({"link": LinkState.CONNECTING}, True),
        ({"source_trouble": "sensor1: no answer"}, True),
        ({"spool_trouble": "spool: samples are kept in memory alone"}, True),
    ],
)
def test_a_person_is_needed_where_something_is_wrong(changes: dict[str, Any], needed: bool) -> None:
    assert state(**changes).needs_person is needed


def test_all_of_a_state_is_told_to_who_asks() -> None:
    told = details(
        state(
            **BROKEN | ALARM,
            alarm_reason="sensor2",
            sensors=NAMED,
            waiting=2,
            learning=Learning(120, 300),
            spool_trouble="spool: alone",
        )
    )
    assert told == [
        ("broker", "bench:8061"),
        ("connection", "none for 3 min: UNAVAILABLE: refused"),
        ("waiting", "2 samples"),
        ("prediction", "True, of sample 7, taken 0 s ago"),
        ("learning", "120 of 300 samples"),
        ("alarm", "ALARM for 2 min: oil sensor1"),
        ("alarm output", "none"),
        ("sensors", "no trouble"),
        ("spool", "alone"),
    ]


def test_what_is_well_is_told_without_an_empty_line() -> None:
    told = details(state())
    assert all(name and said for name, said in told)
    assert ("connection", "streaming for 3 min") in told
    assert ("broker", "bench:8061, its home") in details(state(home="bench:8061"))
    assert ("learning", "not now") in told
    assert ("MQTT server", "publishing to h:1") in details(state(mqtt="publishing to h:1"))


def test_a_state_arrives_as_it_was_sent() -> None:
    sent = state(**ALARM, sensors=NAMED, learning=Learning(1, 2), output="on")
    assert msgspec.json.decode(msgspec.json.encode(sent), type=State) == sent


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_a_duration_is_said_in_its_greatest_unit(seconds: float, said: str) -> None:
    assert lasted(seconds) == said


@given(st.floats(0, 1e9))
def test_a_duration_is_never_said_too_long_nor_by_half_too_short(seconds: float) -> None:
    number, unit = lasted(seconds).split()
    said = int(number) * {"s": 1, "min": 60, "h": 3600, "days": 86_400}[unit]
    assert said <= seconds < max(1, 1.5 * said) + 1
