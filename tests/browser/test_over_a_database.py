"""The pages of a console over a database: as over a file, and while the server is away."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from support.postgres import Server, running
from support.processes import Agent, Broker
from support.site import Console, own
from support.window import agent, is_red, window

FAULTY = Path(__file__).parents[2] / "dataset" / "sensors.csv"


@pytest.fixture
def server() -> Iterator[Server]:
    """One that a test may kill."""
    with running() as server:
        yield server


async def test_a_fault_is_shown_and_a_server_that_dies_heads_the_page_until_it_is_back(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    url = (await server.create()).url
    recording = ("--simulate", str(FAULTY), "--loop", "--rate", "100")
    with (
        own(Broker("--store", url)) as broker,
        Console(url, "--database", str(tmp_path / "console.db")) as console,
        Agent(*recording, "--agent-id", "press-9", "--broker", broker.address),
    ):
        async with window(browser, console.url) as opened:
            page = await opened.open()
            row = agent(page, "press-9")
            await expect(row.locator(".state")).to_have_text("alarm")
            assert await is_red(row.locator(".state"))
            await row.get_by_role("link").click()
            await expect(page.locator("#why")).to_contain_text("sensor1")
            await page.go_back()  # a page with charts would ask, and be refused
            await expect(row.locator(".state")).to_have_text("alarm")
            await asyncio.to_thread(server.kill)
            stale = page.locator(".banners .is-bad:visible")
            await expect(stale).to_contain_text("no PostgreSQL server answers")
            await asyncio.to_thread(server.restart)
            await expect(stale).to_have_count(0)
        assert "Traceback" not in console.stderr
        assert "internal error" not in console.stderr
