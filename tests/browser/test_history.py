"""From months to single samples and back, and nothing that happened is lost on the way."""

import re
import statistics
import time
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect
from support.site import Console
from support.window import window

from bench.history import PEAK, Plan, feed

PLAN = Plan(days=1.0, rate_hz=1.0, others=1)
NARROW_MS = 60_000
_PEAK = re.compile(rf"maximum {PEAK:g}[;,]")

# How much is drawn in the upper third of a chart, near a time.
_INK = """async (canvas, [from, to, at]) => {
    const { LEFT, RIGHT } = await import("/static/axis.js");
    const ratio = canvas.width / canvas.clientWidth;
    const x = LEFT + ((at - from) / (to - from)) * (canvas.clientWidth - LEFT - RIGHT);
    const left = Math.round((x - 3) * ratio), high = Math.floor(canvas.height / 3);
    const { data } = canvas.getContext("2d").getImageData(left, 0, Math.ceil(6 * ratio), high);
    return data.filter((value, i) => i % 4 === 3).reduce((sum, alpha) => sum + alpha, 0);
}"""
_PLACE = """async (canvas, [from, to, at]) => {
    const { LEFT, RIGHT } = await import("/static/axis.js");
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [left + LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT), top + height / 2];
}"""
_RANGE = """() => {
    const asked = new URLSearchParams(location.search);
    return [Number(asked.get("from")), Number(asked.get("to"))];
}"""


async def test_a_single_high_sample_is_seen_in_a_day_in_its_second_and_in_the_day_again(
    browser: Browser, tmp_path: Path
) -> None:
    end_ns = time.time_ns()
    await feed(tmp_path / "broker.db", PLAN, end_ns)
    peak_ms = PLAN.peak_at_ns(end_ns) / 1e6
    day = [int(end_ns / 1e6 - 86_400_000), int(end_ns / 1e6)]
    with Console(tmp_path / "broker.db") as console:
        async with window(browser, console.url) as opened:
            page = await opened.open(f"/agent/press-1?from={day[0]}&to={day[1]}")
            chart = page.locator("figure", has_text="gear in").locator("canvas")
            level = page.locator(".level")
            await expect(chart).to_have_attribute("aria-label", _PEAK)
            await expect(level).to_contain_text("minimum to maximum")
            await _peak_is_drawn(chart, day, peak_ms)
            shown = day
            while shown[1] - shown[0] > NARROW_MS:
                x, y = await chart.evaluate(_PLACE, [*shown, peak_ms])
                await page.mouse.move(x, y)
                await page.mouse.wheel(0, -400)
                shown = await _changed(page, shown)
            await expect(level).to_have_text("each sample")
            await expect(chart).to_have_attribute("aria-label", _PEAK)
            await _peak_is_drawn(chart, shown, peak_ms)
            await page.goto(f"{console.url}agent/press-1?from={day[0]}&to={day[1]}")
            await expect(chart).to_have_attribute("aria-label", _PEAK)
            opened.forgive("Multiple readback operations")  # this test's


async def _changed(page: Page, former: list[int]) -> list[int]:
    await page.wait_for_function(f"former => String(({_RANGE})()) !== String(former)", arg=former)
    shown: list[int] = await page.evaluate(_RANGE)
    return shown


async def _peak_is_drawn(chart: Locator, shown: list[int], peak_ms: float) -> None:
    there = await chart.evaluate(_INK, [*shown, peak_ms])
    # Some may lie upon a line of the grid.
    beside_ms = [peak_ms + (shown[1] - shown[0]) / each for each in (-23, -17, 13, 19, 29)]
    beside = [await chart.evaluate(_INK, [*shown, at]) for at in beside_ms]
    assert there > statistics.median(beside)
