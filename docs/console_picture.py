"""Makes the README's pictures of the console, from `make demo-fleet` in a real browser.

Needs Debian's chromium. `make picture` runs it; it takes about two minutes.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

DOCS = Path(__file__).parent
FLEET: ViewportSize = {"width": 1280, "height": 520}
AGENT: ViewportSize = {"width": 1200, "height": 640}
MOST_BYTES = 150_000
# An alarm begins half a minute after the start, and every 50 s; another machine is away by then.
PATIENCE_MS = 240_000.0
SHOWN = """() => ["press-4", "furnace-5"].every((name, i) => document.querySelector(
    `tr[data-name="${name}"][data-state="${["alarm", "offline"][i]}"] canvas`))"""
# Long enough for a line to be seen, too.
SETTLED_MS = 5000.0


def main() -> None:
    """Run the demo, wait for what it is about, and take the pictures."""
    demo = subprocess.Popen(
        [sys.executable, str(DOCS.parent / "dataset" / "demo_fleet.py")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = browser.new_page(viewport=FLEET)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(_address(demo))
            page.wait_for_function(SHOWN)
            page.wait_for_timeout(SETTLED_MS)
            _keep(page, "console-fleet.png")
            page.set_viewport_size(AGENT)
            page.get_by_role("link", name="press-4").click()
            page.wait_for_timeout(SETTLED_MS)
            _keep(page, "console-agent.png")
            browser.close()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def _address(demo: "subprocess.Popen[str]") -> str:
    for line in demo.stdout or ():
        if "http://" in line:
            return line.split()[-1]
    sys.exit("the demo did not start")


def _keep(page: Page, name: str) -> None:
    """Take the picture, and refuse one that is too large for a README."""
    taken = page.screenshot(animations="disabled")
    if len(taken) > MOST_BYTES:
        sys.exit(f"{name} has {len(taken)} bytes")
    (DOCS / name).write_bytes(taken)


if __name__ == "__main__":
    main()
