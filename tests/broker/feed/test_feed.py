"""What a feed tells of a fleet, over records and a clock that a test moves."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.records import S_NS, Records

from broker.feed import Event, Feed, Kind, Look
from broker.judged import State
from broker.model import Standing
from broker.recorder.reader import RecordedEvent
from broker.records import EventKind
from wire.sensors import Label

T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"
MEWMA = "alarm: MEWMA is 40, its limit 18: sensor4 90%, sensor2 10%"
FAR = "steady, 30.0 spreads off (sensor4 +30.0): too far to accept, in alarm until a reset"

DAY_NS = 86_400 * S_NS


class Site:
    """A fleet, and who follows it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.feed = self.follow()

    def follow(self, mark: bytes = b"") -> Feed:
        return Feed(self.records, mark, self.clock)  # type: ignore[arg-type]

    async def look(self, seconds: float = 0.5) -> Look:
        self.clock.advance(seconds)
        return await self.feed.look()

    async def kinds(self, seconds: float = 0.5) -> list[tuple[Kind, str]]:
        return [(each.kind, each.agent_id) for each in (await self.look(seconds)).events]

    async def send_for(self, seconds: float, agent: str = "a", **more: object) -> list[Event]:
        """A sample each second; what happened."""
        events: list[Event] = []
        for _ in range(round(seconds)):
            self.records.send(agent, **more)  # type: ignore[arg-type]
            events += (await self.look(1.0)).events
        return events


@pytest.fixture
def site() -> Site:
    return Site()


# Alarms


async def test_an_alarm_is_told_at_the_next_look_with_its_reason_and_the_sensors(
    site: Site,
) -> None:
    site.records.connect("a", sensors=(Label("bearing", "g"), None, None, None))
    site.records.send("a")
    await site.look()
    sample = site.records.send("a", (1.0, 2.0, 3.0, 9.0), prediction=True, reason=T2)
    seen = await site.look(1.0)
    (event,) = seen.events
    assert (event.kind, event.agent_id, event.reason) == (Kind.ALARM_BEGUN, "a", T2)
    assert event.at_ns == event.alarm_ns == sample.sampled_at_ns
    assert event.known_at_ns == sample.arrived_at_ns
    assert event.sensors == (Label("bearing", "g"), None, None, None)
    assert not event.waits_for_person
    present = seen.lines["a"]
    assert present.status.state is State.ALARM
    assert present.line.latest == sample
    assert present.alarm is not None
    assert (present.alarm.begun_at_ns, present.alarm.reason) == (sample.sampled_at_ns, T2)


async def test_an_alarm_ends_when_answers_are_false_for_a_while(site: Site) -> None:
    await site.send_for(3)
    begun = site.clock.time_ns()
    told = await site.send_for(4, prediction=True, reason=T2)
    told += await site.send_for(5)
    told += await site.send_for(2, prediction=True)  # the same trouble
    assert [each.kind for each in told] == [Kind.ALARM_BEGUN]
    told = await site.send_for(15)
    assert [(each.kind, each.alarm_ns) for each in told] == [(Kind.ALARM_ENDED, begun)]
    assert told[0].lasted_ns == 10 * S_NS
    assert [each.kind for each in await site.send_for(1, prediction=True)] == [Kind.ALARM_BEGUN]


async def test_an_alarm_after_a_clock_was_set_back_is_told_again(site: Site) -> None:
    await site.send_for(3)
    await site.send_for(2, prediction=True, reason=T2)
    told = await site.send_for(15)
    assert [each.kind for each in told] == [Kind.ALARM_ENDED]
    site.records.send("a", prediction=True, taken_s=16.0)
    (event,) = (await site.look()).events
    assert event.kind is Kind.ALARM_BEGUN
    site.records.send("a", prediction=True, taken_s=15.0)
    assert await site.kinds() == []


async def test_an_alarm_also_ends_if_no_sample_follows_the_first_false_one(site: Site) -> None:
    await site.send_for(3)
    await site.send_for(2, prediction=True)
    await site.send_for(1)
    assert await site.kinds(5) == []
    assert await site.kinds(5) == [(Kind.ALARM_ENDED, "a")]


