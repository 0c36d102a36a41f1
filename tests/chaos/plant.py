"""The plant that is tortured: an agent and a broker, the network between, and their disks."""

import contextlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import msgspec
from support.processes import Running

from chaos.configuration import RATE_HZ, agent_toml, broker_toml, faked_time, spool_toml
from chaos.disk import Disk
from chaos.ledgers import AgentLedger, Entry
from chaos.logged_agent import LOGBOOK
from chaos.role import Role

TESTS = Path(__file__).parents[1]
DATASET = TESTS.parent / "dataset" / "sensors.csv"

# Enough for a run with room to spare; small enough to be filled in no time.
_AGENTS_DISK_MB = 24
_BROKERS_DISK_MB = 96

# With this a broker may refuse to start.
_NO_ROOM = ("database or disk is full", "disk I/O error", "No space left on device")

# Nothing is broken any more, and nothing that waits is far: who is not done by then never will be.
_MOST_TO_DRAIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the plant is built with."""

    snapshots: bool
    """Whether the black box can tell its state."""
    mounts: bool
    """Whether the two disks can be full."""
    faketime: Path | None
    """The library that makes the agent's clock step."""


class Plant:
    """Its processes, disks and clock. `home` is an empty directory, `seed` the network's.

    `tell` is for what belongs to a fault; complaints are collected on the way.
    """

    def __init__(
        self, home: Path, equipment: Equipment, seed: int, tell: Callable[[str], None]
    ) -> None:
        self.home = home
        self.tell = tell
        self._complaints: list[str] = []
        self.remembered: dict[str, Entry] = {}
        """What the agent's ledger said of each session before a fault that may make it forget."""
        self.rows = [line.split(",", 1)[1] for line in DATASET.read_text().splitlines()]
        self.logs = home / "logs"
        self.logbook = home / "predictions.csv"
        self.agent_config = home / "agent.toml"
        self.broker_config = home / "broker.toml"
        self.hot = home / "hot"
        self.store = home / "store" / "broker.db"
        self.token = f"CHAOS_RUN={secrets.token_hex(8)}"
        """In the environment of every process."""
        self._equipment = equipment
        self._seed = seed
        self._clock = home / "clock"
        self._csv = home / "samples.csv"
        self._remembered = 0  # times
        self._env = self._environment()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Build and start everything; end it all."""
        self.logs.mkdir()
        self.hot.mkdir()
        self._write_csv(self._csv, len(self.rows))
        self.set_clock(0)
        with contextlib.ExitStack() as stack:
            mounts = self._equipment.mounts
            self.agents_disk = Disk(self.home / "cold", _AGENTS_DISK_MB if mounts else None)
            stack.callback(self.agents_disk.unmount)
            self.brokers_disk = Disk(self.store.parent, _BROKERS_DISK_MB if mounts else None)
            stack.callback(self.brokers_disk.unmount)
            # Holds the broker's port while no broker does: the system gives it to nobody else.
            place = stack.enter_context(socket.socket())
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", 0))
            port = place.getsockname()[1]
            network = Running(["chaos.network", str(port), str(self._seed)], self._env, told=True)
            self.network = stack.enter_context(network)
            self._configure(port, int(network.wait_for(r"listening on (\d+)")[0]))
            self.broker, self.agent = self._roles()
            stack.callback(self.broker.leave)
            stack.callback(self.agent.leave)
            self.broker.start()
            self.start_agent()
            yield self

    def live(self, for_s: float) -> None:
        """Let time pass. What has ended by itself meanwhile is started again, and complained of."""
        time.sleep(max(0.0, for_s))
        if self.agent.ended_by_itself:
            self.agent.join(expected=())
            self.start_agent()
        if self.broker.ended_by_itself:
            self.broker.join(expected=())
            self.broker.start()
        if self.network.code is not None:
            raise RuntimeError(f"the network has ended:\n{self.network.stderr}")

    @property
    def complaints(self) -> list[str]:
        """What went wrong so far, beyond what was done to the plant."""
        return [*self._complaints, *self.agent.complaints, *self.broker.complaints]

    def complain(self, text: str) -> None:
        """Note what should not have happened."""
        self._complaints.append(text)

    def start_agent(self) -> None:
        """Start the agent on samples without end."""
        self.agent.start("--simulate", str(self._csv), "--loop")

    def set_clock(self, offset_s: int) -> None:
        """Have the agent's clock be so far off from now on."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.rename(self._clock)

    def remember_ledger(self) -> None:
        """Read the agent's ledger while there is no agent, as far as its files are whole.

        From copies: a disk that is full leaves no room even to read.
        """
        self._remembered += 1
        copies = self.logs / f"ledger-{self._remembered:03d}"
        hot, cold, config = copies / "hot", copies / "cold", copies / "agent.toml"
        shutil.copytree(self.hot, hot)
        shutil.copytree(self.agents_disk.path, cold, ignore=lambda *_: {Disk.BALLAST})
        config.write_text(spool_toml(hot, cold))
        code, text = self.command("agent", "ledger", "--config", str(config), "--json")
        (copies / "ledger.json").write_text(text)
        with contextlib.suppress(msgspec.MsgspecError):
            ledger = msgspec.json.decode(text, type=AgentLedger)
            if code and not ledger.damaged:
                self.complain(f"{copies}: the ledger did not balance")
            for entry in ledger.sessions:
                self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        """Of a session whose books went already, what they said at their best."""
        if before := self.remembered.get(entry.session_id):
            entry.sampled = max(entry.sampled, before.sampled)
            entry.waiting_ids += before.waiting_ids
        self.remembered[entry.session_id] = entry

    def drain(self, last_samples: int) -> None:
        """Sample so many more and let all be answered; then everything ends in good order."""
        csv = self.home / "last.csv"
        self._write_csv(csv, last_samples)
        self.agent.stop()
        self.agent.join()
        self.agent.start("--simulate", str(csv))
        code = self.agent.join(limit_s=last_samples / RATE_HZ + _MOST_TO_DRAIN_S)
        if code is None:
            self.complain("the last samples were not answered")
        self.broker.stop()
        self.broker.join()
        self.network.say_no_more()

    def keep_disks(self) -> None:
        """Copy what is on the two disks to where it outlives them."""
        if self._equipment.mounts:
            for disk in (self.agents_disk, self.brokers_disk):
                disk.relieve()
                shutil.copytree(disk.path, disk.path.with_suffix(".kept"))

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; its exit code and what it printed, errors if nothing else."""
        with Running(arguments, self._env) as running:
            code = running.wait()
        return code, running.stdout or running.stderr

    def _environment(self) -> dict[str, str]:
        search = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        name, _, value = self.token.partition("=")
        return {name: value, "PYTHONPATH": os.pathsep.join(search)}

    def _configure(self, broker_port: int, agents_port: int) -> None:
        self.agent_config.write_text(agent_toml(agents_port, self.hot, self.agents_disk.path))
        snapshots = self._equipment.snapshots
        self.broker_config.write_text(broker_toml(broker_port, self.store, snapshots=snapshots))

    def _roles(self) -> tuple[Role, Role]:
        broker = ["broker", "run", "--config", str(self.broker_config)]
        agent = ["chaos.logged_agent", "run", "--config", str(self.agent_config)]
        env = self._env | {LOGBOOK: str(self.logbook)}
        if self._equipment.faketime:
            env |= faked_time(self._equipment.faketime, self._clock)
        return (
            Role("broker", broker, self._env, self.logs, after_stop={0}, excuses=_NO_ROOM),
            Role("agent", agent, env, self.logs, after_stop={0, 1}),
        )

    def _write_csv(self, path: Path, count: int) -> None:
        path.write_text("".join(f"{row}\n" for row in islice(cycle(self.rows), count)))
