"""The units as systemd reads them; tests/machines has them at work."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.commandline import CONFIG
from agent.config import Settings
from agent.instance import Instance, with_places

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


# By the name under which systemd reads it, and the file.
UNIT = {
    "agent": "agent.service",
    "agent@oil": "agent@.service",
    "broker": "broker.service",
    "broker@2": "broker@.service",
    "console": "console.service",
    "mqtt": "mqtt.service",
    "notify": "notify.service",
}


@pytest.mark.parametrize("name", UNIT)
def test_verify_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"{name}.service"
    program = re.compile("/opt/quartet/(agent|broker)/current/bin/(agent|broker)")
    unit.write_text(program.sub("/bin/true", (UNITS / UNIT[name]).read_text()))
    shutil.copytree(UNITS / f"{UNIT[name]}.d", tmp_path / f"{name}.service.d")
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("agent", 1.3),
        ("agent@", 1.3),
        ("broker", 1.0),
        ("broker@", 1.0),
        ("console", 1.0),
        ("mqtt", 1.1),
        ("notify", 1.1),
    ],
)
def test_the_exposure_is_what_the_documentation_says(name: str, most: float) -> None:
    threshold = round(most * 10)
    security = ("security", "--offline=true", "--no-pager")
    done = analyze(*security, f"--threshold={threshold}", UNITS / f"{name}.service")
    assert done.returncode == 0, done.stdout
    assert re.search(rf"Overall exposure level for {name}i?\.service: {most}\b", done.stdout)


@pytest.mark.parametrize(
    ("program", "own"),
    [
        ("broker", {" --process %i": "", ", process %i": ""}),
        ("agent", {"/%i.toml": "/agent.toml", "agent/%i": "agent", "agent %i:": "agent:"}),
    ],
)
def test_the_units_of_one_and_of_several_differ_in_what_is_their_own_alone(
    program: str, own: dict[str, str]
) -> None:
    """What is learned for one, a limit or a sandbox, is not forgotten in the other."""
    one, several = ((UNITS / f"{program}{end}.service").read_text() for end in ("", "@"))
    for of_each, of_one in own.items():
        assert of_each in several
        several = several.replace(of_each, of_one)

    def settings(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert settings(several) == settings(one)


def test_what_systemd_makes_for_a_named_agent_is_where_the_agent_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand, as in 'agent status oil', there is no systemd that says so."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    text = (UNITS / "agent@.service").read_text().replace("%i", "oil")
    spool = with_places(Settings(), Instance("oil")).spool
    assert f"StateDirectory={spool.directory}".replace("/var/lib/", "") in text.splitlines()
    assert f"RuntimeDirectory={spool.hot_directory}".replace("/run/", "") in text.splitlines()
    assert f"--config {CONFIG.with_stem('oil')}\n" in text
