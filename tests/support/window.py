"""A browser window on the console, which notes what a person would complain about."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    expect,
)
from support.patience import PATIENCE_S

PATIENCE_MS = PATIENCE_S * 1000

# Some steps have no time of their own, such as a key or an answer of a page's script.
_WINDOW_S = 1.5 * PATIENCE_S

# Chromium of Debian: no sandbox for root, and nothing that calls its maker's hosts.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # A profile's own permission is for its pages, not for their workers, when these connect again.
    "--ignore-certificate-errors",
)
_LAPTOP = {"width": 1366, "height": 768}


class Window:
    """A fresh profile. `complaints`: errors of pages, and requests to any other host."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.complaints: list[str] = []
        self._host = urlsplit(url).netloc
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("request", lambda request: self._look(request.url))

    async def open(self, path: str = "/") -> Page:
        """A tab with a page of the console, which has drawn its heading."""
        page = await self.context.new_page()
        await page.goto(self.url.rstrip("/") + path)
        await expect(page.get_by_role("heading", level=1)).to_be_attached()
        return page

    def forgive(self, pattern: str) -> None:
        """Forget complaints about what a test has done itself."""
        self.complaints = [each for each in self.complaints if not re.search(pattern, each)]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            where = message.location.get("url", "")
            self.complaints.append(f"{message.type}: {message.text} ({where})")

    def _look(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self.complaints.append(f"foreign: {url}")


@asynccontextmanager
async def window(browser: Browser, url: str, **options: Any) -> AsyncIterator[Window]:
    """A window that must end without a complaint, and in time: an error shows the step."""
    context = await browser.new_context(
        **{"viewport": _LAPTOP, "locale": "en-GB", "timezone_id": "UTC", **options}
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        opened = Window(context, url)
        async with asyncio.timeout(_WINDOW_S):
            yield opened
        assert not opened.complaints, "\n".join(opened.complaints)
    finally:
        # A browser that cannot part with a profile keeps it until its own end; no test is about it.
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S / 4):
                await context.close()


async def everybody_can_read(page: Page) -> None:
    """Fail where axe finds what keeps somebody from reading or using a page."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def agent(page: Page, name: str) -> Locator:
    """An agent's row on the fleet's page."""
    return page.locator(f'tr[data-name="{name}"]')


async def is_first(page: Page, name: str) -> None:
    """Return when an agent stands first on the fleet's page."""
    await expect(page.locator("tr[data-name]").first).to_have_attribute("data-name", name)


async def is_red(place: Locator) -> bool:
    """Whether a text or its mark is red, as far as its colour is concerned."""
    colour: str = await place.evaluate("it => getComputedStyle(it).color")
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return red > 2 * max(green, blue)
