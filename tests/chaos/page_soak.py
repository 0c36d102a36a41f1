"""Pages that stay open, as `make soak` starts it: python -m chaos.page_soak --minutes 10.

A day of pages at the usual rate has as many samples as an hour at twenty times that rate: so
fast are the agents here. The verdict is that no page's heap grows by 5 MB.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import Page, async_playwright
from support.processes import let_children_be_signalled
from support.site import Console, Fleet
from support.window import ARGUMENTS, window

from quartet.columns import aligned

_AGENTS = 5
_RATE_HZ = 200
_PAGES = "/", "/agent/press-1", "/compare?agents=press-1,press-2&channel=1", "/alarms"
# Long enough for the last minute that a page keeps to be full.
_WARM_S = 90.0
_ALLOWED_MB = 5.0
_LOOK_EVERY_S = 10.0
# A fault that comes and goes: alarms are drawn, listed and forgotten.
_FAULT_EVERY_S = 40.0


def main() -> int:
    """Run, look, tell; 0 where all is flat, 1 where a page grows."""
    parser = argparse.ArgumentParser(prog="chaos.page_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes: float = parser.parse_args().minutes
    chromium = shutil.which("chromium")
    if chromium is None:
        print("left out: no chromium here: apt-get install chromium")
        return 0
    let_children_be_signalled()
    with tempfile.TemporaryDirectory(prefix="quartet-soak-") as home:
        store = Path(home) / "broker.db"
        agents = ("--agents", str(_AGENTS), "--rate", str(_RATE_HZ))
        with Fleet(store, *agents) as fleet, Console(store) as console:
            heaps = asyncio.run(_watch(chromium, console.url, fleet, minutes * 60))
    return _told(heaps, minutes)


async def _watch(chromium: str, url: str, fleet: Fleet, for_s: float) -> dict[str, list[float]]:
    """The heap of each page in MB, at even intervals after the warm-up."""
    heaps: dict[str, list[float]] = {path: [] for path in _PAGES}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        async with window(browser, url) as opened:
            pages = {path: await opened.open(path) for path in _PAGES}
            begin_s = time.monotonic()
            while (past_s := time.monotonic() - begin_s) < for_s:
                verb = "fault" if past_s % (2 * _FAULT_EVERY_S) > _FAULT_EVERY_S else "mend"
                fleet.tell(f"{verb} press-1 press-2")
                if past_s > _WARM_S:
                    for path, page in pages.items():
                        heaps[path].append(await _heap_mb(page))
                await asyncio.sleep(_LOOK_EVERY_S)
        await browser.close()
    return heaps


async def _heap_mb(page: Page) -> float:
    """What is left of a page's heap once its garbage is collected."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    usage = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return float(usage["usedSize"]) / 1e6


def _told(heaps: dict[str, list[float]], minutes: float) -> int:
    rows = [("page", "MB at first", "MB at last", "most", "verdict")]
    grown = False
    for path, looks in heaps.items():
        third = max(1, len(looks) // 3)
        first, last = min(looks[:third]), min(looks[-third:])
        grows = last - first >= _ALLOWED_MB
        grown |= grows
        figures = (f"{each:.2f}" for each in (first, last, max(looks)))
        rows.append((path, *figures, "GROWS" if grows else "flat"))
    print("\n".join(aligned(rows, names=1)))
    print(f"\n{'FAILED: a page grows' if grown else 'flat'} over {minutes:g} minutes")
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
