"""Each page as it is looked at: large, on a phone, in the dark, by keyboard, by a screen reader."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from support.site import Console
from support.window import agent, everybody_can_read, window

PAGES = {
    "/": 'tr[data-name="press-1"]',
    "/agent/press-1": "canvas",
    "/compare?agents=press-1,press-2&channel=2": "canvas",
    "/alarms": "main",
    "/activity": "main",
}
LOOKS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "phone in the dark": {
        "viewport": {"width": 375, "height": 667},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_fits_and_can_be_read_by_everybody(
    browser: Browser, console: Console, path: str, look: str
) -> None:
    async with window(browser, console.url, **LOOKS[look]) as opened:
        page = await opened.open(path)
        await expect(page.locator(PAGES[path]).first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await _is_dark(page) is ("dark" in look)
        await everybody_can_read(page)


# Returns when a line of the last minute has been drawn a few times again.
_DRAWN_AGAIN = """async (canvas) => {
    const seen = new Set();
    while (seen.size < 4) {
        seen.add(canvas.toDataURL());
        await new Promise(requestAnimationFrame);
    }
}"""


async def test_a_fleet_has_room_for_its_names_and_lines_in_every_window(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        page = await opened.open("/")
        canvas = agent(page, "press-1").locator("canvas")
        await expect(canvas).to_be_visible()
        for width in (320, 800, 1000, 1200, 1920):
            await page.set_viewport_size({"width": width, "height": 800})
            await canvas.evaluate(_DRAWN_AGAIN)
            await expect(agent(page, "press-1").get_by_role("link")).to_be_visible()
            box = await canvas.bounding_box()
            assert box
            assert 200 < box["x"] + box["width"] <= width


async def _is_dark(page: Page) -> bool:
    """Whether text is light, as on a dark ground."""
    colour: str = await page.evaluate("getComputedStyle(document.body).color")
    return sum(map(int, colour.strip("rgb()").split(","))) > 3 * 128


async def test_nothing_moves_for_who_wants_less_motion(browser: Browser, console: Console) -> None:
    async with window(browser, console.url, reduced_motion="reduce") as opened:
        page = await opened.open("/agent/press-1")
        await expect(page.locator("canvas").first).to_be_visible()
        await page.evaluate("document.querySelector('#plots').classList.add('is-busy')")
        assert await page.evaluate("document.getAnimations().length") == 0


async def test_an_operator_needs_no_mouse(browser: Browser, console: Console) -> None:
    async with window(browser, console.url) as opened:
        page = await opened.open("/")
        await expect(agent(page, "press-7")).to_be_visible()
        press = page.keyboard.press
        await press("/")
        await page.keyboard.type("press-7")
        await expect(agent(page, "press-7")).to_be_visible()
        await expect(agent(page, "press-8")).to_be_hidden()
        await press("Enter")  # to the row
        await press("Enter")
        await expect(page).to_have_url(f"{console.url}agent/press-7")
        await expect(page.get_by_role("heading", level=1)).to_have_text("press-7")
        charts = page.locator("figure canvas")
        await expect(charts.first).to_have_attribute("aria-label", re.compile("maximum"))
        await press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert await _reads_a_value(page)
        await press("2")
        await expect(page).to_have_url(re.compile("range=1h"))


async def _reads_a_value(page: Page) -> bool:
    """Whether the cursor comes to a sample, from now backwards."""
    for _ in range(10):
        await page.keyboard.press("Shift+ArrowLeft")
        if "drive end 0." in await page.locator(".spoken").inner_text():
            return True
    return False


async def test_eight_tabs_are_all_alive_and_the_next_click_is_answered(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        pages = [await opened.open("/") for _ in range(8)]
        await asyncio.gather(*(expect(agent(page, "press-1")).to_be_visible() for page in pages))
        await agent(pages[-1], "press-1").get_by_role("link").click()
        await expect(pages[-1].locator("canvas").first).to_be_visible()
        assert len({page.url for page in pages}) == 2


async def test_a_browser_whose_clock_is_a_day_ahead_shows_no_machine_as_silent(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        page = await opened.context.new_page()
        await page.clock.install()
        await page.clock.fast_forward("24:00:00")
        await page.goto(console.url)
        await expect(agent(page, "press-1").locator(".seen")).to_have_text("now")


async def test_an_agent_that_nobody_knows_is_told_as_such(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        page = await opened.open("/agent/press-77")
        await expect(page.get_by_text("press-77").first).to_be_visible()
        await expect(page.locator("#reason")).not_to_be_empty()
        opened.forgive("404")


async def test_an_address_that_is_none_leads_on(browser: Browser, console: Console) -> None:
    async with window(browser, console.url) as opened:
        page = await opened.open("/machines")
        await everybody_can_read(page)
        await page.get_by_role("link", name="Alarms").click()
        await expect(page).to_have_url(f"{console.url}alarms")
        opened.forgive("404")
