"""Deployed to a Raspberry Pi's architecture, kernel, bus and pins: what a container cannot show.

pytest tests/machines/arm64/deployment.py (root; `make e2e-arm64`)
"""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines.arm64.machine import HOST, Machine, until
from machines.playbook import play
from machines.wheelhouse import wheelhouse
from support.processes import Broker

# The machine is emulated, its root may have to be made, and a first run installs.
pytestmark = pytest.mark.timeout(3600)

PATIENCE_S = 120.0
ALARM_PIN = 4  # of the eight that this machine has
MEMORY_BYTES = 256 << 20  # what the unit allows

PYTHON = "/opt/quartet/agent/current/bin/python"
CONFIG = "/etc/agent/agent.toml"
CGROUP = "/sys/fs/cgroup/system.slice/agent.service"

# A transient service with the bus and nothing else, as an unprivileged user.
SERVICE = "-p DynamicUser=yes -p SupplementaryGroups=i2c -p DevicePolicy=closed"
BUS_ALLOWED = "-p 'DeviceAllow=char-i2c rw'"

QUIET = "volts 0.1 0.1 0.1 0.1"  # which the broker's default finds in order

BROKER = """\
[tls]
certificate = "{pki}/broker.pem"
key = "{pki}/broker.key"
client_ca = "{pki}/ca.pem"
crl = "{pki}/crl.pem"
"""

# Reads A0 by Adafruit's driver.
READ_A0 = """
from adafruit_ads1x15.ads1115 import ADS1115
from adafruit_ads1x15.analog_in import AnalogIn
from adafruit_extended_bus import ExtendedI2C
print(round(AnalogIn(ADS1115(ExtendedI2C(1)), 0).voltage, 3))
"""

# One transfer, by the library below it: the number of its error, 0 for none.
TRANSFER = """
from Adafruit_PureIO.smbus import SMBus
try:
    SMBus(1).read_i2c_block_data(0x48, 1, 2)
    print(0)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("arm64")) as machine:
        yield machine


@pytest.fixture(scope="module")
def inventory(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An inventory of the machine. Its broker is on this host, and runs until the end."""
    directory = tmp_path_factory.mktemp("plant")
    pki = directory / "pki"
    init = ("broker", "pki", "init", "--dir", str(pki), "--host", HOST)
    subprocess.run([sys.executable, "-m", *init], check=True, capture_output=True)
    settings = directory / "broker.toml"
    settings.write_text(BROKER.format(pki=pki))
    with Broker("--config", str(settings)) as broker:
        variables = {
            "agent_broker_address": f"{HOST}:{broker.port}",
            "agent_source": {"kind": "ads1115"},
            "agent_sampling": {"rate_hz": 1},
            "agent_outputs": {"alarm": {"pin": ALARM_PIN}},
            "quartet_wheelhouse": str(wheelhouse("aarch64")),
        }
        hosts = {machine.name: machine.ansible_variables}
        groups = {"all": {"vars": variables}, "agents": {"hosts": hosts}}
        path = directory / "inventory.json"
        path.write_text(json.dumps(groups))
        yield path


@pytest.fixture(scope="module")
def deployed(machine: Machine, inventory: Path) -> Machine:
    run = play(inventory)
    assert run.went_well, run.text
    return machine


@pytest.fixture
def ordered(deployed: Machine) -> Iterator[Machine]:
    """The machine, with its chip in order before and after."""
    yield deployed
    for command in ("nack 0", "plug", QUIET):
        deployed.chip(command)


@pytest.fixture
def agent(ordered: Machine) -> Machine:
    """The machine with its agent at work."""
    ordered.run("systemctl start agent")
    return ordered


@pytest.fixture
def chip(ordered: Machine) -> Machine:
    """The machine with nobody else at its chip."""
    ordered.run("systemctl stop agent")
    return ordered


def transient(machine: Machine, properties: str, command: str) -> tuple[int, str]:
    """The exit code of a command in a service of its own, and all that is said of it."""
    done = machine.attempt(f"systemd-run --wait --pipe {properties} {command}")
    return done.returncode, done.stdout + done.stderr


def level(machine: Machine) -> str:
    """What the pin of the alarm is driven to: hi or lo; nothing where nobody drives it."""
    lines = machine.run("cat /sys/kernel/debug/gpio").splitlines()
    return next((line.split()[-1] for line in lines if " out " in line), "")


def show(machine: Machine, *names: str) -> list[str]:
    """Properties of the agent's unit, in the order of systemd's own."""
    asked = " ".join(f"--property={name}" for name in names)
    return machine.run(f"systemctl show agent {asked}").splitlines()


def predictions(machine: Machine, matches: str = "") -> list[dict[str, str]]:
    """The predictions of the agent's latest run in the machine's journal, oldest first."""
    lines = machine.run(f"journalctl --unit agent --output json {matches}").splitlines()
    found = [entry for line in lines if "SAMPLE_ID" in (entry := json.loads(line))]
    return [entry for entry in found if entry["SESSION_ID"] == found[-1]["SESSION_ID"]]


def is_reading(entry: dict[str, str]) -> list[bool]:
    """Of each sensor, whether the sample has a reading of it."""
    return [entry[f"SENSOR{number}"] != "nan" for number in range(1, 5)]


def test_there_is_one_chip_on_the_bus(machine: Machine) -> None:
    rows = machine.run("i2cdetect -y 1").splitlines()[1:]
    assert [cell for row in rows for cell in row[4:].split() if cell != "--"] == ["48"]


