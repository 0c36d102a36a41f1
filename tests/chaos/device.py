"""One of the agents that are tortured: its process, its two directories, its link, its clock."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import msgspec

from agent.local import RELEASE_SOCKET, SOCKET
from agent.spool.directories import FILE
from chaos.configuration import agent_toml, faked_time, spool_toml
from chaos.disk import Disk
from chaos.ledgers import AgentLedger, Entry
from chaos.logged_agent import LOGBOOK
from chaos.role import Role
from chaos.words import IS_UP

# Enough for a run with room to spare; small enough to be filled in no time.
_HOT_MB = 8
_COLD_MB = 24

# Nothing is broken any more, and nothing that waits is far: who is not done by then never will be.
_MOST_TO_DRAIN_S = 90.0

_DATASET = Path(__file__).parents[2] / "dataset" / "sensors.csv"

# The distance of the rows with which two agents begin: nobody's samples are like another's.
_ROWS_APART = 97

Command = Callable[..., tuple[int, str]]


class Device:
    """An agent, run again and again, and what is its own. `home` is a directory that it makes.

    `rows` are the CSV's, which each session replays from the first one on; `command` runs a
    program of the product.
    """

    def __init__(
        self,
        agent_id: str,
        home: Path,
        rows: Sequence[str],
        rate_hz: float,
        *,
        command: Command,
    ) -> None:
        self.agent_id = agent_id
        self.home = home
        self.rows = rows
        self.config = home / "agent.toml"
        self.logs = home / "logs"
        self.logbook = home / "predictions.csv"
        self.remembered: dict[str, Entry] = {}
        """What the agent's ledger said of each session before a fault that may make it forget."""
        self.robbed = False
        """Whether a fault has hit its files: only then may its books call a sample unknown."""
        self._rate_hz = rate_hz
        self._command = command
        self._complaints: list[str] = []
        self._clock = home / "clock"
        self._csv = home / "samples.csv"
        self._remembered = 0  # times
        self._spoiled_at: int | None = None  # the number of starts before it

    @contextlib.contextmanager
    def running(
        self,
        addresses: Sequence[str],
        env: Mapping[str, str],
        *,
        mounts: bool,
        faketime: Path | None,
    ) -> Iterator[Self]:
        """Build and start it, with the brokers at these addresses; end it all."""
        self.home.mkdir()
        self.logs.mkdir()
        self._write_csv(self._csv, len(self.rows))
        self.set_clock(0)
        with contextlib.ExitStack() as stack:
            self.hot = Disk(self.home / "hot", _HOT_MB if mounts else None)
            stack.callback(self.hot.unmount)
            self.cold = Disk(self.home / "cold", _COLD_MB if mounts else None)
            stack.callback(self.cold.unmount)
            directories = self.hot.path, self.cold.path
            self.config.write_text(
                agent_toml(self.agent_id, addresses, self._rate_hz, *directories)
            )
            env = {**env, LOGBOOK: str(self.logbook)}
            if faketime:
                env |= faked_time(faketime, self._clock)
            arguments = ["chaos.logged_agent", "run", "--config", str(self.config)]
            self.agent = Role("agent", arguments, env, self.logs, after_stop={0, 1})
            stack.callback(self.agent.leave)
            self.start()
            yield self

    def start(self) -> None:
        """Start the agent on samples without end."""
        self.agent.start("--simulate", str(self._csv), "--loop")

    def check_alive(self) -> None:
        """Start an agent again that has ended by itself, and complain."""
        if self.agent.ended_by_itself:
            self.agent.join(expected=())
            self.start()

    @property
    def complaints(self) -> list[str]:
        """What went wrong so far, beyond what was done to it."""
        every = (*self._complaints, *self.agent.complaints)
        return [f"{self.agent_id}: {complaint}" for complaint in every]

    def complain(self, text: str) -> None:
        """Note what should not have happened."""
        self._complaints.append(text)

    def set_clock(self, offset_s: int) -> None:
        """Have the agent's clock be so far off from now on."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.rename(self._clock)

    def remember_ledger(self) -> None:
        """Read the agent's ledger while its process is dead or frozen, as far as files are whole.

        From copies: a disk that is full leaves no room even to read.
        """
        self.robbed = True
        self._remembered += 1
        copies = self.logs / f"ledger-{self._remembered:03d}"
        hot, cold, config = copies / "hot", copies / "cold", copies / "agent.toml"
        shutil.copytree(self.hot.path, hot, ignore=shutil.ignore_patterns(SOCKET, RELEASE_SOCKET))
        shutil.copytree(self.cold.path, cold)
        config.write_text(spool_toml(hot, cold))
        _, text = self._command("agent", "ledger", "--config", str(config), "--json")
        (copies / "ledger.json").write_text(text)
        with contextlib.suppress(msgspec.MsgspecError):
            ledger = msgspec.json.decode(text, type=AgentLedger)
            is_readable = not (ledger.damaged or self._is_spoiled())
            is_disk_there = (cold / FILE).exists()
            for entry in ledger.sessions:
                if is_readable and not entry.balances(is_disk_there=is_disk_there):
                    self.complain(f"{copies}: the ledger did not balance")
                self._remember(entry)

    def note_spoiled(self) -> None:
        """A fault has changed the content of its files."""
        self._spoiled_at = self.agent.starts

    def _is_spoiled(self) -> bool:
        """Whether files are as a fault has left them: no agent has opened its spool since then."""
        return self._spoiled_at is not None and not self.agent.has_said(IS_UP, self._spoiled_at)

    def _remember(self, entry: Entry) -> None:
        """Of a session whose books went already, what they said at their best."""
        if before := self.remembered.get(entry.session_id):
            entry.sampled = max(entry.sampled, before.sampled)
            entry.waiting_ids += before.waiting_ids
        self.remembered[entry.session_id] = entry

    def begin_last_session(self, samples: int) -> None:
        """Start the agent, once it has stopped, for so many samples; then all is to be answered."""
        csv = self.home / "last.csv"
        self._write_csv(csv, samples)
        self.agent.join()
        self.agent.start("--simulate", str(csv))
        self._done_by_s = time.monotonic() + samples / self._rate_hz + _MOST_TO_DRAIN_S

    def end_last_session(self) -> None:
        """Wait until all is answered; complains where that does not come."""
        code = self.agent.join(limit_s=max(0.0, self._done_by_s - time.monotonic()))
        if code is None:
            self.complain("the last samples were not answered")

    def keep_disks(self) -> None:
        """Copy what is on the disks to where it outlives them."""
        for disk in (self.hot, self.cold):
            disk.relieve()
            kept = disk.root.with_suffix(".kept")
            shutil.copytree(disk.path, kept, ignore=shutil.ignore_patterns(SOCKET, RELEASE_SOCKET))

    def _write_csv(self, path: Path, count: int) -> None:
        path.write_text("".join(f"{row}\n" for row in islice(cycle(self.rows), count)))


def devices(home: Path, rates_hz: Mapping[str, float], command: Command) -> list[Device]:
    """A device for each agent id, below `home`; all replay the data set, from different rows."""
    rows = [line.split(",", 1)[1] for line in _DATASET.read_text().splitlines()]
    return [
        Device(
            agent_id,
            home / agent_id,
            rows[number * _ROWS_APART :] + rows[: number * _ROWS_APART],
            rate_hz,
            command=command,
        )
        for number, (agent_id, rate_hz) in enumerate(rates_hz.items())
    ]