async def test_another_sensor_is_told_once(site: Site) -> None:
    await site.send_for(3)
    await site.send_for(1, prediction=True, reason=T2)
    assert await site.send_for(2, prediction=True, reason=T2) == []
    told = await site.send_for(2, prediction=True, reason=MEWMA)
    assert [(each.kind, each.reason) for each in told] == [(Kind.ALARM_CHANGED, MEWMA)]


async def test_an_alarm_that_waits_for_a_person_is_told(site: Site) -> None:
    await site.send_for(3)
    await site.send_for(1, prediction=True, reason=MEWMA)
    told = await site.send_for(2, prediction=True, reason=FAR)
    assert [(each.kind, each.waits_for_person) for each in told] == [(Kind.ALARM_CHANGED, True)]
    alarm = (await site.look()).lines["a"].alarm
    assert alarm is not None
    assert alarm.waits_for_person


async def test_a_reset_ends_an_alarm_without_an_answer(site: Site) -> None:
    await site.send_for(2, prediction=True)
    begun = RecordedEvent(site.clock.time_ns(), EventKind.BEGUN, "a person asked for it")
    site.records.change("a", begun=begun, standing=Standing())
    assert await site.kinds(1.0) == [(Kind.ALARM_ENDED, "a")]


async def test_a_forgotten_agent_has_no_alarm(site: Site) -> None:
    await site.send_for(2, prediction=True)
    del site.records.states["a"]
    seen = await site.look(1.0)
    assert [(each.kind, each.reason) for each in seen.events] == [
        (Kind.ALARM_ENDED, "the agent was forgotten")
    ]
    assert seen.lines == {}


async def test_the_alarm_of_an_agent_that_is_forgotten_while_nobody_looks_is_over(
    site: Site,
) -> None:
    site.records.connect("simulated", is_rehearsal=True)
    site.records.send("simulated", prediction=True)
    site.records.send("b")
    await site.send_for(2, prediction=True)
    mark = site.feed.mark()
    for agent in ("a", "b", "simulated"):
        del site.records.states[agent]
    site.feed = site.follow(mark)
    (event,) = (await site.look()).events
    told = (event.kind, event.agent_id, event.reason)
    assert told == (Kind.ALARM_ENDED, "a", "the agent was forgotten")
    assert await site.kinds() == []


async def test_a_simulation_is_shown_while_it_runs_and_tells_nothing(site: Site) -> None:
    site.records.connect("a", is_rehearsal=True)
    assert await site.send_for(2, prediction=True) == []
    assert "a" in (await site.look()).lines
    seen = await site.look(60)
    assert (seen.events, seen.lines) == ([], {})


answers = st.lists(st.tuples(st.booleans(), st.integers(1, 15)), min_size=1, max_size=25)


@given(answers, st.integers(0, 25))
@settings(derandomize=True, deadline=None, max_examples=150)
async def test_who_continues_at_a_mark_tells_the_same_and_nothing_twice(
    answers: list[tuple[bool, int]], stop: int
) -> None:
    async def told(*, restarts: bool) -> list[Event]:
        site, events = Site(), []
        site.records.send("a")
        events += (await site.look()).events
        for number, (prediction, pause) in enumerate(answers):
            site.records.send("a", prediction=prediction, reason=T2 if prediction else "")
            if restarts and number == stop:
                site.feed = site.follow(site.feed.mark())
                site.clock.advance(pause)  # what it misses is read behind the mark
            else:
                events += (await site.look(pause)).events
        return [*events, *(await site.look(60)).events]

    def names(events: list[Event]) -> list[tuple[Kind, int | None]]:
        alarms = (Kind.ALARM_BEGUN, Kind.ALARM_ENDED)
        return [(each.kind, each.alarm_ns) for each in events if each.kind in alarms]

    whole, parts = await told(restarts=False), await told(restarts=True)
    assert names(whole) == names(parts)
    assert len({each.key for each in whole}) == len(whole)


