"""What a page says while a part behind it is away, and when it is back."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, Route, expect
from support.ports import kept_port
from support.processes import Agent, Broker
from support.site import Console, Fleet, own
from support.window import agent, everybody_can_read, is_first, is_red, window

FAULTY = Path(__file__).parents[2] / "dataset" / "sensors.csv"


def _agent(name: str, broker: Broker, *arguments: str) -> Agent:
    recording = ("--simulate", str(FAULTY), "--loop", "--rate", "100")
    return Agent(*recording, "--agent-id", name, "--broker", broker.address, *arguments)


async def test_a_fault_is_red_and_first_with_its_why_and_can_be_acknowledged(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with (
        own(Broker("--store", str(store))) as broker,
        Console(store) as console,
        ExitStack() as agents,
    ):
        for name in ("press-1", "press-2"):
            agents.enter_context(_agent(name, broker, "--rate", "10"))
        async with window(browser, console.url) as opened:
            page = await opened.open()
            row = agent(page, "press-9")
            # Not before the page is there: it learns for six seconds.
            agents.enter_context(_agent("press-9", broker, "--rate", "50"))
            await expect(row.locator(".state")).to_have_text("learning")
            await expect(row.locator(".state")).to_have_text("alarm")
            assert await is_red(row.locator(".state"))
            await is_first(page, "press-9")
            await expect(row.locator(".why")).to_contain_text("sensor1")
            await expect(page).to_have_title("(1) Quartet")
            await everybody_can_read(page)
            await row.get_by_role("link").click()
            await expect(page.locator("#why")).to_contain_text("sensor1")
            await everybody_can_read(page)


async def test_a_level_that_was_accepted_is_on_show_and_can_be_picked_out(
    browser: Browser, tmp_path: Path
) -> None:
    store, tests = tmp_path / "broker.db", Path(__file__).parents[1]
    run = ("--store", str(store), "--predictor", "support.pupil:Settled")
    quiet = tmp_path / "quiet.csv"
    quiet.write_text("a,b,c,d\n" + "1,1,1,1\n" * 100)
    with (
        own(Broker(*run, env={"PYTHONPATH": str(tests)})) as broker,
        Console(store) as console,
        _agent("press-1", broker, "--simulate", str(quiet), "--rate", "10"),
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open()
            row = agent(page, "press-1")
            await expect(row.locator(".state")).to_have_text("steady")
            await expect(row.locator(".why")).to_contain_text("8.2 spreads off (b +7.9)")
            await everybody_can_read(page)
            await page.get_by_role("button", name="normal").click()
            await expect(row).to_be_hidden()
            await page.get_by_role("button", name="steady").click()
            await expect(row).to_be_visible()
            await row.get_by_role("link").click()
            await expect(page.locator("#why")).to_contain_text("Reset the model to make it")


async def test_a_value_moves(browser: Browser, tmp_path: Path) -> None:
    """From the sensor to the page; nothing but a new sample can bring this number."""
    store = tmp_path / "broker.db"
    recording = tmp_path / "step.csv"
    recording.write_text("a,b,c,d\n" + "1,1,1,1\n" * 50 + "7531,1,1,1\n" * 100_000)
    with own(Broker("--store", str(store))) as broker, Console(store) as console:
        simulated = ("--simulate", str(recording), "--rate", "20", "--agent-id", "press-1")
        with Agent(*simulated, "--broker", broker.address):
            async with window(browser, console.url) as opened:
                page = await opened.open()
                await agent(page, "press-1").get_by_role("link").click()
                await expect(page.locator("#plots")).to_contain_text("7531")


async def test_a_broker_that_dies_heads_the_page_until_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with (
        kept_port() as port,
        own(Broker("--store", str(store), port=port)) as broker,
        _agent("press-1", broker),
        Console(store) as console,
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open()
            stale = page.locator(".banners .is-bad:visible")
            await expect(agent(page, "press-1").locator(".seen")).to_have_text("now")
            await expect(stale).to_have_count(0)
            broker.kill()
            await expect(stale).to_contain_text("broker")
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("The broker does not run")
            await everybody_can_read(page)
            await expect(agent(page, "press-1").locator(".state")).to_have_text("late")
            with own(Broker("--store", str(store), port=port)):
                await expect(stale).to_have_count(0)
                await expect(agent(page, "press-1").locator(".seen")).to_have_text("now")


async def test_a_console_that_dies_is_told_on_each_page_until_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with (
        Fleet(store, "--agents", "3") as fleet,
        kept_port() as port,
        Console(store, port=port) as console,
    ):
        async with window(browser, console.url) as opened:
            pages = [await opened.open("/"), await opened.open("/agent/press-2")]
            await expect(agent(pages[0], "press-2")).to_be_visible()
            console.kill()
            for page in pages:
                await expect(_lost(page)).to_be_visible()
            fleet.tell("fault press-2")
            with Console(store, port=port):
                for page in pages:
                    await expect(_lost(page)).to_be_hidden()
                await expect(agent(pages[0], "press-2").locator(".state")).to_have_text("alarm")
                await expect(pages[1].locator("#state")).to_have_text("alarm")
            opened.forgive("ERR_")


def _lost(page: Page) -> Locator:
    return page.get_by_text("No connection to the console since")


async def test_a_computer_that_slept_wakes_up_to_the_present(
    browser: Browser, tmp_path: Path, sleeper: Callable[[], list[int]]
) -> None:
    """Its processes stand still, and its connections are gone when it wakes."""
    store = tmp_path / "broker.db"
    with (
        Fleet(store, "--agents", "3") as fleet,
        kept_port() as port,
        Console(store, port=port) as console,
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open()
            await page.clock.install()
            await expect(agent(page, "press-2").locator(".state")).to_have_text("normal")
            asleep = sleeper()
            for pid in asleep:
                os.kill(pid, signal.SIGSTOP)
            console.kill()
            fleet.tell("fault press-2")
            with Console(store, port=port):
                for pid in asleep:
                    os.kill(pid, signal.SIGCONT)
                await page.clock.fast_forward("24:00:00")
                await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")
                await expect(agent(page, "press-1").locator(".seen")).to_have_text("now")
            opened.forgive("ERR_")


async def test_a_page_whose_worker_ended_starts_another(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "3") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            await page.clock.install()
            await page.reload()
            await expect(agent(page, "press-2").locator(".state")).to_have_text("normal")
            devtools = await browser.new_browser_cdp_session()
            found = (await devtools.send("Target.getTargets"))["targetInfos"]
            [worker] = [each for each in found if each["url"].startswith(console.url + "static/")]
            await devtools.send("Target.closeTarget", {"targetId": worker["targetId"]})
            fleet.tell("fault press-2")
            await page.clock.run_for("01:00")
            await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")
            await expect(_lost(page)).to_be_hidden()


async def test_a_page_that_holds_its_own_stream_wakes_up_too(
    browser: Browser, tmp_path: Path
) -> None:
    """A day has passed, though nobody was asked whether it still looks."""
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "3") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            await opened.context.add_init_script("delete window.SharedWorker")
            page = await opened.open()
            await page.clock.install()
            await page.reload()
            await expect(agent(page, "press-2").locator(".state")).to_have_text("normal")
            await page.clock.fast_forward("24:00:00")
            fleet.tell("fault press-2")
            await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")


async def test_what_is_typed_outlasts_a_console_that_is_started_again(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with (
        Fleet(store, "--agents", "2"),
        kept_port() as port,
        Console(store, port=port) as console,
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open("/agent/press-2")
            await page.get_by_role("button", name="Add a note now").click()
            dialog = page.get_by_role("dialog")
            note = dialog.get_by_label("Note")
            await dialog.get_by_label("Your name").fill("shift-a")
            await note.fill("new bearing")
            console.kill()
            await note.press("Control+Enter")
            await expect(dialog.get_by_role("alert")).to_contain_text("No connection")
            await expect(note).to_have_value("new bearing")
            with Console(store, port=port):
                await note.press("Control+Enter")
                await expect(dialog).to_have_count(0)
                await expect(page.locator("#records")).to_contain_text("new bearing")
            opened.forgive("ERR_|403")


async def test_a_dialog_stays_while_it_sends(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2"), Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open("/agent/press-2")
            asked: asyncio.Queue[Route] = asyncio.Queue()
            await page.route("**/notes", asked.put)
            await page.get_by_role("button", name="Add a note now").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Your name").fill("shift-a")
            await dialog.get_by_label("Note").fill("new bearing")
            await page.keyboard.press("Control+Enter")
            held = await asked.get()
            await expect(dialog.get_by_role("button", name="Cancel")).to_be_disabled()
            for _ in range(2):
                await page.keyboard.press("Escape")
            await expect(dialog).to_be_visible()
            await held.continue_()
            await expect(dialog).to_have_count(0)
            await expect(page.locator("#records")).to_contain_text("new bearing")


async def test_the_alarms_of_a_time_without_the_console_are_there_afterwards(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with (
        Fleet(store, "--agents", "2", "--rate", "10") as fleet,
        kept_port() as port,
        Console(store, port=port) as console,
        Console(store) as other,
    ):
        async with window(browser, console.url) as opened, window(browser, other.url) as beside:
            page = await opened.open("/alarms")
            await expect(page.locator("#spoken")).to_have_text("No alarm is on record.")
            witness = await beside.open()
            await expect(agent(witness, "press-2").locator(".state")).to_have_text("normal")
            console.kill()
            for order, state in (("fault", "alarm"), ("mend", "normal")):
                fleet.tell(f"{order} press-2")
                await expect(agent(witness, "press-2").locator(".state")).to_have_text(state)
            with Console(store, port=port):
                await expect(page.locator("#rows tr")).to_have_count(1)
            opened.forgive("ERR_")


async def test_alarms_that_did_not_come_are_asked_for_again(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            fleet.tell("fault press-2")
            page = await opened.open()
            await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")
            await opened.context.route("**/api/alarms?*", lambda route: route.abort())
            await page.goto(f"{console.url}alarms")
            await expect(page.locator("#spoken")).to_contain_text("No connection")
            await opened.context.unroute("**/api/alarms?*")
            await expect(page.locator("#rows tr")).to_have_count(1)
            opened.forgive("ERR_")


async def test_a_reason_names_the_sensors_as_people_do(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2") as fleet, Console(store) as console:
        fleet.tell("fault press-2")
        async with window(browser, console.url) as opened:
            page = await opened.open("/agent/press-2")
            for place in "#reason", "#why .sentence", "#records":
                await expect(page.locator(place)).to_contain_text("fan end 81 %")
            await page.goto(f"{console.url}alarms")
            await expect(page.locator("#rows .reason")).to_contain_text("fan end 81 %")
            name = page.get_by_label("Agent", exact=True)
            await name.press_sequentially("ess-1")
            await expect(page.locator("#rows tr")).to_have_count(0)
            await name.fill("ESS-2")
            await expect(page.locator("#rows tr")).to_have_count(1)
            csv = page.get_by_role("link", name="Download as CSV")
            await expect(csv).to_have_attribute("href", "/api/alarms.csv?agent=ESS-2")


async def test_an_alarm_that_ended_unseen_is_told_until_somebody_acknowledges_it(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "broker.db"
    with Fleet(store, "--agents", "2", "--rate", "10") as fleet, Console(store) as console:
        async with window(browser, console.url) as opened:
            page = await opened.open()
            fleet.tell("fault press-2")
            await expect(agent(page, "press-2").locator(".state")).to_have_text("alarm")
            fleet.tell("mend press-2")
            await page.get_by_role("link", name="1 alarm ended").click()
            await page.get_by_role("button", name="Acknowledge the alarm").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Your name").fill("shift-a")
            await dialog.get_by_role("button", name="Acknowledge").click()
            await expect(page.locator("#rows tr")).to_have_count(0)
            await expect(page.locator("#unseen")).to_be_hidden()
