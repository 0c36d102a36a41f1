"""What a feed tells of agents that are silent, and of records that it cannot read."""

from support.feed import T2, Site
from support.records import S_NS

from broker.feed import Kind
from broker.recorder.reader import RecordedEvent
from broker.records import EventKind


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
