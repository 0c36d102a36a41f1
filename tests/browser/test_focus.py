"""The focus stays with the person, whatever becomes of the row that has it."""

from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect
from support.site import Console, Fleet
from support.window import agent, is_first, window


def _link(page: Page, name: str) -> Locator:
    return agent(page, name).get_by_role("link")


async def test_a_row_that_is_filtered_out_gives_its_focus_to_the_next(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "4") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open("/?state=normal")
            await _link(page, "press-2").focus()
            fleet.tell("fault press-2")
            await expect(agent(page, "press-2")).to_be_hidden()
            await expect(_link(page, "press-3")).to_be_focused()
            fleet.tell("fault press-1 press-3 press-4")
            await expect(agent(page, "press-3")).to_be_hidden()
            await expect(page.get_by_role("searchbox")).to_be_focused()


async def test_a_row_that_moves_keeps_its_focus_and_its_place_on_the_screen(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "40") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            await page.clock.install()
            link = _link(page, "press-35")
            await expect(link).to_be_attached()
            await link.focus()
            fleet.tell("fault press-20 press-35 press-36")
            await expect(page).to_have_title("(3) Quartet")
            await page.clock.fast_forward("00:06")
            await is_first(page, "press-20")
            await expect(link).to_be_focused()
            await expect(link).to_be_in_viewport()