async def test_an_alarm_that_is_on_at_the_first_start_is_known_since_it_began(site: Site) -> None:
    sample = site.records.send("a", prediction=True, reason=T2)
    site.clock.advance(3600)
    site.records.send("a", prediction=True)
    (event,) = (await site.look()).events
    assert (event.kind, event.known_at_ns) == (Kind.ALARM_BEGUN, sample.sampled_at_ns)


async def test_an_alarm_that_waits_at_the_first_start_says_so(site: Site) -> None:
    site.records.send("a", prediction=True, reason=T2)
    site.records.send("a", prediction=True, reason=FAR)
    (event,) = (await site.look()).events
    assert (event.reason, event.waits_for_person) == (T2, True)


async def test_an_alarm_while_nobody_looked_is_told_as_a_whole(site: Site) -> None:
    await site.send_for(2)
    mark = site.feed.mark()
    for prediction in (True, True, *[False] * 12):
        site.records.send("a", prediction=prediction, reason=T2 if prediction else "")
        site.clock.advance(1)
    site.feed = site.follow(mark)
    assert await site.kinds() == [(Kind.ALARM_BEGUN, "a"), (Kind.ALARM_ENDED, "a")]


async def test_a_store_that_is_replaced_is_followed_as_it_is(site: Site) -> None:
    await site.send_for(3, "a", prediction=True)
    await site.send_for(3, "b")
    site.records.samples.clear()
    site.records.first = 1000
    site.records.send("a")
    site.records.send("b", prediction=True, reason=T2)
    assert await site.kinds() == [(Kind.ALARM_ENDED, "a"), (Kind.ALARM_BEGUN, "b")]
    assert await site.send_for(2, "b", prediction=True) == []


# Silence


async def test_an_agent_is_silent_and_back_once(site: Site) -> None:
    await site.send_for(40)
    heard_ns = site.records.samples[-1].arrived_at_ns
    gone = RecordedEvent(site.clock.time_ns(), EventKind.ENDED, "the connection broke")
    site.records.change("a", stream=gone)
    assert await site.kinds(20) == []
    (event,) = (await site.look(20)).events
    assert (event.kind, event.at_ns) == (Kind.AGENT_SILENT, heard_ns)
    assert event.reason == "the connection broke"
    assert await site.kinds(60) == []
    site.feed = site.follow(site.feed.mark())
    assert await site.kinds(60) == []
    site.records.send("a")
    (event,) = (await site.look(1.0)).events
    assert (event.kind, event.agent_id) == (Kind.AGENT_BACK, "a")
    assert event.lasted_ns is not None
    assert event.lasted_ns > 100 * S_NS


async def test_an_agent_that_was_silent_before_the_first_start_is_no_news(site: Site) -> None:
    sample = site.records.send("a")
    site.clock.advance(3 * 86_400)
    (event,) = (await site.look()).events
    assert (event.kind, event.known_at_ns) == (Kind.AGENT_SILENT, sample.arrived_at_ns)


async def test_who_cannot_be_heard_is_not_called_silent(site: Site) -> None:
    await site.send_for(40)
    site.records.served_since_ns = None
    assert await site.kinds(1) == []
    assert await site.kinds(31) == [(Kind.RECORDER_FAILS, "")]
    assert await site.kinds(60) == []
    site.records.served_since_ns = site.clock.time_ns()
    assert await site.kinds(1) == [(Kind.RECORDER_WORKS, "")]
    assert await site.kinds(20) == []  # the agent has its time to come back
    assert await site.kinds(20) == [(Kind.AGENT_SILENT, "a")]


async def test_a_broker_that_is_restarted_is_no_news(site: Site) -> None:
    await site.send_for(40)
    site.records.served_since_ns = None
    assert await site.kinds(20) == []
    site.records.served_since_ns = site.clock.time_ns()
    site.records.send("a")
    assert await site.kinds(20) == []


