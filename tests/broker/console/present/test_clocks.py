"""Clocks that are set or wrong, and what pages are told then."""

from dataclasses import replace

import pytest
from support.present import Site, next_tick

NAN = float("nan")


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
        # As read from a store again: a NaN is not equal to another.
        again = replace(sample, values=(float("nan"),) * 4)
        site.records.change("a", latest=again)
        await site.look(4.0)
    assert (await site.row())["state"] == "offline"
