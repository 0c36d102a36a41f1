"""What takes long in a real browser; `make test-browser` alone runs it."""

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
