"""What pages are told where a store or a broker cannot be asked, or has much to tell."""

import logging

import pytest
from support.present import Site, next_tick
from support.records import S_NS

from broker.recorder.reader import RecordedEvent
from broker.records import EventKind


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
