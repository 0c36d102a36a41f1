"""Several agents on one computer, as agent.service and agent@NAME.service run them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.buses import NO_BUS
from support.processes import Agent, Broker, Running

from quartet.lock import for_all_users

CHIP = """
[agent]
id = "{name}"
[broker]
address = "{broker}"
[source]
kind = "virtual"
address = {address:#x}
[sampling]
rate_hz = 20
[virtual.a0]
kind = "noise"
mean_v = {volts}
stdev_v = 0.001
"""


class Service:
    """An agent with the directories that systemd makes for its unit."""

    def __init__(self, home: Path, text: str) -> None:
        self.hot, self.cold = home / "run", home / "state"
        for directory in (home, self.hot, self.cold):
            directory.mkdir()
        self.config = home / "agent.toml"
        self.config.write_text(text)

    def start(self) -> Agent:
        return Agent("--config", str(self.config), env=self.env)

    def says(self, command: str, *arguments: str) -> str:
        with Running(["agent", command, *arguments, "--config", str(self.config)], self.env) as run:
            run.wait()
        return run.stdout

    @property
    def env(self) -> dict[str, str]:
        return {"RUNTIME_DIRECTORY": str(self.hot), "STATE_DIRECTORY": str(self.cold)}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("--predictor", "limits") as broker:
        yield broker


def chip(broker: Broker, name: str, address: int = 0x48, volts: float = 0.1) -> str:
    return CHIP.format(name=name, broker=broker.address, address=address, volts=volts)


def test_two_agents_on_two_chips_stream_side_by_side_under_their_own_names(
    broker: Broker, tmp_path: Path
) -> None:
    first = Service(tmp_path / "first", chip(broker, "press-1", 0x48, 0.1))
    oil = Service(tmp_path / "oil", chip(broker, "press-1-oil", 0x49, 0.3))
    with first.start() as one, oil.start() as other:
        one.wait_for("virtual ADS1115 at 0x48")
        other.wait_for("virtual ADS1115 at 0x49")
        for agent, volts in ((one, "0.1|0.09"), (other, "0.3|0.29")):
            agent.wait_for(rf"sample 20: \w+ +({volts})")
        for service, name in ((first, "press-1"), (oil, "press-1-oil")):
            state = json.loads(service.says("status", "--json"))
            assert (state["agent_id"], state["link"]) == (name, "streaming")
        assert (one.stop(), other.stop()) == (0, 0)
    for service in (first, oil):
        assert service.says("ledger").splitlines()[-1] == "balanced"


def test_the_second_agent_under_a_name_is_refused_and_the_first_streams_on(
    broker: Broker, tmp_path: Path
) -> None:
    first = Service(tmp_path / "first", chip(broker, "press-2"))
    copy = Service(tmp_path / "copy", chip(broker, "press-2", 0x49))
    with first.start() as one:
        one.wait_for("sample 2: ")
        with copy.start() as other:
            assert other.wait() == 1
        assert other.stderr.splitlines()[-1] == (
            f"agent: another agent on this computer streams to {broker.address} as press-2"
            f" (process {one.pid}): stop that one, or give each an agent.id of its own"
        )
        one.wait_for(r"sample \d+: ", count=one.stderr.count("sample ") + 20)
        assert one.stderr.count("streaming to") == 1
        one.kill()
        one.wait()
        with copy.start() as other:
            other.wait_for("sample 2: ")
            assert other.stop() == 0


@pytest.mark.parametrize("shared", ["hot", "cold"])
def test_the_second_agent_on_a_spool_is_refused(
    shared: str, broker: Broker, tmp_path: Path
) -> None:
    first = Service(tmp_path / "first", chip(broker, "press-3"))
    copy = Service(tmp_path / "copy", chip(broker, "press-3-oil"))
    setattr(copy, shared, getattr(first, shared))
    with first.start() as one:
        one.wait_for("sample 2: ")
        with copy.start() as other:
            assert other.wait() == 1
        assert one.stop() == 0
    assert f"is in use by process {one.pid} (spool.lock): stop that one first" in other.stderr


def test_the_second_agent_on_a_chip_is_refused(broker: Broker, tmp_path: Path) -> None:
    text = chip(broker, "press-4", 0x4A).replace('"virtual"', f'"ads1115"\nbus = {NO_BUS}')
    service = Service(tmp_path / "oil", text)
    hold = (
        "import sys; from agent.sources.bus import lock_chip;"
        f" lock = lock_chip({NO_BUS}, 0x4A); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with service.start() as agent:
            assert agent.wait() == 1
        holder.kill()
    for_all_users(f"quartet-i2c-{NO_BUS}-0x4a").unlink()
    assert (
        f"the ADS1115 at 0x4a on bus {NO_BUS} is in use by process {holder.pid}: stop that one"
        " first ('systemctl stop agent', if it is the service), or give each agent a chip of its"
        " own (source.bus, source.address)" in agent.stderr
    )
