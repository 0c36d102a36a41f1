"""The fleet that is tortured: brokers with one database, agents, and the network between."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.patience import until
from support.ports import kept_port, unread
from support.processes import Running

from chaos.device import devices
from chaos.fleet.configuration import BROKERS, DATABASE, RATES_HZ, broker_toml
from chaos.fleet.database import Pair
from chaos.fleet.network import NOWHERE
from chaos.plant import TESTS
from chaos.role import Mark, Role

LISTENS = "listening on"

# Some samples, whatever else an agent's connection has to say.
_SAMPLES_BYTES = 100

# With this a broker may refuse to start; systemd would try again and again.
_NO_DATABASE = (
    *("no PostgreSQL server answers", "the server is a standby", "the server cannot be"),
    *("the server has ended the connection", "the server does not confirm a commit"),
)

_HOLDS = """
    SELECT agent_id, epoch, (
        SELECT text FROM events WHERE events.line = lines.line AND kind = 'opened'
        ORDER BY event DESC LIMIT 1
    )
    FROM lines JOIN brokers ON brokers.broker = lines.owner
    WHERE brokers.name LIKE '% ' || $1::text
"""
_BEGUN = "SELECT 1 FROM lines WHERE head > 0"
_TAKEN = "SELECT agent_id FROM lines WHERE agent_id = $1 AND epoch > $2"


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the site is built with."""

    predictor: str
    """The brokers' black box."""
    mounts: bool
    """Whether the disks of the database can be full."""
    is_fenced: bool = True
    """Whether the brokers are the product's as it is."""


class Member:
    """One of the brokers, and the proxies on its way to agents and database."""

    def __init__(
        self, number: int, port: int, role: Role, tell: Callable[[int, str], None]
    ) -> None:
        self.number = number
        self.port = port
        self.role = role
        self._tell = tell
        self._ports = [NOWHERE, NOWHERE]
        self._is_cut = False

    def tell_door(self, command: str) -> None:
        """Tell the proxy that the agents come through."""
        self._tell(self.number, command)

    def tell_cables(self, command: str) -> None:
        """Tell the proxies on its way to the database."""
        for place in range(len(self._ports)):
            self._tell(self._cable(place), command)

    def lead(self, place: int, port: int) -> None:
        """Have its way to one place of the database end at this port, unless it is cut."""
        self._ports[place] = port
        if not self._is_cut:
            self._tell(self._cable(place), f"to {port}")

    def cut_cables(self) -> None:
        """Reset its connections to the database, and refuse new ones."""
        self._is_cut = True
        self.tell_cables(f"to {NOWHERE}")
        self.tell_cables("cut")

    def mend_cables(self) -> None:
        """Let it reach the database again."""
        self._is_cut = False
        for place, port in enumerate(self._ports):
            self.lead(place, port)

    def _cable(self, place: int) -> int:
        return BROKERS + len(self._ports) * self.number + place


@dataclass(frozen=True, slots=True)
class Held:
    """A line that a broker has claimed, and the connection of its agent."""

    agent_id: str
    epoch: int
    port: int
    agents_port: int

    @property
    def has_samples(self) -> bool:
        """Whether samples have come for the broker, which is frozen, and no end of its stream."""
        return unread(self.port, self.agents_port) >= _SAMPLES_BYTES


@dataclass(frozen=True, slots=True)
class Woken:
    """A broker was frozen, and woke when another one had an agent whose samples it has yet."""

    member: Member
    mark: Mark
    """When it woke."""
    agent_id: str

    def is_due(self, within_s: float) -> bool:
        """Whether it has to be refused, by what it says now that it is awake, if it does in time.

        Its agent may have come back to it: then the new stream has ended the old one.
        """
        back = f"{self.agent_id} streams from .* the newer stream continues"
        said = self.member.role.process.hears(
            f"{self._refused}|{back}", after=self.mark.lines, within_s=within_s
        )
        return said is None or re.search(back, said) is None

    @property
    def is_refused(self) -> bool:
        """Whether it has said that its late commit was refused; once the process has ended."""
        return self.member.role.said_since(self.mark, self._refused)

    @property
    def _refused(self) -> str:
        return f"{self.agent_id} .*another broker has taken the line over"


