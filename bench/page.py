"""Debian's chromium on the console's pages, and what that costs."""

import asyncio
import os
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from bench import usage
from bench.history import PEAK

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_LAPTOP = {"width": 1366, "height": 768}
_PATIENCE_MS = 120_000.0
_LOADS = 5

FLEET_DRAWN = "() => document.querySelectorAll('tr[data-name] canvas').length > 0"
"""Rows stand there, with their lines of the last minute."""

CHARTS_DRAWN = """() => [...document.querySelectorAll('figure canvas')]
    .filter((each) => /maximum/.test(each.ariaLabel ?? each.getAttribute('aria-label'))).length >= 4
"""
"""All four charts have values."""

HIGHEST_DRAWN = f"""() => [...document.querySelectorAll('figure canvas')]
    .some((each) => /maximum {PEAK:g}[;,]/.test(each.getAttribute('aria-label')))
"""
"""A chart has the single high sample of a history."""


def is_there() -> bool:
    """Whether this machine has the browser."""
    return shutil.which("chromium") is not None


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser while entered."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*_ARGUMENTS]
        )
        yield chromium
        await chromium.close()


async def load_ms(chromium: Browser, url: str, drawn: str) -> tuple[float, float]:
    """From the call to what is to be seen, and the share of a core that others used meanwhile.

    The median of some loads, each in a fresh profile. The pages stay open until others are
    counted: a browser does not tell what its ended processes have used.
    """
    times = []
    others = usage.Others()
    async with AsyncExitStack() as pages:
        for _ in range(_LOADS):
            page = await pages.enter_async_context(_page(chromium))
            begin_s = time.perf_counter()
            await page.goto(url)
            await page.wait_for_function(drawn, polling=10)
            times.append((time.perf_counter() - begin_s) * 1000)
        return statistics.median(times), others.share()


async def whole_range_ms(chromium: Browser, url: str, seen: str) -> tuple[float, float]:
    """From the choice of the whole range to what is to be seen; the median, and others' share.

    The page is open with its shortest range before each choice.
    """
    times = []
    async with _page(chromium) as page:
        await page.goto(f"{url}?range=day")
        await page.wait_for_function(CHARTS_DRAWN)
        ranges = page.get_by_role("group", name="Range").get_by_role("button")
        others = usage.Others()
        for _ in range(_LOADS):
            await ranges.first.click()
            await page.wait_for_function(f"() => !({seen})()", polling=10)
            begin_s = time.perf_counter()
            await ranges.last.click()
            await page.wait_for_function(seen, polling=10)
            times.append((time.perf_counter() - begin_s) * 1000)
        return statistics.median(times), others.share()


async def page_cpu(chromium: Browser, url: str, drawn: str, for_s: float) -> tuple[float, float]:
    """Share of a core that an open page takes, and its heap in MB."""
    async with _page(chromium) as page:
        await page.goto(url)
        await page.wait_for_function(drawn)
        await asyncio.sleep(for_s / 4)  # what came with the load is over
        before_s, begin_s = _renderers_cpu_s(), time.perf_counter()
        await asyncio.sleep(for_s)
        share = (_renderers_cpu_s() - before_s) / (time.perf_counter() - begin_s)
        session = await page.context.new_cdp_session(page)
        await session.send("HeapProfiler.collectGarbage")
        heap = await session.send("Runtime.getHeapUsage")
        return share, float(heap["usedSize"]) / 1e6


async def red_ms(chromium: Browser, url: str, tell: Callable[[str], None]) -> float:
    """From the order to be faulty to a row that says alarm; the median of some."""
    times = []
    async with _page(chromium) as page:
        await page.goto(url)
        await page.wait_for_function(FLEET_DRAWN)
        for _ in range(_LOADS):
            for verb, alarmed in (("fault", True), ("mend", False)):
                begin_s = time.perf_counter()
                tell(f"{verb} press-3")
                await page.wait_for_function(
                    "(alarmed) => alarmed === (document.querySelector('tr[data-name=press-3]')"
                    ".dataset.state === 'alarm')",
                    arg=alarmed,
                    polling=10,
                )
                if alarmed:
                    times.append((time.perf_counter() - begin_s) * 1000)
    return statistics.median(times)


@asynccontextmanager
async def _page(chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(viewport=_LAPTOP)  # type: ignore[arg-type]
    context.set_default_timeout(_PATIENCE_MS)
    try:
        yield await context.new_page()
    finally:
        await context.close()


def _renderers_cpu_s() -> float:
    """Of the processes that draw pages and run their workers."""
    return sum(
        usage.cpu_s(pid)
        for pid in usage.descendants(os.getpid())
        if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
