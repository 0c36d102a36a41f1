"""Several agents on one machine, by the playbook.

One story, in this order: pytest tests/machines/named.py (Debian, root).
"""

import json
from collections.abc import Iterator

import pytest

from machines.container import Container
from machines.plant import Plant, project_of, show

OIL = {"source": {"kind": "virtual", "address": 0x49}, "sampling": {"rate_hz": 5}}
WATER = {"id": "water", "source": {"kind": "virtual"}}

# An agent that ends at once, where it is the one of that name.
_ILL = (
    "agent/app.py",
    "    clock = SystemClock()\n",
    "    import os\n"
    '    if "oil" in os.environ["RUNTIME_DIRECTORY"]:\n'
    "        raise SystemExit(3)\n"
    "    clock = SystemClock()\n",
)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A machine with the broker, and with all the agents."""
    with Container("trixie") as machine:
        yield Plant(tmp_path_factory.mktemp("device"), machine, machine)


def streams_as(machine: Container, unit: str) -> set[str]:
    """The names under which the present process of a unit has had predictions."""
    process = f"_SYSTEMD_INVOCATION_ID={show(machine, unit, 'InvocationID')}"
    lines = machine.run(
        *("journalctl", "--output=json", "--no-pager"),
        *(process, "PREDICTION=0", "+", process, "PREDICTION=1"),
    )
    return {json.loads(line)["AGENT_ID"] for line in lines.splitlines()}


def test_each_agent_of_the_inventory_streams_under_its_own_name(device: Plant) -> None:
    run = device.play(agent_named={"oil": OIL, "water": WATER})
    assert run.went_well, run.text
    names = {"agent": "trixie", "agent@oil": "trixie-oil", "agent@water": "water"}
    for unit, name in names.items():
        assert streams_as(device.trixie, unit) == {name}
        assert device.trixie.run("systemctl", "is-enabled", unit).strip() == "enabled"
    for name in ("oil", "water"):
        said = device.trixie.run("agent", "status", name, "--json", check=False)
        assert json.loads(said)["link"] == "streaming"
        device.trixie.run("agent", "ledger", name)


def test_a_second_run_changes_nothing(device: Plant) -> None:
    started = show(device.trixie, "agent@oil", "MainPID")
    run = device.play(agent_named={"oil": OIL, "water": WATER})
    assert run.went_well, run.text
    assert not any(run.changed.values()), run.text
    assert show(device.trixie, "agent@oil", "MainPID") == started


def test_one_that_leaves_the_inventory_goes_and_its_samples_stay(device: Plant) -> None:
    started = show(device.trixie, "agent", "MainPID")
    run = device.play(agent_named={"oil": OIL})
    assert run.went_well, run.text
    assert "agent@water is removed; its samples stay in /var/lib/agent/water" in run.text
    assert show(device.trixie, "agent@water", "ActiveState") == "inactive"
    device.trixie.run("test", "!", "-e", "/etc/agent/water.toml")
    device.trixie.run("test", "-e", "/var/lib/agent/water/spool.db")
    assert show(device.trixie, "agent", "MainPID") == started


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"oil": {"source": {"kind": "ads1115"}}, "b": {}}, "the chip at 0x48 on bus 1: two"),
        ({"oil": {**OIL, "sorce": {}}}, "agent_named.oil: expected a name"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_changed(
    named: dict[str, object], reason: str, device: Plant
) -> None:
    started = show(device.trixie, "agent@oil", "MainPID")
    run = device.play(agent_named=named)
    assert run.failed["trixie"] == 1
    assert reason in " ".join(run.text.split()), run.text
    assert show(device.trixie, "agent@oil", "MainPID") == started


def test_an_upgrade_that_a_named_agent_cannot_follow_goes_back_for_all(device: Plant) -> None:
    machine = device.trixie
    sums = "cd /etc; sha256sum agent/* systemd/system/agent*.service{,.d/*}"
    before = machine.run("bash", "-c", sums)
    former = machine.run("readlink", "/opt/quartet/agent/current")
    project = project_of(device, "0.1.1", _ILL)
    run = device.play(project=project, service_smoke_s=10, agent_named={"oil": OIL, "b": WATER})
    assert run.failed["trixie"] == 1
    assert "agent@oil does not work" in run.text
    assert "runs again, with its configuration." in run.text
    assert machine.run("readlink", "/opt/quartet/agent/current") == former
    assert machine.run("bash", "-c", sums) == before
    assert show(machine, "agent@b", "ActiveState") == "inactive"
    for unit, name in {"agent": "trixie", "agent@oil": "trixie-oil"}.items():
        assert streams_as(machine, unit) == {name}


def test_they_go_with_the_first_one(device: Plant) -> None:
    project = project_of(device, "0.1.1")  # the broker has it by now
    run = device.play(project=project, agent_state="absent", agent_named={"oil": OIL})
    assert run.went_well, run.text
    left = "ls -d /opt/quartet/agent /etc/agent /etc/systemd/system/agent* || :"
    assert not device.trixie.run("sh", "-c", left)
    assert show(device.trixie, "agent@oil", "ActiveState") == "inactive"
    device.trixie.run("test", "-e", "/var/lib/agent/oil/spool.db")
