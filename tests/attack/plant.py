"""A broker under attack, and an agent that it serves meanwhile."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import Agent, Broker
from support.trust import Plant

from attack.attacks import Attack, Target

# So many of its samples are answered before and after an attack.
_WELL = 20


@dataclass(frozen=True)
class Outcome:
    """What came of an attack, and how the agent and the broker fared."""

    came_of_it: str
    answered: int
    p99_ms: float
    rss_mb: tuple[int, int]
    """Of the broker: before and after."""


class UnderAttack:
    """The broker, and what an attacker has of its own."""

    def __init__(self, broker: Broker, plant: Plant, dataset: Path, chance: random.Random) -> None:
        self.broker = broker
        self._healthy = plant.agent_toml(broker.address, "healthy", plant.ca.issue("healthy"))
        self._dataset = dataset
        scratch = plant.directory / "scratch"
        scratch.mkdir()
        self._target = Target(broker.port, plant, plant.ca.issue("insider"), scratch, chance)

    def attack(self, attack: Attack, count: int) -> Outcome:
        """Attack; AssertionError where the agent's samples are not all answered on one stream."""
        with Agent(
            *("--config", self._healthy, "--simulate", str(self._dataset)),
            *("--loop", "--rate", "100"),
        ) as agent:
            agent.wait_for(" sample ", _WELL)
            before_mb = self._rss_mb()
            came_of_it = attack(self._target, count)
            answered = agent.stderr.count(" sample ")
            agent.wait_for(" sample ", answered + _WELL)
            assert agent.stop() == 0, agent.stdout
        assert "reconnects        0\n" in agent.stdout, agent.stderr
        assert self.broker.code is None, self.broker.stderr
        assert "Traceback" not in self.broker.stderr, self.broker.stderr
        p99 = re.search(r"p99 ([0-9.]+) ms", agent.stdout)
        assert p99
        predictions = re.search(r"predictions +(\d+)", agent.stdout)
        assert predictions
        return Outcome(came_of_it, int(predictions[1]), float(p99[1]), (before_mb, self._rss_mb()))

    def _rss_mb(self) -> int:
        status = Path(f"/proc/{self.broker.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1]) // 1024


@contextmanager
def under_attack(directory: Path, dataset: Path, seed: int) -> Iterator[UnderAttack]:
    """A plant of its own, while entered."""
    plant = Plant(directory)
    with Broker("--config", plant.broker_toml()) as broker:
        yield UnderAttack(broker, plant, dataset, random.Random(seed))  # noqa: S311
