"""What `make demo-integrations` runs."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from support.processes import Running

from bench.usage import descendants

needed = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("mosquitto")),
    reason="needs Debian's prometheus and mosquitto: tests/debian.sh",
)


@needed
def test_an_alarm_arrives_everywhere_and_nothing_is_left(tmp_path: Path) -> None:
    with Running(["dataset.demo_integrations"], {"TMPDIR": str(tmp_path)}) as demo:
        assert demo.wait() == 0, demo.stderr
    said = dict(re.findall(r"^  (\w+(?: file)?) +(\S.*)$", demo.stdout, re.MULTILINE))
    assert re.match(r"press-4: ALARM since .* \(signature checked\)$", said["webhook"])
    assert said["mail"].startswith("[Quartet] press-4: ALARM since")
    assert "quartet/broker/press-4/state  alarm: true, why: MEWMA" in said["MQTT"]
    assert said["Prometheus"] == "QuartetInAlarm is firing"
    assert re.match(r"incident\.zip: \d+ samples of press-4", said["incident file"])
    assert str(tmp_path) not in demo.stdout
    assert "bit-exact: all " in demo.stdout
    assert [*tmp_path.iterdir()] == []


@needed
def test_a_part_that_dies_is_named(tmp_path: Path) -> None:
    with Running(["dataset.demo_integrations"], {"TMPDIR": str(tmp_path)}) as demo:
        demo.wait_for_output("learns for some seconds")
        (victim,) = (
            pid
            for pid in descendants(demo.pid)
            if b"mosquitto.conf" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(victim, signal.SIGKILL)
        assert demo.wait() == 1
    assert "demo-integrations: mosquitto has ended with status -9" in demo.stderr
    assert [*tmp_path.iterdir()] == []
