"""Two machines with brokers, a database with a standby, all by the playbook; then two power cuts.

One story, in this order: pytest tests/machines/fleet.py (Debian, root).
"""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest
from support.chain import Chain

from agent.turn import ranked
from broker.model import Sample
from machines import PROJECT
from machines.container import Container, inventory, wait_until
from machines.databases import Cluster
from machines.login import free_port
from machines.plant import predictions, show
from machines.playbook import Run, play
from machines.wheelhouse import wheelhouse
from quartet.address import Address

_PASSWORD = "p:a\\ss w'ord"  # noqa: S105 - with all that its file must escape
_RATE_HZ = 50

# What a broker's own commands need: the password is root's.
_AS_ROOT = ("env", "PGPASSFILE=/etc/broker/pgpass", "broker")
_CONFIG = "--config=/etc/broker/broker.toml"

_SAMPLES = """
    SELECT agent_id, sessions.id, samples.id, sensor1, sensor2, sensor3, sensor4,
        samples.prediction::int
    FROM samples JOIN lines USING (line) JOIN sessions USING (session)
    ORDER BY agent_id, position
"""


@dataclass
class Fleet:
    """The machines; two of them are an agent's too, those that are never switched off."""

    one: Container
    two: Container
    primary: Cluster
    standby: Cluster
    inventory: Path

    @property
    def agents(self) -> list[Container]:
        return [self.two, self.standby.machine]

    def play(self, *options: str, **variables: object) -> Run:
        return play(self.inventory, *options, **variables)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    with (
        Container("trixie", "broker-1") as one,
        Container("bookworm", "broker-2") as two,
        Container("bookworm", "db-1") as first,
        Container("bookworm", "db-2") as second,
    ):
        primary, standby = Cluster(first), Cluster(second)
        primary.start()
        standby.follow(primary)
        fleet = Fleet(one, two, primary, standby, directory / "inventory.json")
        fleet.inventory.write_text(json.dumps(_hosts(fleet)))
        for machine in (one, two):
            machine.run("mkdir", "-p", "/etc/broker/predictors")
            chain = (PROJECT / "tests/support/chain.py").read_text()
            machine.run("tee", "/etc/broker/predictors/chain.py", input=chain)
        yield fleet


def _hosts(fleet: Fleet) -> dict[str, object]:
    """What the inventory says. All machines have the network of this one."""
    groups = json.loads(
        inventory(
            {
                "brokers": [fleet.one, fleet.two],
                "database": [fleet.primary.machine, fleet.standby.machine],
                "agents": fleet.agents,
            }
        )
    )
    ports = _ports(fleet.agents[0].name)
    for machine, port, processes in zip((fleet.one, fleet.two), ports, (1, 2), strict=True):
        groups["brokers"]["hosts"][machine.name] |= {
            "broker_host": "127.0.0.1",
            "broker_listen": f"127.0.0.1:{port}",
            "broker_processes": processes,
        }
    for cluster in (fleet.primary, fleet.standby):
        groups["database"]["hosts"][cluster.machine.name] |= {
            "postgres_host": "127.0.0.1",
            "postgres_port": cluster.port,
        }
    groups["database"]["vars"] = {
        "postgres_password": _PASSWORD,
        "postgres_networks": ["127.0.0.1/32"],
        "postgres_standby_names": f"ANY 1 ({fleet.standby.machine.name!r})".replace("'", '"'),
    }
    return groups | {
        "all": {
            "vars": {
                "agent_source": {"kind": "virtual"},
                "agent_sampling": {"rate_hz": _RATE_HZ},
                "broker_predictor": {"use": "chain:Chain"},
                "broker_generation": 1,
                "quartet_wheelhouse": str(wheelhouse(os.uname().machine)),
                "journal_persistent": True,
            }
        }
    }


def _ports(agent: str) -> tuple[int, int]:
    """Of the two machines; this agent's home is at the first one."""
    while True:
        one, two = free_port(), free_port()
        addresses = [Address("127.0.0.1", port) for port in (one, two, two + 1)]
        if two < 65_535 and ranked(agent, addresses)[0] == addresses[0]:
            return one, two


def books(machine: Container) -> dict[str, tuple[int, int]]:
    """Of each session of its agent, samples taken and answered. They must balance."""
    told = machine.run("agent", "ledger", "--config=/etc/agent/agent.toml", "--json")
    sessions = json.loads(told)["sessions"]
    return {each["session_id"]: (each["sampled"], each["answered"]) for each in sessions}


def answered(machine: Container) -> int:
    return sum(count for _, count in books(machine).values())


def broker_now(machine: Container) -> str:
    """The address that its agent streams to."""
    told = machine.run("sh", "-c", "agent status --config=/etc/agent/agent.toml --json || :")
    found: str = json.loads(told)["broker"]
    return found


def listens(machine: Container) -> str:
    """Where its broker does."""
    line = machine.run("grep", "^address", "/etc/broker/broker.toml")
    return line.split('"')[1]


def goes_on(fleet: Fleet, count: int) -> None:
    """Wait until each agent has so many more answers."""
    for machine in fleet.agents:
        least = answered(machine) + count
        wait_until(lambda m=machine, n=least: answered(m) >= n, 120, f"{machine.name}: answers")


def agree(machine: Container, broker: Container) -> bool:
    told = broker.run(*_AS_ROOT, "ledger", _CONFIG, "--json")
    machine.run("tee", "/srv/broker.json", input=told)
    compare = "agent ledger --config=/etc/agent/agent.toml --compare=/srv/broker.json"
    return machine.run("sh", "-c", f"{compare} >/dev/null && echo yes || :").strip() == "yes"


