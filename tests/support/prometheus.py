"""Debian's Prometheus, which asks programs of a test."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.markdown import ROOT
from support.patience import PATIENCE_S, until

PROGRAM = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")

MONITORING = ROOT / "monitoring"

needed = pytest.mark.skipif(
    not (PROGRAM and PROMTOOL), reason="needs Debian's prometheus: tests/debian.sh"
)

# A proxy of the environment knows nothing of this machine's loopback.
_ASKING = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_SETTINGS = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: ["{rules}"]
scrape_configs:
"""


def fetched(url: str) -> str:
    """What is at a URL of this machine. HTTPError for another status than 200."""
    with _ASKING.open(url, timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
        return text


def promtool(*arguments: str, given: str = "") -> str:
    """What it says, once it is content."""
    assert PROMTOOL
    done = subprocess.run(
        [PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Prometheus:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **arguments: str) -> Any:
        """The data of an answer of its interface."""
        query = urllib.parse.urlencode(arguments)
        return json.loads(fetched(f"{self._url}/{path}?{query}"))["data"]

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The rows of a query: labels and value."""
        found = self.ask("query", query=query)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]


@contextmanager
def running(directory: Path, jobs: Mapping[str, str]) -> Iterator[Prometheus]:
    """A Prometheus that asks HOST:PORT by the name of the job, with the rules of monitoring/."""
    assert PROGRAM
    settings = directory / "prometheus.yml"
    settings.write_text(
        _SETTINGS.format(rules=MONITORING / "quartet.rules.yml")
        + "".join(
            f'  - {{job_name: {job}, static_configs: [{{targets: ["{where}"]}}]}}\n'
            for job, where in jobs.items()
        )
    )
    said = directory / "prometheus.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={settings}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=log,
            stderr=log,
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, said.read_text()
            # It listens before it is ready, and answers 503 in between.
            return _READY in said.read_text()

        until(is_ready)
        found = _LISTENS.search(said.read_text())
        assert found
        yield Prometheus(int(found[1]))
    finally:
        process.kill()
        process.wait()


_READY = "Server is ready to receive web requests"
_LISTENS = re.compile(r'"Listening on" address=127\.0\.0\.1:(\d+)')