def test_the_bus_is_the_kind_of_device_that_a_service_is_allowed_by_name(machine: Machine) -> None:
    assert machine.run("stat --format '%t:%T %G %a' /dev/i2c-1") == "59:1 i2c 660\n"
    refused, why = transient(machine, SERVICE, "i2cdetect -y 1")
    assert refused, why
    assert "Operation not permitted" in why
    allowed, found = transient(machine, f"{SERVICE} {BUS_ALLOWED}", "i2cdetect -y 1")
    assert not allowed, found
    assert " 48 " in found


def test_a_service_that_takes_more_memory_than_it_may_is_killed(machine: Machine) -> None:
    eats = "python3 -c 'bytearray(60 << 20)'"
    _, roomy = transient(machine, "-p MemoryMax=100M", eats)
    assert "result: success" in roomy
    _, narrow = transient(machine, "-p MemoryMax=20M", eats)
    assert "result: oom-kill" in narrow


def test_the_host_is_reached_and_nothing_else(machine: Machine) -> None:
    assert machine.run("ip route").splitlines() == [
        "10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15 "
    ]


def test_a_run_ends_with_predictions_in_the_journal(deployed: Machine) -> None:
    entry = predictions(deployed)[-1]
    assert entry["AGENT_ID"] == deployed.name
    assert entry["PREDICTION"] == "0"
    assert all(is_reading(entry))
    assert deployed.run("systemctl is-enabled agent") == "enabled\n"


def test_the_agent_has_the_devices_that_its_unit_names_and_no_other(agent: Machine) -> None:
    assert set(show(agent, "DevicePolicy", "DeviceAllow")) == {
        "DevicePolicy=closed",
        "DeviceAllow=char-i2c rw",
        "DeviceAllow=char-gpiochip rw",
        "DeviceAllow=char-rtc r",  # of ProtectClock
    }
    (pid,) = show(agent, "MainPID")
    held = agent.run(f"readlink /proc/{pid.removeprefix('MainPID=')}/fd/*").splitlines()
    assert {"/dev/i2c-1", "/dev/gpiochip0"} <= set(held)
    # As root, for whom no mode of a file is a bar, among the processes of the unit.
    for device, is_allowed in (("i2c-1", True), ("gpiochip0", True), ("kmsg", False)):
        opens = f"echo $$ >{CGROUP}/cgroup.procs && exec 3<>/dev/{device}"
        assert (agent.attempt(f"sh -c '{opens}'").returncode == 0) == is_allowed, device
    agent.run("true 3<>/dev/kmsg")


def test_the_agents_memory_is_bounded_and_it_needs_little_of_it(agent: Machine) -> None:
    most, now = map(int, agent.run(f"cd {CGROUP} && cat memory.max memory.current").split())
    assert most == MEMORY_BYTES
    assert now < most / 2


def test_an_alarm_drives_its_pin(agent: Machine) -> None:
    until(lambda: level(agent) == "lo", "quiet", PATIENCE_S)
    agent.chip("volts 0.1 0.1 0.1 0.9")
    until(lambda: level(agent) == "hi", "an alarm", PATIENCE_S)
    alarm = predictions(agent, "PREDICTION=1")[-1]
    assert float(alarm["SENSOR4"]) == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize(
    ("fault", "sensors_lost"), [("nack 1", 1), ("timeout 1", 1), ("unplug", 4)]
)
def test_a_fault_of_the_bus_costs_readings_alone(
    agent: Machine, fault: str, sensors_lost: int
) -> None:
    before = show(agent, "MainPID", "NRestarts")
    first = len(predictions(agent))

    def lost() -> bool:
        return any(is_reading(each).count(False) == sensors_lost for each in later())

    def later() -> list[dict[str, str]]:
        return predictions(agent)[first:]

    agent.chip(fault)
    until(lost, "no reading", PATIENCE_S)
    agent.chip("plug")
    until(lambda: all(is_reading(later()[-1])), "readings", PATIENCE_S)
    assert show(agent, "MainPID", "NRestarts") == before


def test_every_sample_has_one_prediction(chip: Machine) -> None:
    found = [int(entry["SAMPLE_ID"]) for entry in predictions(chip)]
    assert found
    assert found == list(range(len(found)))
    chip.run(f"agent ledger --config {CONFIG}")


def test_adafruits_driver_reads_the_chip(chip: Machine) -> None:
    chip.chip("volts 1.5 0 0 0")
    assert chip.run(f"{PYTHON} -c '{READ_A0}'") == "1.5\n"


def test_faults_are_the_kernels(chip: Machine) -> None:
    def error() -> int:
        return int(chip.run(f"{PYTHON} -c '{TRANSFER}'"))

    chip.chip("timeout 1")
    assert [error(), error()] == [errno.ETIMEDOUT, 0]
    chip.chip("nack 1")
    assert [error(), error()] == [errno.EREMOTEIO, 0]
    chip.chip("unplug")
    assert error() == errno.EREMOTEIO == 121
    chip.chip("plug")
    assert error() == 0


def test_the_agent_finds_what_it_needs(chip: Machine) -> None:
    said = chip.attempt(f"agent check --json --config {CONFIG}").stdout
    found = {each["check"]: each for each in json.loads(said)}
    needs = ("bus", "chip", "rate", "sensor1 (A0)", "outputs.alarm", "journal fields", "broker")
    for needed in needs:
        assert found[needed]["outcome"] == "passed", found[needed]
