"""What takes long in a real browser; `make test-browser` alone runs it."""

import re
from pathlib import Path

from playwright.async_api import Browser, expect
from support.site import Console, Fleet
from support.window import agent, is_first, window


async def test_a_machine_that_freezes_is_late_and_then_offline(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "3", "--rate", "10") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            state = agent(page, "press-3").locator(".state")
            await expect(state).to_have_text("normal")
            fleet.tell("freeze press-3")
            await expect(state).to_have_text("late")
            await is_first(page, "press-3")
            await expect(state).to_have_text("offline")
            fleet.tell("thaw press-3")
            await expect(state).to_have_text("normal")


async def test_a_hidden_tab_asks_for_nothing_until_it_is_looked_at(
    browser: Browser, tmp_path: Path
) -> None:
    """Of two tabs alike, the one that is shown tells when the other would have asked."""
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            hidden, shown = [await opened.open("/agent/press-2") for _ in range(2)]
            await expect(hidden.locator("#state")).to_have_text("normal")
            await hidden.evaluate(_SHOW, "hidden")
            fleet.tell("fault press-2")
            await expect(hidden).to_have_title(re.compile(r"^\(1\)"))
            asked: list[str] = []
            hidden.on("request", lambda request: asked.append(request.url))
            for _ in range(2):
                await shown.wait_for_event("request", lambda request: "/history" in request.url)
                await shown.wait_for_event("request", lambda request: request.url.endswith("-2"))
            assert asked == []
            await hidden.evaluate(_SHOW, "visible")
            await expect(hidden.locator("#state")).to_have_text("alarm")
            assert [url for url in asked if "/history" in url]


_SHOW = """state => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_of_a_thousand_agents_the_one_in_trouble_is_first_and_any_is_found(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "1000") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            await expect(page.locator("tr[data-name]")).to_have_count(1000)
            fleet.tell("fault press-777")
            await expect(agent(page, "press-777").locator(".state")).to_have_text("alarm")
            await is_first(page, "press-777")
            await page.get_by_role("searchbox").fill("press-99")
            shown = page.locator("tr[data-name]:visible")
            await expect(shown).to_have_count(11)
            await expect(page.locator("canvas")).not_to_have_count(0)
            assert await page.locator("canvas").count() <= 30
