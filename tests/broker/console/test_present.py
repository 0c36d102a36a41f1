"""What each page is told of the fleet now, over records and a clock that a test moves."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.records import S_NS, Book, Noted, Records, Said

from broker.console.present import Present
from broker.model import Alarm, Learning, Standing
from broker.recorder.reader import RecordedEvent
from broker.records import EventKind
from wire.sensors import Label

NAN = float("nan")
INFINITY = float("inf")


class Site:
    """A fleet, and the console that looks at it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.book = Book()
        self.present = Present(self.records, self.book, self.clock)  # type: ignore[arg-type]

    async def look(self, seconds: float = 0.5) -> dict[str, Any]:
        """The fleet after so long."""
        self.clock.advance(seconds)
        await self.present.look()
        return self.present.fleet()

    async def row(self, seconds: float = 0.5, agent: str = "a") -> dict[str, Any]:
        row: dict[str, Any] = (await self.look(seconds))["agents"][agent]
        return row

    def now_ms(self) -> float:
        return self.clock.time_ns() / 1e6


@pytest.fixture
def site() -> Site:
    return Site()


async def next_tick(ticks: Any, site: Site, seconds: float = 0.5) -> dict[str, Any]:
    """What a stream is told after the next look; {}: nothing."""
    reading = asyncio.create_task(anext(ticks))
    await asyncio.sleep(0)
    site.clock.advance(seconds)
    await site.present.look()
    for _ in range(3):
        await asyncio.sleep(0)
    if not reading.done():
        reading.cancel()
        return {}
    return reading.result()  # type: ignore[no-any-return]


# States


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


# Acknowledged


async def alarmed(site: Site) -> int:
    """An alarm of agent a that has just begun; when."""
    site.records.send("a")
    await site.look()
    begun_ns = site.records.send("a", prediction=True, reason="hot").sampled_at_ns
    await site.look()
    return begun_ns


async def test_an_alarm_that_was_acknowledged_needs_nobody_more(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", "oil"))
    site.records.send("a", prediction=True)
    fleet = await site.look()
    row = fleet["agents"]["a"]
    assert (row["state"], row["needs_person"], row["since"]) == (
        *("acknowledged", False, begun_ns / 1e6),
    )
    said = row["alarm"]["acknowledged"]
    assert (said["by"], said["note"]) == ("shift-a", "oil")
    assert (fleet["counts"]["acknowledged"], fleet["counts"]["alarm"]) == (1, 0)
    site.clock.advance(60.0)  # a machine that froze meanwhile does need somebody
    row = await site.row()
    assert (row["state"], row["needs_person"]) == ("offline", True)


async def test_a_run_that_follows_soon_is_the_same_alarm(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    site.records.send("a")
    await site.look(5.0)
    site.records.send("a", prediction=True)
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(begun_ns))


async def test_a_book_that_lags_acknowledges_no_later_alarm(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.read_at_s = site.clock.monotonic()
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    site.records.send("a")
    await site.look()
    site.clock.advance(20.0)
    later_ns = site.records.send("a", prediction=True).sampled_at_ns
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("alarm", str(later_ns))
    site.book.read_at_s = site.clock.monotonic()
    site.book.alarms["a"] = Noted(later_ns)
    site.records.send("a", prediction=True)
    assert (await site.row())["state"] == "alarm"
    site.book.alarms["a"] = Noted(later_ns, Said(site.clock.time_ns(), "shift-a", ""))
    assert (await site.row())["state"] == "acknowledged"


async def test_an_alarm_that_was_acknowledged_stays_so_while_the_book_is_built_again(
    site: Site,
) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    await site.look()
    site.book.read_at_s = float("-inf")
    for number in range(30):
        site.book.alarms = {"a": Noted(begun_ns - 86_400 * S_NS)} if number % 2 else {}
        site.records.send("a", prediction=True)
        row = await site.row(1.0)
        assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(begun_ns))


async def test_an_alarm_is_found_again_by_a_console_that_starts_within_it(site: Site) -> None:
    now_ns = site.clock.time_ns()
    site.records.send("a", prediction=True)
    site.records.change("a", standing=Standing(alarm=Alarm(now_ns, "hot")))
    earlier_ns = now_ns - 30 * S_NS  # the book knows of runs before
    site.book.alarms["a"] = Noted(earlier_ns, Said(now_ns, "shift-a", ""))
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(earlier_ns))


