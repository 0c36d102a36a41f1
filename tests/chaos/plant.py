"""The plant that is tortured: a broker with its store, three agents, the network between."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.ports import kept_port
from support.processes import Running

from chaos.configuration import RATES_HZ, broker_toml
from chaos.device import Device, devices
from chaos.disk import Disk
from chaos.records import Taken
from chaos.role import Role

TESTS = Path(__file__).parents[1]

# Enough for a run with room to spare; small enough to be filled in no time.
_BROKERS_DISK_MB = 96

# With this a broker may refuse to start.
_NO_ROOM = (
    "database or disk is full",
    "disk I/O error",
    "No space left on device",
    "unable to open database file",  # there is no inode for its log
)


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the plant is built with."""

    predictor: str
    """The broker's black box."""
    mounts: bool
    """Whether the disks can be full."""
    faketime: Path | None
    """The library that makes an agent's clock step."""
    max_bytes: int = 1 << 30
    """Of the store."""


class Plant:
    """Its processes and disks. `home` is an empty directory, `seed` the network's.

    `tell` is for what belongs to a fault; complaints are collected on the way.
    """

    def __init__(
        self, home: Path, equipment: Equipment, seed: int, tell: Callable[[str], None]
    ) -> None:
        self.home = home
        self.tell = tell
        self._complaints: list[str] = []
        self.taken: list[Taken] = []
        """What faults took of the broker's records."""
        self.logs = home / "logs"
        self.broker_config = home / "broker.toml"
        self.backups = home / "backups"
        self.store = home / "store" / "data" / "broker.db"
        self.token = f"CHAOS_RUN={secrets.token_hex(8)}"
        """In the environment of every process."""
        self._equipment = equipment
        self._seed = seed
        self._env = self._environment()
        self.devices = devices(home, RATES_HZ, self.command)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Build and start everything; end it all."""
        self.logs.mkdir()
        self.backups.mkdir()
        with contextlib.ExitStack() as stack:
            mounts = self._equipment.mounts
            self.disk = Disk(self.home / "store", _BROKERS_DISK_MB if mounts else None)
            stack.callback(self.disk.unmount)
            self.port = stack.enter_context(kept_port())
            arguments = ["chaos.network", str(self.port), str(self._seed), str(len(self.devices))]
            self.network = stack.enter_context(Running(arguments, self._env, told=True))
            predictor, max_bytes = self._equipment.predictor, self._equipment.max_bytes
            self.broker_config.write_text(broker_toml(self.port, self.store, predictor, max_bytes))
            command = ["broker", "run", "--config", str(self.broker_config)]
            self.broker = Role(
                "broker", command, self._env, self.logs, after_stop={0}, excuses=_NO_ROOM
            )
            stack.callback(self.broker.leave)
            self.broker.start()
            ports = self.network.wait_for(r"listening on ([\d ]+)")[0].split()
            for device, port in zip(self.devices, ports, strict=True):
                stack.enter_context(
                    device.running(
                        [f"127.0.0.1:{port}"],
                        self._env,
                        mounts=mounts,
                        faketime=self._equipment.faketime,
                    )
                )
            yield self

    def live(self, for_s: float) -> None:
        """Let time pass. What has ended by itself meanwhile is started again, and complained of."""
        time.sleep(max(0.0, for_s))
        for device in self.devices:
            device.check_alive()
        if self.broker.ended_by_itself:
            self.broker.join(expected=())
            self.broker.start()
        if self.network.code is not None:
            raise RuntimeError(f"the network has ended:\n{self.network.stderr}")

    @property
    def complaints(self) -> list[str]:
        """What went wrong so far, beyond what was done to the plant."""
        of_devices = [complaint for device in self.devices for complaint in device.complaints]
        return [*self._complaints, *of_devices, *self.broker.complaints]

    def complain(self, text: str) -> None:
        """Note what should not have happened."""
        self._complaints.append(text)

    def drain(self, last_samples: int) -> None:
        """Sample so many more and let all be answered; then everything ends in good order."""
        for device in self.devices:
            device.agent.stop()
        for device in self.devices:
            device.begin_last_session(-(-last_samples // len(self.devices)))
        for device in self.devices:
            device.end_last_session()
        self.broker.stop()
        self.broker.join()
        self.network.say_no_more()

    def keep_disks(self) -> None:
        """Copy what is on the disks to where it outlives them."""
        if self._equipment.mounts:
            for device in self.devices:
                device.keep_disks()
            self.disk.relieve()
            shutil.copytree(self.disk.path, self.disk.root.with_suffix(".kept"))

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; its exit code and what it printed, errors if nothing else."""
        with Running(arguments, self._env) as running:
            code = running.wait()
        return code, running.stdout or running.stderr

    def tell_network(self, device: Device, command: str) -> None:
        """Tell the proxy between an agent and the broker."""
        self.network.tell(f"{self.devices.index(device)} {command}")

    def _environment(self) -> dict[str, str]:
        search = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        name, _, value = self.token.partition("=")
        return {name: value, "PYTHONPATH": os.pathsep.join(search)}