def undisturbed(cluster: Cluster) -> dict[str, dict[tuple[str, int], bool]]:
    """By agent, what one predictor that sees all its samples, once each, says to each."""
    rows = cluster.ask(_SAMPLES, "quartet")
    found: dict[str, dict[tuple[str, int], bool]] = {}
    for agent, samples in groupby(rows, key=itemgetter(0)):
        box, said = Chain(), found.setdefault(agent, {})
        for _, session, id_, *values, recorded in samples:
            key = session, int(id_)
            assert key not in said
            said[key] = box.predict(Sample(int(id_), _floats(values)))
            assert recorded == str(int(said[key]))
    return found


def _floats(texts: list[str]) -> tuple[float, float, float, float]:
    one, two, three, four = struct.unpack("4f", struct.pack("4f", *map(float, texts)))
    return one, two, three, four


def logged(machine: Container) -> dict[tuple[str, int], bool]:
    """The predictions in its journal; one that is there twice is there with one value."""
    found: dict[tuple[str, int], bool] = {}
    for entry in predictions(machine):
        prediction = entry["PREDICTION"] == "1"
        key = entry["SESSION_ID"], int(entry["SAMPLE_ID"])
        assert found.setdefault(key, prediction) == prediction
    return found


def test_the_playbook_makes_brokers_agents_and_their_database(fleet: Fleet) -> None:
    run = fleet.play()
    assert run.went_well, run.text
    assert _PASSWORD not in run.text
    assert "SCRAM" not in run.text
    said = fleet.two.run("journalctl", "--unit=broker", "--unit=broker@2", "--output=cat")
    assert said.count("each commit waits for a standby") == 2
    lists = {m.run("grep", "^address", "/etc/agent/agent.toml") for m in fleet.agents}
    assert len(lists) == 1
    assert lists.pop().count("127.0.0.1:") == 3
    goes_on(fleet, 100)


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    pids = [show(fleet.two, unit, "MainPID") for unit in ("broker", "broker@2")]
    run = fleet.play("--diff")
    assert run.went_well, run.text
    assert not any(run.changed.values()), run.text
    assert [show(fleet.two, unit, "MainPID") for unit in ("broker", "broker@2")] == pids


def test_the_password_is_where_root_and_the_brokers_read_it_and_nowhere_else(fleet: Fleet) -> None:
    for machine in (fleet.one, fleet.two):
        assert machine.run("stat", "--format=%a %U", "/etc/broker/pgpass").strip() == "600 root"
        files = "grep -rlF 'ss w' /etc/broker /var/log/journal /opt/quartet/broker/started || :"
        assert machine.run("sh", "-c", files).split() == ["/etc/broker/pgpass"]
    assert fleet.primary.ask("SHOW synchronous_standby_names") == [['ANY 1 ("db-2")']]


def test_the_second_process_is_a_service_as_the_first_one_is(fleet: Fleet) -> None:
    machine = fleet.two
    unit = "/etc/systemd/system/broker@.service"
    assert not machine.run("sh", "-c", f"systemd-analyze verify {unit} 2>&1")
    machine.run("systemd-analyze", "security", "--threshold=10", "broker@2.service")
    assert show(machine, "broker@2", "WatchdogUSec") == "30s"
    assert show(machine, "broker@2", "User") == "broker"
    assert "stream" in show(machine, "broker@2", "StatusText")
    assert machine.run("systemctl", "is-enabled", "broker@2").strip() == "enabled"
    pid = show(machine, "broker@2", "MainPID")
    machine.run("systemctl", "reload", "broker@2")
    assert show(machine, "broker@2", "MainPID") == pid
    machine.run("kill", "-9", pid)
    wait_until(lambda: show(machine, "broker@2", "MainPID") not in {"0", pid}, 60, "another one")
    machine.wait_until("systemctl", "is-active", "broker@2", timeout_s=60)
    goes_on(fleet, 50)


def test_brokers_take_a_new_setting_one_after_the_other(fleet: Fleet) -> None:
    run = fleet.play("--limit=brokers", broker_generation=2)
    assert run.went_well, run.text
    times = [
        int(show(machine, unit, f"{when}TimestampMonotonic"))
        for machine, unit in ((fleet.one, "broker"), (fleet.two, "broker"), (fleet.two, "broker@2"))
        for when in ("InactiveEnter", "ActiveEnter")
    ]
    assert times == sorted(times)
    goes_on(fleet, 50)
    run = fleet.play("--limit=brokers", broker_generation=2)
    assert not any(run.changed.values()), run.text


def test_the_power_of_a_broker_goes_and_then_that_of_the_primary(fleet: Fleet) -> None:
    """Under load. Every sample has the one answer that it would have had without."""
    fleet.agents[0].run("systemctl", "restart", "agent")  # it starts at its home
    goes_on(fleet, 200)
    assert broker_now(fleet.agents[0]) == listens(fleet.one)
    fleet.one.switch_off()
    goes_on(fleet, 400)
    fleet.primary.machine.switch_off()
    fleet.standby.promote()
    goes_on(fleet, 400)
    for machine in fleet.agents:
        machine.run("systemctl", "stop", "agent")
        machine.run("journalctl", "--sync")
        assert all(sampled == count for sampled, count in books(machine).values())
        wait_until(lambda m=machine: agree(m, fleet.two), 60, "the ledgers agree")
    expected = undisturbed(fleet.standby)
    assert expected == {machine.name: logged(machine) for machine in fleet.agents}
    for machine in fleet.agents:
        ids = {(session, id_) for session, (n, _) in books(machine).items() for id_ in range(n)}
        assert expected[machine.name].keys() == ids