async def test_a_book_that_cannot_be_read_leaves_the_fleet_as_it_is(site: Site) -> None:
    site.records.send("a")
    site.book.trouble = "console.db: disk full"
    fleet = await site.look()
    assert fleet["store"]["history"] == "console.db: disk full"
    assert (fleet["store"]["stale"], fleet["agents"]["a"]["state"]) == ("", "normal")


# The store


async def test_no_broker_is_said_and_why_each_agent_is_silent(site: Site) -> None:
    site.records.send("a")
    assert (await site.look())["store"]["stale"] == ""
    site.records.served_since_ns = None
    fleet = await site.look(4.0)
    assert fleet["store"]["stale"].startswith("no broker runs: start it")
    assert (fleet["store"]["running"], fleet["store"]["since"]) == (False, None)
    assert fleet["agents"]["a"]["why"] == "the broker stopped"


async def test_a_broker_that_records_nothing_of_agents_that_are_connected_is_said(
    site: Site,
) -> None:
    for agent in "ab":
        site.records.send(agent)
    await site.look()
    for _ in range(30):
        site.records.send("a")
        fleet = await site.look()
    assert fleet["store"]["stale"] == ""  # one is heard
    fleet = await site.look(11.0)
    assert fleet["store"]["stale"] == (
        "no sample was recorded for 11 s, although 2 agents are connected: look at the log of"
        " the broker"
    )
    for agent in "ab":
        gone = RecordedEvent(site.clock.time_ns(), EventKind.ENDED, "gone")
        site.records.change(agent, stream=gone)
    assert (await site.look(10.0))["store"]["stale"] == ""


async def test_a_slow_agent_that_is_not_late_shows_that_records_are_made(site: Site) -> None:
    site.records.connect("slow", period_ns=60 * S_NS)
    site.records.send("slow")
    site.records.send("a")
    await site.look()
    assert (await site.look(40.0))["store"]["stale"] == ""


