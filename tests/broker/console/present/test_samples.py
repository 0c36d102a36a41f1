"""Samples that a page watches."""

from typing import Any

import pytest
from support.present import Site, next_tick
from support.records import S_NS

NAN = float("nan")
INFINITY = float("inf")


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
