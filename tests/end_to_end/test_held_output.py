"""An alarm output that holds, as a person meets it: status, restart, `agent release`."""

import asyncio
import json
from pathlib import Path

from support.patience import until
from support.peers import Peer, scripted_broker
from support.processes import Agent, Running


class Plant:
    """An agent with a latch, and a broker whose predictions a test sets."""

    def __init__(self, directory: Path, dataset: Path) -> None:
        for name in ("hot", "cold"):
            (directory / name).mkdir()
        self.prediction = False
        self.held = directory / "cold" / "alarm.held"
        self._dataset = dataset
        self.config = directory / "agent.toml"
        self.config.write_text(
            f'[agent]\nid = "press-4"\n[spool]\ndirectory = "{directory}/cold"\n'
            f'hot_directory = "{directory}/hot"\n'
            "[outputs.alarm]\npin = 17\nlatch = true\n"
        )

    async def script(self, peer: Peer) -> None:
        while (request := await peer.read()) is not None:
            await peer.answer(request.id, self.prediction)

    def agent(self, port: int, pins: str = "mock") -> Agent:
        return Agent(
            *("--config", str(self.config), "--simulate", str(self._dataset), "--loop"),
            *("--rate", "50", "--broker", f"127.0.0.1:{port}"),
            env={"GPIOZERO_PIN_FACTORY": pins},
        )

    def run(self, command: str, *more: str) -> tuple[int, str]:
        with Running(["agent", command, "--config", str(self.config), *more]) as asking:
            code = asking.wait()
        assert "Traceback" not in asking.stderr
        return code, asking.stdout + asking.stderr

    def output(self) -> tuple[int, str]:
        code, text = self.run("status", "--json")
        return code, json.loads(text)["output"]


def use(plant: Plant, port: int) -> None:
    with plant.agent(port) as agent:
        agent.wait_for("alarm: the output follows")
        assert plant.run("release") == (0, "the alarm output is not held: it is off\n")
        plant.prediction = True
        agent.wait_for(r"alarm: the output is held on from sample \d+, until 'agent release'")
        code, said = plant.run("release")
        assert code == 1
        assert "stays on: the alarm is not over" in said
        plant.prediction = False
        agent.wait_for(r"alarm: off at sample \d+")
        assert plant.output() == (1, "held")
        code, said = plant.run("status")
        assert "alarm output      held since 20" in said
        assert "waits for a person ('agent release')" in said
        until(plant.held.exists)
        agent.kill()
    code, said = plant.run("release")
    assert code == 1
    assert said.startswith("no agent runs with its socket in ")
    with plant.agent(port, pins="none-of-them") as agent:
        agent.wait_for("GPIO17 cannot be used")
        agent.wait_for("streaming to")
        assert plant.output() == (1, "held")
        code, said = plant.run("release")
        assert (code, "stays held: its pin cannot be used" in said) == (1, True)
        agent.stop()
    with plant.agent(port) as agent:
        agent.wait_for(r"alarm: the output is held since .*, from before this start")
        agent.wait_for("alarm: the output follows")
        assert plant.output() == (1, "held")
        code, said = plant.run("release")
        assert code == 0
        assert said.endswith(" is released: it is off\n")
        agent.wait_for(r"alarm: .*\(uid \d+\).* releases the output, held since ")
        assert plant.output() == (0, "off")
        assert agent.stop() == 0
    assert not plant.held.exists()
    with plant.agent(port) as agent:
        agent.wait_for("alarm: the output follows")
        assert plant.output() == (0, "off")
        (plant.config.parent / "hot" / "release.sock").unlink()  # as one that has none
        code, said = plant.run("release")
        assert (code, "is of an older version: restart it first" in said) == (1, True)
        agent.stop()


async def test_an_output_is_held_over_a_kill_until_a_person_releases_it(
    tmp_path: Path, dataset: Path
) -> None:
    plant = Plant(tmp_path, dataset)
    async with scripted_broker(plant.script) as port:
        await asyncio.to_thread(use, plant, port)


def test_the_release_of_a_simulation_that_nobody_can_ask_says_so(
    tmp_path: Path, dataset: Path
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[source]\nkind = "replay"\npath = "{dataset}"\n')
    with Running(["agent", "release", "--config", str(config)]) as asking:
        assert asking.wait() == 1
    assert "give 'agent run' and 'agent release' the same --config" in asking.stderr
