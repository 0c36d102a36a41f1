"""Several tabs of one browser share one stream; what one of them does disturbs no other."""

import re
import subprocess
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, expect
from support.site import Console, Fleet
from support.window import agent, window

PASSWORD = "correct horse 7"  # noqa: S105 - of this test


async def test_what_another_tab_watches_makes_no_page_ask_for_its_history_again(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "3", "--rate", "10"), Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open("/agent/press-1?range=1h")
            await _has_new_values(page)
            await expect(page.locator("#plots:not(.is-busy)")).to_be_visible()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            other = await opened.open("/agent/press-2")
            await _has_new_values(other)
            await _has_new_values(page)
            assert [url for url in asked if "/history" in url] == []


async def _has_new_values(page: Page) -> None:
    """Return when values came that were not there: after the history, as they are measured."""
    chart = page.locator("figure").first
    await expect(chart).to_have_text(re.compile(r"\d g"))
    for _ in range(3):
        await expect(chart).not_to_have_text(await chart.inner_text(), use_inner_text=True)


async def test_who_is_signed_out_elsewhere_signs_in_once_for_all_tabs(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    config = tmp_path / "console.toml"
    config.write_text('[console]\nhosts = ["console.plant.lan"]\n')
    with Fleet(store, "--agents", "2") as fleet:
        _user("add", "shift-a", "--role", "operator", "--password-stdin", store=store)
        with Console(store, "--config", str(config)) as console:
            async with window(browser, console.url) as opened:
                first = await opened.open("/signin")
                await _sign_in(first)
                second = await opened.open("/agent/press-2")
                await expect(second.locator("#state")).to_have_text("normal")
                await expect(agent(first, "press-2").locator(".state")).to_have_text("normal")
                _user("revoke", "shift-a", store=store)
                for page in first, second:
                    await expect(page.get_by_label("Password")).to_be_visible()
                await _sign_in(first)
                await second.evaluate("dispatchEvent(new Event('focus'))")
                fleet.tell("fault press-2")
                await expect(agent(first, "press-2").locator(".state")).to_have_text("alarm")
                await expect(second.locator("#state")).to_have_text("alarm")
                opened.forgive("401")


async def _sign_in(page: Page) -> None:
    await page.get_by_label("Name").fill("shift-a")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#fleet")).to_be_visible()


def _user(*arguments: str, store: Path) -> None:
    command = [sys.executable, "-m", "broker", "console", "user", *arguments, "--store", str(store)]
    subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True)


async def test_a_console_that_is_full_is_told_with_its_words_and_asked_again(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2"), Console(store) as console:
        async with window(browser, console.url) as opened:
            # What a worker asks for cannot be answered here in place of the console.
            await opened.context.add_init_script("delete window.SharedWorker")
            full = {"error": "64 pages are open: close one"}
            await opened.context.route(
                "**/api/live*", lambda route: route.fulfill(status=503, json=full)
            )
            page = await opened.open()
            lost = page.get_by_text("It said: 64 pages are open: close one")
            await expect(lost).to_be_visible()
            await opened.context.unroute("**/api/live*")
            await expect(agent(page, "press-2").locator(".state")).to_have_text("normal")
            await expect(lost).to_be_hidden()
            opened.forgive("503")
