"""How each agent is, as a page is told of it: late, offline, in alarm, learning."""

from support.present import Site, next_tick
from support.records import S_NS

from broker.model import Learning, Standing
from broker.recorder.reader import RecordedEvent
from broker.records import EventKind
from wire.sensors import Label


async def test_an_agent_is_late_and_then_offline_by_the_clock_alone(site: Site) -> None:
    sample = site.records.send("a")
    assert (await site.row())["state"] == "normal"
    told = await site.row(3.0)
    assert (told["state"], told["since"]) == ("late", sample.arrived_at_ns / 1e6)
    assert not told["needs_person"]
    assert told["why"] == "connected, but sends no samples"
    fleet = await site.look(28.0)
    assert fleet["agents"]["a"]["state"] == "offline"
    assert (fleet["counts"]["offline"], fleet["needs_person"]) == (1, 1)
    site.records.send("a")
    came_ms = site.now_ms() + 500
    told = await site.row()
    assert (told["state"], told["since"]) == ("normal", came_ms)  # as this process saw it


async def test_why_an_agent_ended_is_told_as_soon_as_it_is_late(site: Site) -> None:
    site.records.send("a")
    await site.look()
    gone = RecordedEvent(site.clock.time_ns(), EventKind.ENDED, "the connection broke")
    site.records.change("a", stream=gone)
    site.records.asked.clear()
    assert (await site.row(3.0))["state"] == "late"
    assert (await site.row())["why"] == "the connection broke"


async def test_an_alarm_is_told_with_its_reason_at_once(site: Site) -> None:
    for number in range(40):
        site.records.send(f"m{number}")
    await site.look()
    site.records.asked.clear()
    sample = site.records.send(
        "m7", prediction=True, reason="alarm: T2 is 30: sensor2 74%, sensor1 12.5%", taken_s=0.2
    )
    row = await site.row(agent="m7")
    assert site.records.asked.count("line m7") == 1
    assert "lines" not in site.records.asked
    assert (row["state"], row["since"]) == ("alarm", sample.sampled_at_ns / 1e6)
    assert row["needs_person"]
    assert row["why"].endswith(": T2 is 30: sensor2 74%, sensor1 12.5%")
    assert row["shares"] == [0.125, 0.74, None, None]
    assert row["alarm"]["id"] == str(sample.sampled_at_ns)
    assert row["alarm"]["acknowledged"] is None
    site.records.send("m7")
    row = await site.row(agent="m7")
    assert (row["state"], row["alarm"], row["shares"]) == ("normal", None, None)


async def test_an_alarm_shorter_than_a_look_is_looked_at_as_well(site: Site) -> None:
    site.records.send("a")
    await site.look()
    site.records.send("a", prediction=True, reason="hot")
    site.records.send("a")
    site.records.send("a")
    site.records.asked.clear()
    assert (await site.row())["state"] == "normal"
    assert "line a" in site.records.asked


async def test_who_learns_says_how_far_and_since_when(site: Site) -> None:
    begun = RecordedEvent(site.clock.time_ns() - S_NS, EventKind.BEGUN, "by 'broker rebase'")
    site.records.connect("a", standing=Standing(Learning(3, 300)), begun=begun)
    site.records.send("a")
    row = await site.row()
    assert (row["state"], row["learning"], row["since"]) == (
        "learning",
        [3, 300],
        begun.at_ns / 1e6,
    )
    site.records.change("a", standing=Standing())
    for _ in range(6):
        site.records.send("a")
        row = await site.row(2.0)
    assert (row["state"], row["learning"]) == ("normal", None)
    assert row["since"] is not None


async def test_what_was_accepted_stays_visible_also_after_an_alarm(site: Site) -> None:
    shift = "8.2 spreads off (sensor2 +7.9)"
    site.records.connect("a", standing=Standing(shift=shift))
    site.records.send("a")
    row = await site.row()
    assert (row["state"], row["shift"], row["why"]) == ("steady", shift, shift)
    assert not row["needs_person"]
    site.records.send("a", prediction=True, reason="hot")
    row = await site.row()
    assert (row["state"], row["shift"]) == ("alarm", shift)
    site.records.send("a")
    fleet = await site.look()
    assert fleet["agents"]["a"]["state"] == "steady"
    assert fleet["counts"]["steady"] == 1
    site.records.change("a", standing=Standing())
    for _ in range(6):
        site.records.send("a")
        row = await site.row(2.0)
    assert (row["state"], row["shift"]) == ("normal", None)


async def test_a_level_is_on_show_before_the_end_of_the_alarm_is_looked_up(site: Site) -> None:
    for agent in "ab":
        site.records.connect(agent, standing=Standing(shift="8.2 spreads off"))
        site.records.send(agent, prediction=True)
    await site.look()
    site.records.line_takes_s = 1.0  # so that one of them must wait
    for agent in "ab":
        site.records.send(agent)
    fleet = await site.look()
    assert {each["state"] for each in fleet["agents"].values()} == {"steady"}


async def test_a_rehearsal_needs_nobody_and_is_gone_when_it_is_silent(site: Site) -> None:
    site.records.connect("rehearsal-a", is_rehearsal=True)
    site.records.send("rehearsal-a", prediction=True)
    ticks = site.present.subscribe(frozenset())
    tick = await next_tick(ticks, site)
    assert tick["agents"]["rehearsal-a"]["state"] == "alarm"
    assert (tick["needs_person"], tick["counts"]["alarm"]) == (0, 1)
    tick = await next_tick(ticks, site, 4.0)
    assert (tick["gone"], tick["counts"]["alarm"]) == (["rehearsal-a"], 0)
    assert (await site.look())["agents"] == {}


async def test_names_and_units_of_sensors_are_told_where_somebody_told_them(site: Site) -> None:
    site.records.connect("a", sensors=(Label("bearing", "g"), None, Label("oil", "°C"), None))
    site.records.connect("b")
    fleet = await site.look()
    assert fleet["agents"]["a"]["sensors"] == [
        *({"name": "bearing", "unit": "g"}, None, {"name": "oil", "unit": "°C"}, None),
    ]
    assert fleet["agents"]["b"]["sensors"] is None


async def test_an_agent_that_was_never_heard_is_offline_since_nobody_knows(site: Site) -> None:
    site.records.connect("a")
    fleet = await site.look()
    assert (fleet["agents"]["a"]["state"], fleet["agents"]["a"]["since"]) == ("offline", None)
    assert fleet["fast"]["a"]["heard"] is None
