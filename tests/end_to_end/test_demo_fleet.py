"""What `make demo-fleet` runs."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.patience import until
from support.processes import Running

from bench.usage import descendants

AGENTS = {"press-1", "press-2", "pump-3", "press-4", "furnace-5"}


@contextmanager
def demo(tmp_path: Path) -> Iterator[Running]:
    with Running(["dataset.demo_fleet"], {"TMPDIR": str(tmp_path)}) as demo:
        try:
            yield demo
        finally:
            for pid in descendants(demo.pid):
                os.kill(pid, signal.SIGTERM)


def _fleet(url: str) -> dict[str, dict[str, object]]:
    with urllib.request.urlopen(f"{url}api/fleet") as answer:  # noqa: S310 - it is http
        agents: dict[str, dict[str, object]] = json.load(answer)["agents"]
        return agents


def test_five_agents_with_names_of_their_sensors_stand_in_a_console_until_ctrl_c(
    tmp_path: Path,
) -> None:
    with demo(tmp_path) as running:
        url = running.wait_for_output(r"The console: (http://127\.0\.0\.1:\d+/)")[1]
        until(lambda: _fleet(url).keys() == AGENTS)
        until(lambda: all(row["sensors"] for row in _fleet(url).values()))
        pump = _fleet(url)["pump-3"]["sensors"]
        assert pump[1] == {"name": "flow", "unit": "l/min"}
        processes = descendants(running.pid)
        assert len(processes) == 2 + len(AGENTS)
        running.signal(signal.SIGINT)
        assert running.wait() == 0
        assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
        assert [*tmp_path.iterdir()] == []


def test_it_ends_and_says_so_when_a_part_dies(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for_output("Ctrl-C ends all of it")
        victim, *rest = (pid for pid in descendants(running.pid) if "press-2" in _command(pid))
        os.kill(victim, signal.SIGKILL)
        assert running.wait() == 1
        assert rest == []
        assert "demo-fleet: agent press-2 has ended with status -9" in running.stderr
        assert [*tmp_path.iterdir()] == []


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
