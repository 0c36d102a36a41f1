"""When events become messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.notices import AT_NS

from broker.feed import Event, Kind
from broker.judged import S_NS
from broker.notify.config import NotifySettings
from broker.notify.gathering import GATHER_S, Gathering
from broker.notify.message import SUMMARY


def event(
    kind: Kind = Kind.ALARM_BEGUN, agent: str = "a", at_s: int = 0, reason: str = ""
) -> Event:
    at_ns = AT_NS + at_s * S_NS
    return Event(kind, agent, at_ns, at_ns, reason, AT_NS)


def gathering(**options: float) -> Gathering:
    return Gathering(NotifySettings(**options))  # type: ignore[arg-type]


def test_the_first_event_is_told_after_a_moment() -> None:
    held = gathering()
    held.take([event(reason="hot")], AT_NS)
    assert held.due(10.0) == []
    (message,) = held.due(10.0 + GATHER_S)
    assert message.kind == "alarm_begun"
    assert held.due(20.0) == []


def test_what_follows_within_the_pause_is_told_once_at_its_end() -> None:
    held = gathering(pause_s=60)
    held.take([event()], AT_NS)
    held.due(0.0)
    assert len(held.due(1.0)) == 1
    held.take([event(Kind.ALARM_ENDED, at_s=5)], AT_NS)
    held.take([event(Kind.ALARM_BEGUN, at_s=9)], AT_NS)
    held.take([event(Kind.ALARM_ENDED, at_s=20)], AT_NS)
    held.take([event(agent="b")], AT_NS)
    held.due(30.0)
    (other,) = held.due(31.0)
    assert other.events[0]["agent"] == "b"
    assert held.due(60.0) == []
    held.due(61.5)
    (message,) = held.due(62.0)
    assert message.kind == "alarm_ended"
    assert "on 2 earlier changes" in message.text
    assert message.counts == {"alarm_ended": 3}


def test_silence_is_not_held_back_by_an_alarm() -> None:
    held = gathering(pause_s=60)
    held.take([event()], AT_NS)
    held.due(0.0)
    held.due(1.0)
    held.take([event(Kind.AGENT_SILENT)], AT_NS)
    held.due(2.0)
    assert [message.kind for message in held.due(3.0)] == ["agent_silent"]


def test_an_alarm_that_is_over_at_once_says_why_it_was() -> None:
    held = gathering()
    held.take([event(reason="hot"), event(Kind.ALARM_ENDED, at_s=1)], AT_NS)
    held.due(0.0)
    (message,) = held.due(1.0)
    assert message.kind == "alarm_ended"
    assert "hot" in message.text


def test_a_storm_is_one_summary_and_so_is_what_follows() -> None:
    held = gathering(pause_s=60)
    held.take([event(agent=f"m{n}") for n in range(3)], AT_NS)
    held.due(0.0)
    held.take([event(agent=f"m{n}") for n in range(3, 200)], AT_NS)
    (message,) = held.due(0.5)
    assert (message.kind, message.counts) == (SUMMARY, {"alarm_begun": 200})
    for second in range(1, 30):
        held.take([event(Kind.AGENT_SILENT, agent=f"m{n}") for n in range(second)], AT_NS)
        assert held.due(float(second)) == []
    (message,) = held.due(61.0)
    assert message.kind == SUMMARY
    assert message.counts["agent_silent"] == 29


def test_what_is_too_old_is_not_told() -> None:
    held = gathering(max_age_h=1)
    old = event(at_s=-3601)
    assert held.take([old, event(agent="b")], AT_NS) == 1
    held.due(0.0)
    assert [message.events[0]["agent"] for message in held.due(1.0)] == ["b"]


def test_what_is_kept_is_told_by_the_next_one() -> None:
    held = gathering()
    held.take([event(reason="hot"), event(agent="b")], AT_NS)
    later = Gathering(NotifySettings(), held.kept())
    assert not later.is_empty
    later.due(0.0)
    held.due(0.0)
    assert later.due(1.0) == held.due(1.0)
    assert Gathering(NotifySettings(), later.kept()).is_empty


def test_a_cause_that_changes_all_the_time_is_counted_and_takes_little_room() -> None:
    held = gathering(pause_s=60)
    held.take([event()], AT_NS)
    held.due(0.0)
    held.due(1.0)
    for number in range(1000):
        held.take([event(Kind.ALARM_CHANGED, at_s=number, reason=f"hot {number}")], AT_NS)
    held.take([event(Kind.ALARM_ENDED, at_s=1000)], AT_NS)
    assert len(held.kept()) < 10_000
    later = Gathering(NotifySettings(), held.kept())
    later.due(0.0)
    (message,) = later.due(1.0)
    assert message.counts == {"alarm_ended": 1001}
    assert "on 1000 earlier changes" in message.text
    assert "The predictor said: hot" in message.text


@pytest.mark.parametrize("kept", [b"x", b"{}", b'[{"kind": 1}]', b'[{"events": []}]'])
def test_what_is_kept_by_nobody_is_refused(kept: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Gathering(NotifySettings(), kept)


steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 8)), max_size=10),
        st.floats(0.1, 100.0),
    ),
    max_size=20,
)


@given(steps, st.floats(0, 120), st.integers(1, 6))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_each_event_is_counted_once_and_none_is_held_for_ever(
    steps: list[tuple[list[tuple[Kind, int]], float]], pause_s: float, above: int
) -> None:
    held = gathering(pause_s=pause_s, summary_above=above)
    now_s, taken, messages = 0.0, 0, []
    for found, wait_s in steps:
        held.take([event(kind, f"m{n}") for kind, n in found], AT_NS)
        taken += len(found)
        now_s += wait_s
        due = held.due(now_s)
        assert len(due) <= above
        messages += due
    for _ in range(4):
        now_s += 200.0
        messages += held.due(now_s)
    assert held.is_empty
    assert sum(sum(message.counts.values()) for message in messages) == taken