class Site:
    """Its processes. `home` is an empty directory; complaints are collected on the way."""

    def __init__(self, home: Path, equipment: Equipment) -> None:
        self.home = home
        self.logs = home / "logs"
        self.token = f"CHAOS_RUN={secrets.token_hex(8)}"
        """In the environment of every process."""
        self.woken: list[Woken] = []
        self._equipment = equipment
        self._complaints: list[str] = []
        search = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        name, _, value = self.token.partition("=")
        self.env = {name: value, "PYTHONPATH": os.pathsep.join(search)}
        self.devices = devices(home, RATES_HZ, self.command)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Build and start everything; end it all."""
        self.logs.mkdir()
        self.home.chmod(0o755)  # the database's servers belong to another user
        with contextlib.ExitStack() as stack:
            arguments = ["chaos.fleet.network", str(BROKERS + 2 * BROKERS)]
            self._network = stack.enter_context(Running(arguments, self.env, told=True))
            ports = self._network.wait_for(r"listening on ([\d ]+)")[0].split()
            doors, cables = ports[:BROKERS], ports[BROKERS:]
            self.members = [
                self._member(number, stack.enter_context(kept_port()), cables[2 * number :][:2])
                for number in range(BROKERS)
            ]
            self.database = stack.enter_context(
                Pair(
                    self.home / "database", mounts=self._equipment.mounts, lead=self._lead
                ).running()
            )
            for member in self.members:
                stack.callback(member.role.leave)
                member.role.start()
                member.role.comes_up(LISTENS)
            addresses = [f"127.0.0.1:{port}" for port in doors]
            for device in self.devices:
                stack.enter_context(
                    device.running(addresses, self.env, mounts=False, faketime=None)
                )
            until(lambda: len(self.database.select(_BEGUN)) == len(self.devices))
            yield self

    def live(self, for_s: float) -> None:
        """Let time pass. A broker that found no database is started again, as systemd does."""
        time.sleep(max(0.0, for_s))
        for device in self.devices:
            device.check_alive()
        for member in self.members:
            if member.role.ended_by_itself:
                member.role.join(expected=())
                member.role.start()
        if self._network.code is not None:
            raise RuntimeError(f"the network has ended:\n{self._network.stderr}")

    @property
    def complaints(self) -> list[str]:
        """What went wrong so far, beyond what was done to the site."""
        of_devices = [complaint for device in self.devices for complaint in device.complaints]
        of_members = [complaint for member in self.members for complaint in member.role.complaints]
        return [*self._complaints, *of_devices, *of_members]

    def complain(self, text: str) -> None:
        """Note what should not have happened."""
        self._complaints.append(text)

    def holds(self, member: Member) -> list[Held]:
        """The agents whose lines are a broker's."""
        rows = self.database.select(_HOLDS, str(member.role.process.pid))
        return [
            Held(agent_id, epoch, member.port, int(opened.rpartition(":")[2]))
            for agent_id, epoch, opened in rows
            if opened
        ]

    def is_taken(self, held: Held) -> bool:
        """Whether somebody has claimed a line since."""
        return bool(self.database.select(_TAKEN, held.agent_id, held.epoch))

    def drain(self, last_samples: int) -> None:
        """Sample so many more and let all be answered; then everything but the database ends."""
        for device in self.devices:
            device.agent.stop()
        for device in self.devices:
            device.begin_last_session(-(-last_samples // len(self.devices)))
        for device in self.devices:
            device.end_last_session()
        for member in self.members:
            if member.role.runs:
                member.role.stop()
                member.role.join()
        self._network.say_no_more()

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; its exit code and what it printed, errors if nothing else."""
        with Running(arguments, self.env) as running:
            code = running.wait()
        return code, running.stdout or running.stderr

    def _member(self, number: int, port: int, cables: list[str]) -> Member:
        url = f"postgresql://postgres@127.0.0.1:{cables[0]},127.0.0.1:{cables[1]}/{DATABASE}"
        config = self.home / f"broker-{number + 1}.toml"
        config.write_text(broker_toml(port, url, self._equipment.predictor))
        program = "broker" if self._equipment.is_fenced else "chaos.fleet.unfenced"
        role = Role(
            f"broker-{number + 1}",
            [program, "run", "--config", str(config)],
            self.env,
            self.logs,
            after_stop={0},
            excuses=_NO_DATABASE,
        )
        member = Member(
            number, port, role, lambda proxy, said: self._network.tell(f"{proxy} {said}")
        )
        member.tell_door(f"to {port}")
        return member

    def _lead(self, place: int, port: int) -> None:
        for member in self.members:
            member.lead(place, port)
