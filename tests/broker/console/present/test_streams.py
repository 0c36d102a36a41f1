"""What a stream is told at first and with each tick."""

import asyncio
from typing import Any

import pytest
from support.patience import PATIENCE_S
from support.present import Site, next_tick


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
