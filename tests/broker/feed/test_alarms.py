"""What a feed tells of alarms, over records and a clock that a test moves."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.feed import T2, Site
from support.records import S_NS

from broker.feed import Event, Kind
from broker.judged import State
from broker.model import Standing
from broker.recorder.reader import RecordedEvent
from broker.records import EventKind
from wire.sensors import Label

MEWMA = "alarm: MEWMA is 40, its limit 18: sensor4 90%, sensor2 10%"
FAR = "steady, 30.0 spreads off (sensor4 +30.0): too far to accept, in alarm until a reset"


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