async def test_a_store_that_cannot_be_read_leaves_all_as_it_was_until_it_can(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.records.send("a")
    await site.look()
    site.records.trouble = "broker.db: there is no such file"
    fleet = await site.look(60.0)
    assert fleet["store"]["stale"] == "broker.db: there is no such file"
    assert fleet["agents"]["a"]["state"] == "normal"
    await site.look(60.0)
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    site.records.trouble = ""
    site.records.send("b")
    fleet = await site.look()
    assert (fleet["store"]["stale"], fleet["agents"]["a"]["state"]) == ("", "offline")
    assert "can be read again" in caplog.text


async def test_a_store_that_cannot_be_read_at_first_is_looked_at_until_it_can(site: Site) -> None:
    site.records.send("a")
    site.records.trouble = "broker.db: there is no such file"
    ticks = site.present.subscribe(frozenset())
    tick = await next_tick(ticks, site)
    assert (tick["agents"], tick["store"]["stale"]) == ({}, "broker.db: there is no such file")
    site.records.trouble = ""
    tick = await next_tick(ticks, site)
    assert tick["agents"]["a"]["state"] == "normal"


async def test_a_store_that_was_replaced_is_followed_from_its_end(site: Site) -> None:
    for _ in range(50):
        site.records.send("a")
    await site.look()
    site.records.samples.clear()
    site.records.states.clear()
    site.records.send("b")
    ticks = site.present.subscribe(frozenset())
    await next_tick(ticks, site)
    site.records.send("b", prediction=True)
    fleet = await site.look()
    assert list(fleet["agents"]) == ["b"]
    assert fleet["agents"]["b"]["state"] == "alarm"


async def test_a_backlog_is_passed_over_to_its_end(site: Site) -> None:
    site.records.send("a")
    await site.look()
    for _ in range(25_000):
        site.records.send("a", taken_s=4000.0)
    site.records.send("a", prediction=True, taken_s=1.0)
    assert (await site.row())["state"] == "alarm"
    site.records.asked.clear()
    await site.look()
    assert site.records.asked.count("news") <= 2


async def test_lines_are_looked_at_a_tenth_of_the_time_and_single_ones_in_between(
    site: Site,
) -> None:
    for number in range(100):
        site.records.send(f"m{number}")
    site.records.lines_take_s, site.records.line_takes_s = 1.0, 0.01
    began_s = site.clock.now_s
    worst, full = 0, 0
    while site.clock.now_s < began_s + 100.0:
        site.records.asked.clear()
        for number in range(100):
            site.records.send(f"m{number}", prediction=len(site.records.samples) % 200 < 100)
        await site.look()
        worst = max(worst, sum(each.startswith("line ") for each in site.records.asked))
        full += "lines" in site.records.asked
    assert 5 <= full <= 10
    assert worst <= 6  # 50 ms of a look


async def test_all_that_turn_at_once_are_looked_at_in_turn_and_alarms_first(site: Site) -> None:
    for number in range(20):
        site.records.send(f"m{number}", prediction=number >= 10, reason="earlier")
    await site.look()
    site.records.line_takes_s = 0.02
    for number in range(20):
        site.records.send(f"m{number}", prediction=number < 10, reason="hot")
    site.records.asked.clear()
    fleet = await site.look()
    assert fleet["counts"]["alarm"] == 10
    assert "hot" in fleet["agents"]["m0"]["why"]
    assert "earlier" not in fleet["agents"]["m9"]["why"]
    assert [each for each in site.records.asked if each.startswith("line ")] == [
        *("line m0", "line m1", "line m2"),
    ]
    while "line m19" not in site.records.asked:
        await site.look(0.1)
    lines = [each for each in site.records.asked if each.startswith("line ")]
    assert lines == [f"line m{number}" for number in range(20)]


# Clocks


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_clock_that_is_set_by_an_hour_makes_nobody_late_and_hides_nobody(
    site: Site, hours: float
) -> None:
    site.records.send("a")
    site.records.send("b")
    await site.look()
    for _ in range(2):
        site.records.send("a")
        site.records.send("b")
        await site.look()
    site.clock.ahead_s += 3600.0 * hours
    fleet = await site.look()
    assert {each["state"] for each in fleet["agents"].values()} == {"normal"}
    site.clock.advance(31.0)
    site.records.send("b")
    fleet = await site.look()
    assert fleet["agents"]["a"]["state"] == "offline"
    assert fleet["agents"]["b"]["state"] == "normal"


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_an_agent_whose_clock_is_an_hour_wrong_is_heard_and_drawn(
    site: Site, hours: float
) -> None:
    site.records.send("a", taken_s=3600.0 * hours)
    ticks = site.present.subscribe(frozenset("a"))
    tick = await next_tick(ticks, site)
    assert tick["agents"]["a"]["state"] == "normal"
    assert tick["fast"]["a"]["delay_s"] == 3600.0 * hours
    assert len(tick["samples"]["a"]["t"]) == 1


async def test_a_sample_from_the_future_is_not_late_until_time_has_passed(site: Site) -> None:
    site.clock.ahead_s += 3600.0
    site.records.send("a")
    site.clock.ahead_s -= 3600.0
    assert (await site.row())["state"] == "normal"
    assert (await site.row(3.1))["state"] == "late"
    assert (await site.row(31.0))["state"] == "offline"


async def test_an_agent_that_measures_nothing_becomes_late_all_the_same(site: Site) -> None:
    sample = site.records.send("a", (NAN,) * 4)
    for _ in range(10):
        # As read anew from a store: a NaN is not equal to another.
        again = replace(sample, values=(float("nan"),) * 4)
        site.records.change("a", latest=again)
        await site.look(4.0)
    assert (await site.row())["state"] == "offline"


# Streams


async def test_a_first_tick_is_all_and_later_ones_are_what_has_changed(site: Site) -> None:
    for agent in "abc":
        site.records.send(agent)
    ticks = site.present.subscribe(frozenset("a"))
    first = await next_tick(ticks, site)
    fleet = site.present.fleet()
    assert first == {**fleet, "samples": first["samples"]}
    assert first["full"] is True
    assert set(first["agents"]) == set(first["fast"]) == {"a", "b", "c"}
    for agent in "abc":
        site.records.send(agent)
    tick = await next_tick(ticks, site)
    assert set(tick) == {"at", "fast", "samples"}
    assert set(tick["fast"]) == {"a"}
    site.records.send("b", prediction=True, reason="hot")
    tick = await next_tick(ticks, site)
    assert set(tick["agents"]) == {"b"}
    assert set(tick["agents"]["b"]) == {"state", "since", "needs_person", "why", "alarm"}
    assert tick["counts"]["alarm"] == 1
    assert "full" not in tick


async def test_all_that_a_stream_is_told_adds_up_to_the_present(site: Site) -> None:
    ticks = site.present.subscribe(frozenset("a"))
    seen: dict[str, Any] = await next_tick(ticks, site)
    rows = {agent: dict(row) for agent, row in seen["agents"].items()}
    for number in range(60):
        agent = "abcd"[number % 4]
        if number % 7:
            site.records.send(agent, prediction=number % 5 == 0, reason="hot")
        elif number % 3 == 0:
            site.records.states.pop(agent, None)
        tick = await next_tick(ticks, site, 0.5 + number % 3)
        for name in ("store", "counts", "needs_person", "plain"):
            seen[name] = tick.get(name, seen[name])
        for name in tick.get("gone", []):
            del rows[name]
        for name, changed in tick.get("agents", {}).items():
            rows[name] = {**rows.get(name, {}), **changed}
        fleet = site.present.fleet()
        assert rows == fleet["agents"]
        assert all(fleet[name] == seen[name] for name in ("store", "counts", "needs_person"))


async def test_nothing_is_told_where_nothing_has_changed(site: Site) -> None:
    site.records.send("a")
    ticks = site.present.subscribe(frozenset("b"))
    await next_tick(ticks, site)
    assert await next_tick(ticks, site) == {}
    site.records.send("a", prediction=True)
    assert (await next_tick(ticks, site))["agents"]["a"]["state"] == "alarm"


async def test_who_reads_nothing_is_told_of_the_present_when_he_reads_again(site: Site) -> None:
    site.records.send("a")
    ticks = site.present.subscribe(frozenset("a"))
    await next_tick(ticks, site)
    for number in range(2000):
        site.records.send("a", (float(number), 0.0, 0.0, 0.0), prediction=number % 2 == 0)
        await site.look(0.1)
    tick = await anext(ticks)
    assert tick["fast"]["a"]["heard"] == site.records.samples[-1].arrived_at_ns / 1e6
    drawn = tick["samples"]["a"]
    assert 100 <= len(drawn["t"]) <= 240
    assert drawn["v"][0][-1] == 1999.0
    assert min(drawn["t"]) >= site.now_ms() - 60_000
    assert await next_tick(ticks, site) == {}


async def test_a_stream_that_is_closed_ends(site: Site) -> None:
    ticks = site.present.subscribe(frozenset("a"))
    reading = asyncio.create_task(anext(ticks))
    await asyncio.sleep(0)
    await ticks.aclose()
    await site.look()
    with pytest.raises(StopAsyncIteration):
        await reading


# Samples


async def test_the_last_minute_is_told_first_and_then_each_new_sample_once(site: Site) -> None:
    for number in range(900):
        site.records.send("a", (float(number), 0.5, NAN, INFINITY))
        site.clock.advance(0.1)
    ticks = site.present.subscribe(frozenset("a"))
    site.records.send("a", (900.0, 0.5, NAN, INFINITY))
    drawn = (await next_tick(ticks, site, 0.0))["samples"]["a"]
    assert len(drawn["t"]) <= 240
    assert drawn["v"][0][-1] == 900.0
    assert drawn["v"][2][-1] is None
    assert drawn["v"][3][-1] == INFINITY
    assert min(drawn["t"]) >= site.now_ms() - 60_000
    for number in range(901, 906):
        site.records.send("a", (float(number), 0.5, 0.0, 0.0))
    drawn = (await next_tick(ticks, site))["samples"]["a"]
    assert drawn["v"][0] == [901.0, 902.0, 903.0, 904.0, 905.0]


async def test_a_sample_that_comes_while_a_watch_begins_is_told_once(site: Site) -> None:
    site.records.send("a")
    recent = site.records.recent

    async def meanwhile(agent_id: str, since_ns: int, most: int) -> Any:
        site.records.send("a", (7.0, 0.0, 0.0, 0.0))
        return await recent(agent_id, since_ns, most)

    site.records.recent = meanwhile  # type: ignore[method-assign]
    ticks = site.present.subscribe(frozenset("a"))
    drawn = (await next_tick(ticks, site))["samples"]["a"]
    assert drawn["v"][0] == [1.0, 7.0]
    site.records.send("a", (8.0, 0.0, 0.0, 0.0))
    drawn = (await next_tick(ticks, site))["samples"]["a"]
    assert drawn["v"][0] == [8.0]


async def test_what_is_left_out_is_never_a_peak_or_an_alarm(site: Site) -> None:
    site.records.send("a")
    ticks = site.present.subscribe(frozenset("a"))
    await next_tick(ticks, site)
    for number in range(100):
        peaks = tuple(99.0 if number == 10 + channel else 1.0 for channel in range(4))
        dips = tuple(-9.0 if number == 50 + c else peaks[c] for c in range(4))
        site.records.send("a", dips, prediction=number == 70)  # type: ignore[arg-type]
    drawn = (await next_tick(ticks, site))["samples"]["a"]
    assert len(drawn["t"]) <= 10
    for channel in drawn["v"]:
        assert (min(channel), max(channel)) == (-9.0, 99.0)
    assert 1 in drawn["p"]


async def test_nobody_is_asked_for_samples_that_nobody_watches(site: Site) -> None:
    for agent in "abc":
        site.records.send(agent)
    ticks = site.present.subscribe(frozenset({"b", "unknown"}))
    await next_tick(ticks, site)
    await site.look()
    assert [each for each in site.records.asked if "recent" in each] == ["recent b"]
    await ticks.aclose()
    await site.look(11.0)
    again = site.present.subscribe(frozenset("b"))
    await next_tick(again, site, 11.0)
    assert site.records.asked.count("recent b") == 2


async def test_numbers_have_five_digits(site: Site) -> None:
    site.records.send("a", (1.23456789, 123456.0, -0.000123456, 0.0), taken_s=0.0123456)
    ticks = site.present.subscribe(frozenset("a"))
    tick = await next_tick(ticks, site)
    assert [each[0] for each in tick["samples"]["a"]["v"]] == [1.2346, 123460.0, -0.00012346, 0.0]
    assert tick["fast"]["a"]["delay_s"] == 0.012346


@pytest.mark.parametrize(("every_s", "rate_hz"), [(0.1, 10.0), (1.0, 1.0), (5.0, 0.2)])
async def test_a_rate_is_that_of_late(site: Site, every_s: float, rate_hz: float) -> None:
    site.records.connect("a", period_ns=round(every_s * S_NS))
    next_s = site.clock.now_s
    for _ in range(200):
        while next_s <= site.clock.now_s:
            site.records.send("a")
            next_s += every_s
        fleet = await site.look(0.1)
    assert fleet["fast"]["a"]["rate_hz"] == pytest.approx(rate_hz, rel=0.15)
    fleet = await site.look(600.0)
    assert fleet["fast"]["a"]["rate_hz"] < rate_hz / 5


# The loop


async def test_who_comes_is_told_at_once_and_a_look_that_fails_ends_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.records.send("a")
    lines = site.records.lines

    async def failing() -> Any:
        site.records.lines = lines  # type: ignore[method-assign]
        raise RuntimeError("of a kind that nobody foresaw")

    site.records.lines = failing  # type: ignore[method-assign]
    running = asyncio.create_task(site.present.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            ticks = site.present.subscribe(frozenset("a"))
            assert (await anext(ticks))["agents"]["a"]["state"] == "normal"
            site.records.send("a", prediction=True, reason="hot")
            tick: dict[str, Any] = {}
            while "agents" not in tick:
                tick = await anext(ticks)
            assert tick["agents"]["a"]["state"] == "alarm"
    finally:
        running.cancel()
    assert "internal error: please report it" in caplog.text
