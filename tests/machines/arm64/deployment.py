"""A Raspberry Pi's architecture, kernel, bus and pins: what a container cannot show.

pytest tests/machines/arm64/deployment.py (root; `make e2e-arm64`)
"""

import errno
import json
from collections.abc import Iterator

import pytest
from machines.arm64 import wheels
from machines.arm64.machine import HOST, Machine, until
from support.processes import Broker

pytestmark = pytest.mark.timeout(1200)  # the machine is emulated, and its root may have to be made

PATIENCE_S = 60.0
RATE_HZ = 1
ALARM_PIN = 4  # of the eight that this machine has
NO_PORT = 1  # where no broker listens

# A transient service with the bus and nothing else, as an unprivileged user.
SERVICE = "-p DynamicUser=yes -p SupplementaryGroups=i2c -p DevicePolicy=closed"
BUS_ALLOWED = "-p 'DeviceAllow=char-i2c rw'"

SETTINGS = f"""\
[broker]
address = "{HOST}:{{port}}"
insecure = true
[source]
kind = "ads1115"
[sampling]
rate_hz = {RATE_HZ}
[outputs.alarm]
pin = {ALARM_PIN}
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


@pytest.fixture
def chip(machine: Machine) -> Iterator[Machine]:
    """The machine, with its chip in order before and after."""
    yield machine
    machine.chip("plug")
    machine.chip("nack 0")


@pytest.fixture(scope="module")
def python(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The python of an environment with the agent, made as on a Pi without a network."""
    machine.put(wheels.house(), "/opt/wheels")
    machine.put(wheels.project(tmp_path_factory.mktemp("dist")), "/opt/wheels")
    machine.run("python3 -m venv --system-site-packages /opt/agent")
    machine.run(
        "/opt/agent/bin/pip install --quiet --no-compile --no-index --find-links /opt/wheels"
        " 'quartet[pi]'"
    )
    machine.put(wheels.REPOSITORY / "systemd" / "agent.service", "/etc/systemd/system")
    machine.run("useradd --system agent && mkdir -p /opt/quartet/agent && systemctl daemon-reload")
    machine.run("ln -s /opt/agent /opt/quartet/agent/current")
    return "/opt/agent/bin/python"


def transient(machine: Machine, properties: str, command: str) -> tuple[int, str]:
    """The exit code of a command in a service of its own, and all that is said of it."""
    done = machine.attempt(f"systemd-run --wait --pipe {properties} {command}")
    return done.returncode, done.stdout + done.stderr


def configure(machine: Machine, port: int) -> None:
    """Have the agent stream to a port of the host's loopback."""
    settings = SETTINGS.format(port=port)
    machine.run(f"mkdir -p /etc/agent && printf %s '{settings}' >/etc/agent/agent.toml")


def level(machine: Machine) -> str:
    """What the pin of the alarm is driven to: hi or lo; nothing where nobody drives it."""
    lines = machine.run("cat /sys/kernel/debug/gpio").splitlines()
    return next((line.split()[-1] for line in lines if " out " in line), "")


def predictions(machine: Machine, matches: str = "") -> list[dict[str, str]]:
    """The agent's predictions in the machine's journal, oldest first."""
    lines = machine.run(f"journalctl -u agent -o json {matches}").splitlines()
    return [entry for line in lines if "SAMPLE_ID" in (entry := json.loads(line))]


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


def test_adafruits_driver_reads_the_chip(chip: Machine, python: str) -> None:
    chip.chip("volts 1.5 0 0 0")
    assert chip.run(f"{python} -c '{READ_A0}'") == "1.5\n"


def test_faults_are_the_kernels(chip: Machine, python: str) -> None:
    def error() -> int:
        return int(chip.run(f"{python} -c '{TRANSFER}'"))

    chip.chip("timeout 1")
    assert [error(), error()] == [errno.ETIMEDOUT, 0]
    chip.chip("nack 1")
    assert [error(), error()] == [errno.EREMOTEIO, 0]
    chip.chip("unplug")
    assert error() == errno.EREMOTEIO == 121
    chip.chip("plug")
    assert error() == 0


def test_the_agent_finds_what_it_needs(machine: Machine, python: str) -> None:
    configure(machine, NO_PORT)
    said = machine.attempt(f"{python} -m agent check --json --config /etc/agent/agent.toml").stdout
    found = {each["check"]: each for each in json.loads(said)}
    for needed in ("bus", "chip", "rate", "sensor1 (A0)", "outputs.alarm", "journal fields"):
        assert found[needed]["outcome"] == "passed", found[needed]


@pytest.mark.usefixtures("python")
def test_the_service_reads_the_real_driver_and_drives_a_pin(chip: Machine) -> None:
    with Broker("--predictor", "limits") as broker:
        configure(chip, broker.port)
        chip.chip("volts 0.1 0.1 0.1 0.1")
        chip.run("systemctl start agent")
        try:
            until(lambda: len(predictions(chip, "PREDICTION=0")) >= 3, "quiet", PATIENCE_S)
            assert level(chip) == "lo"
            chip.chip("volts 0.1 0.1 0.1 0.9")
            until(lambda: level(chip) == "hi", "an alarm", PATIENCE_S)
            chip.chip("unplug")
            until(lambda: bool(predictions(chip, "SENSOR4=nan")), "no reading", PATIENCE_S)
            chip.chip("plug")
            until(lambda: predictions(chip)[-1]["SENSOR4"] != "nan", "readings", PATIENCE_S)
        finally:
            chip.run("systemctl stop agent")
    found = predictions(chip)
    assert [int(each["SAMPLE_ID"]) for each in found] == list(range(len(found)))
    alarm = next(each for each in found if each["PREDICTION"] == "1")
    assert float(alarm["SENSOR4"]) == pytest.approx(0.9, abs=0.001)
