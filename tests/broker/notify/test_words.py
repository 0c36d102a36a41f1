"""What people read of an event."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.notices import AT_NS

from broker.feed import FORGOTTEN, Event, Kind
from broker.judged import S_NS, local
from broker.notify import words
from wire.sensors import Label

T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"
SENSORS = (Label("bearing", "g"), Label("pump\r\nBcc: x@y.z", "g"), None, Label("sensor4"))

many = settings(derandomize=True, deadline=None, max_examples=200)

events = st.builds(
    Event,
    st.sampled_from(Kind),
    st.text(max_size=64),
    *[st.integers(0, 2**62)] * 2,
    st.text(max_size=600),
    st.none() | st.integers(0, 2**62),
    st.none() | st.just(SENSORS),
    st.booleans(),
    st.none() | st.integers(0, 2**62),
    st.none() | st.sampled_from([0, 1, 7, 30]),
)


def alarm(kind: Kind = Kind.ALARM_BEGUN, **more: object) -> Event:
    values = {"reason": T2, "alarm_ns": AT_NS, **more}
    return Event(kind, "press-4", AT_NS, AT_NS, **values)  # type: ignore[arg-type]


def test_an_alarm_says_since_when_and_why_by_the_sensors_names() -> None:
    message = words.single(alarm(sensors=SENSORS))
    assert message.subject == f"press-4: ALARM since {local(AT_NS)}"
    assert message.text.split("\n") == [
        f"Agent press-4 is in alarm since {local(AT_NS)}.",
        r"Why: T2 is 30, its limit 22: pump\r\nBcc: x@y.z (sensor2) 74%, bearing (sensor1) 26%.",
    ]
    (event,) = message.events
    assert event["sensors"] == ["bearing", "pump\r\nBcc: x@y.z", None, "sensor4"]
    assert event["at"] == event["alarm_begun_at"] == "2025-06-15T15:06:40.000000Z"


def test_an_alarm_that_waits_for_a_person_says_so() -> None:
    message = words.single(alarm(Kind.ALARM_CHANGED, waits_for_person=True))
    assert message.subject == "press-4: ALARM waits for a person"
    assert "'broker rebase press-4'" in message.text
    assert "waits for a person" not in words.single(alarm()).text


def test_the_alarm_of_a_forgotten_agent_is_not_called_over() -> None:
    message = words.single(alarm(Kind.ALARM_ENDED, reason=FORGOTTEN, lasted_ns=3 * S_NS))
    assert message.subject == "press-4: was forgotten while in alarm"
    assert "over" not in message.text
    assert "predictor" not in message.text
    assert message.kind == "alarm_ended"


@pytest.mark.parametrize(
    ("kind", "more", "subject"),
    [
        (Kind.ALARM_ENDED, {"lasted_ns": 300 * S_NS}, "press-4: alarm is over after 5 min"),
        (Kind.AGENT_SILENT, {}, f"press-4: SILENT since {local(AT_NS)}"),
        (Kind.AGENT_BACK, {"lasted_ns": 90 * S_NS}, "press-4: is back after 90 s"),
        (Kind.CERTIFICATE_EXPIRES, {"days_left": 7}, "press-4: certificate expires within 7 days"),
        (Kind.CERTIFICATE_EXPIRES, {"days_left": 0}, "press-4: certificate has expired"),
        (Kind.RECORDER_FAILS, {}, f"no samples are recorded since {local(AT_NS)}"),
        (Kind.RECORDER_WORKS, {"lasted_ns": S_NS}, "samples are recorded again after 1 s"),
    ],
)
def test_each_kind_has_a_plain_subject(kind: Kind, more: dict[str, int], subject: str) -> None:
    assert words.single(alarm(kind, **more)).subject == subject


def test_a_summary_names_the_alarms_first_and_counts_all() -> None:
    silent = [Event(Kind.AGENT_SILENT, f"m{n}", AT_NS, AT_NS, "gone") for n in range(300)]
    message = words.summary([*silent, alarm()], ["k"], more=2)
    assert message.subject == "301 events: 1 alarm begins, 300 agents are silent"
    lines = message.text.split("\n")
    assert lines[1].startswith("- press-4: ALARM")
    assert (len(lines), lines[-1]) == (22, "- and 281 more")
    assert len(message.events) == 200
    assert message.counts == {"agent_silent": 300, "alarm_begun": 1, "earlier": 2}


def test_unsent_messages_are_put_together_and_together_again() -> None:
    one = words.unsent([words.single(alarm()), words.single(alarm(Kind.ALARM_ENDED))])
    two = words.unsent([one, words.single(alarm(), more=3)])
    assert two.counts == {"alarm_begun": 5, "alarm_ended": 1}
    assert two.subject == "6 older events: 5 alarms begin, 1 alarm is over"


@given(events, st.integers(0, 3))
@many
def test_nothing_foreign_is_obeyed_by_a_header_or_a_terminal(event: Event, more: int) -> None:
    for message in (words.single(event, more=more), words.summary([event] * 3, ["k"])):
        assert message.subject.isprintable()
        assert all(line.isprintable() for line in message.text.split("\n"))
        assert len(message.text) < 5000


@given(st.lists(events, min_size=1, max_size=5))
@many
def test_an_id_is_that_of_the_events(found: list[Event]) -> None:
    keys = [event.key for event in found]
    assert words.summary(found, keys).id == words.summary(found, keys[::-1]).id
    assert words.summary(found, keys).id != words.summary(found, [*keys, "other"]).id
