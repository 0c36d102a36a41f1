"""A plant as a person deploys it: an inventory, the playbook, and the machines that it reaches."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from machines import PROJECT
from machines.container import Container, inventory
from machines.login import free_port
from machines.playbook import Run, play
from machines.wheelhouse import wheelhouse


class Plant:
    """Two machines, of which the first is the broker's too."""

    def __init__(self, directory: Path, trixie: Container, bookworm: Container) -> None:
        self.directory = directory
        self.trixie, self.bookworm = trixie, bookworm
        self.machines = (trixie, bookworm)
        hosts = json.loads(inventory({"brokers": [trixie], "agents": [trixie, bookworm]}))
        hosts["all"] = {
            "vars": {
                # On the host's network, which the machines share.
                "agent_broker_address": (address := f"127.0.0.1:{free_port()}"),
                "broker_listen": address,
                "broker_console": True,
                "broker_console_listen": f"127.0.0.1:{free_port()}",
                "agent_source": {"kind": "virtual"},
                "quartet_wheelhouse": str(wheelhouse(os.uname().machine)),
                "journal_persistent": True,
            }
        }
        self._inventory = directory / "inventory.json"
        self._inventory.write_text(json.dumps(hosts))

    def play(self, *options: str, project: Path = PROJECT, **variables: object) -> Run:
        """Run the playbook, of this project or of another, with extra variables."""
        return play(self._inventory, *options, project=project, **variables)


def project_of(plant: Plant, version: str, *breaks: tuple[str, str, str]) -> Path:
    """A copy of the project with another version, and lines of its files replaced."""
    copy = plant.directory / f"quartet-{version}"
    if not copy.exists():
        ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(PROJECT, copy, ignore=ignored)
        shutil.rmtree(copy / "build", ignore_errors=True)
        for name, former, latest in (("pyproject.toml", '"0.1.0"', f'"{version}"'), *breaks):
            text = (copy / name).read_text()
            assert former in text
            (copy / name).write_text(text.replace(former, latest))
    return copy


def release(machine: Container, side: str) -> str:
    """The release whose process runs there, whatever `current` names."""
    command = machine.run("cat", f"/proc/{show(machine, side, 'MainPID')}/cmdline")
    return Path(command.partition("\0")[0]).parts[4]


def show(machine: Container, unit: str, name: str) -> str:
    """A property of a unit."""
    return machine.run("systemctl", "show", "--value", f"--property={name}", unit).strip()


def predictions(machine: Container, *matches: str) -> list[dict[str, str]]:
    """The entries of predictions in its journal, the oldest first."""
    lines = machine.run(
        *("journalctl", "--unit=agent", "--output=json", "--no-pager"),
        *("PREDICTION=0", "+", "PREDICTION=1", *matches),
    )
    return [json.loads(line) for line in lines.splitlines()]


def ledger(machine: Container, side: str, *options: str) -> str:
    """What `agent ledger` or `broker ledger` says there; it must balance."""
    return machine.run(side, "ledger", f"--config=/etc/{side}/{side}.toml", *options)


def waiting(machine: Container) -> int:
    """How many samples of its agent wait for an answer."""
    sessions = json.loads(ledger(machine, "agent", "--json"))["sessions"]
    return sum(session["waiting"] for session in sessions)


def agree(broker: Container, machine: Container) -> bool:
    """Whether the ledgers of a machine's agent and of the broker have the same samples."""
    machine.run("tee", "/srv/broker.json", input=ledger(broker, "broker", "--json"))
    try:
        ledger(machine, "agent", "--compare=/srv/broker.json")
    except subprocess.CalledProcessError:
        return False
    return True