async def test_a_store_that_cannot_be_read_is_told_and_loses_nothing(site: Site) -> None:
    await site.send_for(40)
    site.records.trouble = "broker.db: cannot be used"
    assert await site.kinds(1) == []
    site.records.send("a", prediction=True, reason=T2)
    (event,) = (await site.look(31)).events
    assert (event.kind, event.reason) == (Kind.RECORDER_FAILS, "broker.db: cannot be used")
    assert site.feed.mark()
    site.records.trouble = ""
    seen = await site.look(1)
    assert [each.kind for each in seen.events] == [Kind.ALARM_BEGUN, Kind.RECORDER_WORKS]
    assert seen.events[1].lasted_ns == 32 * S_NS


async def test_a_store_that_cannot_be_read_at_a_start_takes_no_place_away(site: Site) -> None:
    await site.send_for(2, prediction=True)
    mark = site.feed.mark()
    site.records.send("a")
    site.records.trouble = "the disk is gone"
    site.feed = site.follow(mark)
    assert await site.kinds(0.5) == []
    assert await site.kinds(60) == [(Kind.RECORDER_FAILS, "")]
    site.feed = site.follow(site.feed.mark())
    site.records.trouble = ""
    assert await site.kinds() == [(Kind.RECORDER_WORKS, ""), (Kind.ALARM_ENDED, "a")]


async def test_if_nothing_is_recorded_of_several_agents_it_is_not_their_silence(
    site: Site,
) -> None:
    for agent in ("a", "b"):
        site.records.connect(agent)
        site.records.send(agent)
    site.clock.advance(40)
    for agent in ("a", "b"):
        site.records.send(agent)
    await site.look()
    await site.look(20)
    (event,) = (await site.look(31)).events
    assert event.kind is Kind.RECORDER_FAILS
    assert event.reason.startswith("no sample was recorded for 51 s, although 2 agents are")


async def test_a_clock_that_is_set_calls_nobody_silent(site: Site) -> None:
    await site.send_for(40)
    site.clock.ahead_s += 3600
    assert await site.kinds(1) == []
    site.clock.ahead_s -= 7200
    assert await site.kinds(1) == []


# Certificates


async def test_a_certificate_is_told_at_30_7_and_1_days_and_at_its_end(site: Site) -> None:
    until_ns = site.clock.time_ns() + 40 * DAY_NS
    site.records.connect("a", certificate_until_ns=until_ns)
    told = []
    for _ in range(45):
        site.records.send("a")
        seen = await site.look(86_400)
        told += [each for each in seen.events if each.kind is Kind.CERTIFICATE_EXPIRES]
        site.feed = site.follow(site.feed.mark())
    assert [each.days_left for each in told] == [30, 7, 1, 0]
    assert {each.at_ns for each in told} == {until_ns}
    assert len({each.key for each in told}) == 4
    site.records.change("a", certificate_until_ns=site.clock.time_ns() + 2 * DAY_NS)
    site.records.send("a")
    (event,) = [e for e in (await site.look(5)).events if e.kind is Kind.CERTIFICATE_EXPIRES]
    assert event.days_left == 7


# Costs and marks


async def test_a_look_asks_two_questions_and_lines_once_a_second_at_most(site: Site) -> None:
    for number in range(40):
        site.records.send(f"m{number}")
    await site.look()
    site.records.asked.clear()
    for _ in range(8):
        site.records.send("m7", prediction=True)
        await site.look()
    assert site.records.asked.count("bulk") == 8
    assert site.records.asked.count("lines") <= 4
    assert len(site.records.asked) <= 12


async def test_lines_that_take_long_are_asked_more_seldom(site: Site) -> None:
    site.records.lines_take_s = 0.5
    site.records.send("a")
    await site.look()
    site.records.asked.clear()
    for _ in range(20):
        await site.look()
    assert site.records.asked.count("lines") <= 3


async def test_a_mark_that_is_none_is_refused(site: Site) -> None:
    for mark in (b"nonsense", b"{}", b"[1]"):
        with pytest.raises(ValueError, match=r".+"):
            site.follow(mark)


async def test_an_event_has_the_same_key_wherever_it_is_seen(site: Site) -> None:
    await site.send_for(3)
    site.records.send("a", prediction=True, reason=T2)
    other = site.follow()
    (event,) = (await site.look(1.0)).events
    (same,) = (await other.look()).events
    assert event.key == same.key
    assert event.key != replace(event, alarm_ns=1).key
