"""The units as systemd reads them; tests/machines has them at work."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here"
)


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C"},
    )


@pytest.mark.parametrize("name", ["agent", "broker", "console"])
def test_verify_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"{name}.service"
    program = re.compile("/opt/quartet/(agent|broker)/current/bin/(agent|broker)")
    unit.write_text(program.sub("/bin/true", (UNITS / unit.name).read_text()))
    shutil.copytree(UNITS / f"{name}.service.d", tmp_path / f"{name}.service.d")
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "most"), [("agent", 1.3), ("broker", 1.0), ("console", 1.0)])
def test_the_exposure_is_what_the_documentation_says(name: str, most: float) -> None:
    threshold = round(most * 10)
    security = ("security", "--offline=true", "--no-pager")
    done = analyze(*security, f"--threshold={threshold}", UNITS / f"{name}.service")
    assert done.returncode == 0, done.stdout
    assert f"Overall exposure level for {name}.service: {most}" in done.stdout
