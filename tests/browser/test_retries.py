"""What could not be answered is asked for again, and the page says so meanwhile."""

import asyncio
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Route, expect
from support.site import Console, Fleet
from support.window import agent, window

_CHART = {"name": "T2", "t": [1.0, 2.0], "value": [1.0, 2.0], "limit": [22.0, 22.0]}
_NO_NUMBERS: dict[str, Any] = {"charts": [], "remark": ""}
_NO_ALARM = {"alarms": [], "more": False}


async def test_the_numbers_of_the_model_are_asked_for_again(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        await opened.context.clock.install()
        answer: dict[str, Any] = {"status": 503, "json": {"error": "the console is busy"}}
        await opened.context.route("**/numbers?*", lambda route: route.fulfill(**answer))
        page = await opened.open("/agent/press-1?range=1h")
        remark = page.locator("#numbers-remark")
        await expect(remark).to_contain_text("the console is busy")
        answer = {"status": 200, "json": {"charts": [_CHART]}}
        await page.clock.fast_forward("00:06")
        await expect(page.locator("figure.is-number canvas")).to_be_visible()
        await expect(remark).to_be_hidden()
        opened.forgive("503")


async def test_a_console_that_does_not_answer_is_given_up_and_asked_again(
    browser: Browser, console: Console
) -> None:
    async with window(browser, console.url) as opened:
        await opened.context.clock.install()
        held: asyncio.Queue[Route] = asyncio.Queue()
        is_silent = True

        async def answer(route: Route) -> None:
            if is_silent:
                held.put_nowait(route)
            else:
                await route.continue_()

        await opened.context.route("**/history?*", answer)
        # These would be given up, too, and the whole page be asked for again.
        await opened.context.route("**/numbers?*", lambda route: route.fulfill(json=_NO_NUMBERS))
        now_ms = int(time.time() * 1000)
        page = await opened.open(f"/agent/press-1?from={now_ms - 3_600_000}&to={now_ms}")
        await held.get()
        await page.clock.fast_forward("00:31")
        await expect(page.locator("#remarks")).to_contain_text("did not answer within 30 seconds")
        is_silent = False
        await page.clock.fast_forward("00:06")
        await expect(page.locator("#remarks")).to_be_hidden()


async def test_the_list_of_alarms_is_read_until_it_has_what_the_fleet_shows(
    browser: Browser, tmp_path: Path
) -> None:
    """The history is a moment behind the present."""
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            witness = await opened.open()
            page = await opened.open("/alarms")
            await expect(page.locator("#spoken")).to_have_text("No alarm is on record.")
            early = 0

            async def answer(route: Route) -> None:
                nonlocal early
                early += 1
                await (route.fulfill(json=_NO_ALARM) if early <= 4 else route.continue_())

            await page.route("**/api/alarms?most=*", answer)
            await page.route("**/api/alarms?state=open*", answer)
            fleet.tell("fault press-2")
            await expect(agent(witness, "press-2").locator(".state")).to_have_text("alarm")
            await expect(page.locator("#rows tr")).to_have_count(1)
            assert early > 4
