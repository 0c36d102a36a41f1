"""Makes docs/live.svg, the README's picture of the live view, from a real run in a terminal.

Needs tmux, as the terminal. `make picture` runs it.
"""

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS, ROWS = 80, 10
RATE_HZ = 100
SHOW_SAMPLE = 900  # the fault has grown out of its band, the machine still runs

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, monospace; font-size: {char_height}px;
    line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>{lines}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#0c0c0c"/>
<g transform="translate(9, 12)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def main() -> None:
    """Run broker and agent, wait for the sample, and draw what the terminal shows."""
    with tempfile.TemporaryDirectory() as directory:
        tmux = ["tmux", "-S", f"{directory}/socket"]
        path = f"{Path(sys.executable).parent}:$PATH"
        demo = f"cd {ROOT} && PATH={path} RATE={RATE_HZ} AGENT=press-4 sh dataset/demo.sh"
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        subprocess.run([*tmux, "new-session", "-d", *size, demo], check=True)
        try:
            screen = _screen_at_sample(tmux)
        finally:
            subprocess.run([*tmux, "kill-server"], check=False)
    lines = screen.splitlines()
    first = next(number for number, line in enumerate(lines) if "quartet" in line)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines[first:])))
    console.save_svg(
        str(ROOT / "docs" / "live.svg"), theme=MONOKAI, code_format=SVG, unique_id="live"
    )


def _screen_at_sample(tmux: list[str]) -> str:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        screen = subprocess.run(
            [*tmux, "capture-pane", "-pe"], check=True, capture_output=True, text=True
        ).stdout
        shown = re.search(r"sample (\d+),", re.sub(r"\x1b\[[0-9;]*m", "", screen))
        if shown and int(shown[1]) >= SHOW_SAMPLE:
            return screen
        time.sleep(0.05)
    sys.exit("the demo did not come so far")


if __name__ == "__main__":
    main()
