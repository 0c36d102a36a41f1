"""Names and words that others wrote, and who may see the pages at all."""

import subprocess
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, expect
from support.processes import Agent, Broker
from support.site import Console, Fleet, own
from support.window import Window, agent, everybody_can_read, window

MARKUP = "<img src=x onerror=alert(1)>"
RTL = "מיסב <b>קדמי</b>"
LONG = "x" * 64
PASSWORD = "correct horse 7"  # noqa: S105 - of this test

# Alarms at once, with as many words as are kept.
PREDICTOR = f"""
class Talkative:
    def predict(self, sample):
        return True

    def explain(self):
        return {MARKUP!r} + "</script><script>alert(2)</script> " + "w" * 600
"""


async def test_what_others_wrote_is_text_and_never_markup(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    recording = tmp_path / "rows.csv"
    recording.write_text(f'"{MARKUP}",{RTL},{LONG},\u202ed\n' + "1,2,nan,inf\n1,2,3,4\n" * 500)
    (tmp_path / "talkative.py").write_text(PREDICTOR)
    predictor = ("--predictor", "talkative:Talkative")
    name = "n" * 64
    with (
        own(Broker("--store", str(store), *predictor, env={"PYTHONPATH": str(tmp_path)})) as broker,
        Agent(
            *("--simulate", str(recording), "--loop", "--agent-id", name),
            *("--broker", broker.address),
        ),
        Console(store) as console,
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open()
            await expect(agent(page, name).locator(".why")).to_contain_text("<img src=x")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await agent(page, name).get_by_role("link").click()
            for text in (MARKUP, RTL, LONG):
                await expect(page.locator("figcaption", has_text=text)).to_be_visible()
            await expect(page.locator("#why")).to_contain_text("<img src=x")
            assert await page.locator("img, main script, main b:has-text('קדמי')").count() == 0
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_names_of_dots_have_their_pages(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--names", ".", ".."), Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            for name in ".", "..":
                await agent(page, name).get_by_role("link").click()
                await expect(page.get_by_role("heading", level=1)).to_have_text(name)
                await expect(page.locator("#state")).to_have_text("normal")
                await expect(page.locator("#ledger")).to_contain_text("in balance")
                await page.goto(console.url)


async def test_beyond_this_machine_nobody_looks_without_signing_in(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    pki = tmp_path / "pki"
    _run("broker", "pki", "init", "--dir", str(pki), "--host", "127.0.0.1")
    config = tmp_path / "console.toml"
    config.write_text(
        f'[console]\nhosts = ["console.plant.lan"]\n'
        f'[tls]\ncertificate = "{pki}/broker.pem"\nkey = "{pki}/broker.key"\n'
    )
    user = ["--role", "operator", "--password-stdin", "--store", str(store)]
    with Fleet(store, "--agents", "2") as fleet:
        for name in "shift-a", "maintenance":
            _run("broker", "console", "user", "add", name, *user, said=f"{PASSWORD}\n")
        with Console(store, "--config", str(config), scheme="https") as console:
            async with window(browser, console.url, ignore_https_errors=True) as opened:
                page = await opened.context.new_page()
                await page.goto(console.url)
                await expect(page).to_have_url(f"{console.url}signin?next=%2F")
                await everybody_can_read(page)
                other = await opened.open("/signin")
                await page.bring_to_front()
                await page.get_by_label("Name").fill("shift-a")
                await page.get_by_label("Password").fill("wrong")
                await page.keyboard.press("Enter")
                await expect(page.get_by_role("alert")).not_to_be_empty()
                await page.get_by_label("Password").fill(PASSWORD)
                await page.keyboard.press("Enter")
                await expect(page).to_have_url(console.url)
                await other.evaluate("dispatchEvent(new Event('focus'))")
                await expect(other).to_have_url(console.url)
                await other.close()
                fleet.tell("fault press-2")
                await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")
                await agent(page, "press-2").get_by_role("link").click()
                await page.get_by_role("button", name="Acknowledge").click()
                await everybody_can_read(page)
                await page.get_by_role("dialog").get_by_label("Note").fill("bearing is on its way")
                await page.get_by_role("dialog").get_by_role("button").last.click()
                await expect(page.locator("#state")).to_have_text("acknowledged")
                await expect(page.locator("#why")).to_contain_text("shift-a")
                await _another_signs_in_meanwhile(page, opened)
                await page.get_by_role("link", name="Activity").click()
                seen = page.locator("#rows tr", has_text="bearing is on its way")
                await expect(seen).to_contain_text("shift-a")
                for width in (1366, 390):
                    await page.set_viewport_size({"width": width, "height": 768})
                    await everybody_can_read(page)
                await seen.get_by_role("link", name="press-2").click()
                await page.get_by_role("button", name="Sign out").click()
                await expect(page.get_by_label("Password")).to_be_visible()
                await page.goto(console.url)
                await expect(page.get_by_label("Password")).to_be_visible()
                opened.forgive("40[13]")


async def _another_signs_in_meanwhile(page: Page, opened: Window) -> None:
    """What one person wrote does not go out under the name of another."""
    await page.get_by_role("button", name="Add a note now").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Note").fill("new bearing")
    await opened.context.clear_cookies()
    other = await opened.open("/signin")
    await other.get_by_label("Name").fill("maintenance")
    await other.get_by_label("Password").fill(PASSWORD)
    await other.keyboard.press("Enter")
    await expect(other).to_have_url(opened.url)
    await page.bring_to_front()
    await page.keyboard.press("Control+Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("now signed in as maintenance")
    await expect(page.locator("header .person")).to_contain_text("maintenance")
    await dialog.get_by_role("button", name="Cancel").click()


def _run(*arguments: str, said: str = "") -> None:
    subprocess.run([sys.executable, "-m", *arguments], input=said, text=True, check=True)
