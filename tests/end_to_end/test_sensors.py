"""The agent on a chip: a virtual one under the real driver, and what a real one refuses."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.buses import NO_BUS
from support.ports import kept_port
from support.processes import Agent, Broker

from agent.errors import ChipInUseError, SourceError
from agent.sources.bus import lock_chip, open_bus
from quartet.lock import for_all_users

HOLD = """
import sys
from agent.sources.bus import lock_chip
lock = lock_chip(int(sys.argv[1]), 0x48)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("--predictor", "limits") as broker:
        yield broker


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Four sensors whose values say which they are; limits answers False to all."""
    signals = "".join(
        f'[virtual.a{pin}]\nkind = "noise"\nmean_v = {volts}\nstdev_v = 0.001\n'
        for pin, volts in enumerate((0.05, 0.10, 0.15, 1.0))
    )
    path = tmp_path / "agent.toml"
    path.write_text(
        '[source]\nkind = "virtual"\n[source.sensor4]\nscale = 0.1\noffset = 0.05\n'
        f"unit = 'bar'\n{signals}"
    )
    return path


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that reads the chip on NO_BUS."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(NO_BUS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
    for_all_users(f"quartet-i2c-{NO_BUS}-0x48").unlink()


def test_each_sensor_comes_with_its_own_value_and_is_answered(
    broker: Broker, config: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    with Agent(
        *("--config", str(config), "--rate", "40", "--broker", broker.address),
        *("--bare", "--predictions", str(table)),
    ) as agent:
        agent.wait_for(r"virtual ADS1115 at 0x48: \d+ conversions a second, average = 1")
        agent.wait_for("sample 50: ")
        assert agent.stop() == 0
    rows = [
        [float(cell) for cell in line.rpartition(": False")[2].split()]
        for line in agent.stderr.splitlines()
        if ": False" in line
    ]
    assert len(rows) > 50
    for row in rows:
        assert row == pytest.approx((0.05, 0.10, 0.15, 0.15), abs=0.01)
    assert table.read_text().startswith("0,0\n1,0\n")


def test_a_chip_that_falls_off_the_bus_is_said_counted_and_taken_up_again(
    broker: Broker, config: Path
) -> None:
    with config.open("a") as file:
        file.write('[[virtual.faults]]\nkind = "nack"\nafter_s = 1\nfor_s = 1\n')
    with Agent("--config", str(config), "--rate", "20", "--broker", broker.address) as agent:
        agent.wait_for("virtual ADS1115 at 0x48: no answer: check the wiring")
        agent.wait_for(r"True +nan +nan +nan +nan")
        agent.wait_for("virtual ADS1115 at 0x48: 'no answer' is over after ")
        agent.wait_for(r"sample \d+: False", count=agent.stderr.count(": False") + 5)
        assert agent.stop() == 0
    assert agent.stderr.count("no answer: check the wiring") == 1
    assert f"no answer         {agent.stderr.count(' nan')}\n" in agent.stdout + "\n"


def test_an_alarm_is_switched_and_left_safe(broker: Broker, config: Path) -> None:
    text = config.read_text().replace("mean_v = 0.1\n", "mean_v = 0.9\n")
    config.write_text(
        text + "[outputs.alarm]\npin = 17\non_after = 3\n[outputs.status]\npin = 27\n"
    )
    with Agent(
        *("--config", str(config), "--rate", "20", "--broker", broker.address),
        env={"GPIOZERO_PIN_FACTORY": "mock"},
    ) as agent:
        agent.wait_for("alarm: on at sample 2")
        assert agent.stop() == 0


def test_without_a_broker_an_alarm_goes_to_its_safe_state(config: Path) -> None:
    config.write_text(config.read_text() + '[outputs.alarm]\npin = 17\nttl_s = 1.0\nsafe = "on"\n')
    with (
        Broker() as broker,
        Agent(
            *("--config", str(config), "--rate", "20", "--broker", broker.address),
            env={"GPIOZERO_PIN_FACTORY": "mock"},
        ) as agent,
    ):
        agent.wait_for("alarm: off at sample")
        broker.kill()
        agent.wait_for("no prediction in the last 1 s: the output is in its safe state .on.")


def test_sampling_survives_outputs_that_cannot_be_had(broker: Broker, config: Path) -> None:
    config.write_text(config.read_text() + "[outputs.alarm]\npin = 17\n")
    with Agent(
        *("--config", str(config), "--rate", "20", "--broker", broker.address),
        env={"GPIOZERO_PIN_FACTORY": "nonsense"},
    ) as agent:
        agent.wait_for("outputs.alarm: GPIO17 cannot be used: Unable to find pin factory")
        agent.wait_for("sample 5: ")
        assert agent.stop() == 1
    assert "sink failures     1" in agent.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--virtual", "--rate", "500"], 2, "500 samples a second are too many"),
        (["--virtual", "--rate", "max"], 2, 'sampling.rate_hz: "max" works with a file'),
        (["--virtual", "--rate", "0"], 2, "0.0001 to 1000"),
        (["--virtual", "--rate", "-1"], 2, "0.0001 to 1000"),
        (["--virtual", "--rate", "1e9"], 2, "0.0001 to 1000"),
        (["--virtual", "--simulate", "x.csv"], 2, "not allowed with argument"),
        (["--virtual", "--loop"], 2, "--loop needs --simulate"),
    ],
)
def test_wrong_use_of_a_chip_is_named_and_nothing_is_started(
    arguments: list[str], code: int, message: str
) -> None:
    with Agent(*arguments) as agent:
        assert agent.wait() == code
    assert message in agent.stderr
    assert "Traceback" not in agent.stderr
    assert "sample 0" not in agent.stderr


def test_a_second_agent_on_one_chip_is_refused_with_the_first_ones_process(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    config = tmp_path / "chip.toml"
    (tmp_path / "hot").mkdir()
    config.write_text(
        f'[source]\nkind = "ads1115"\nbus = {NO_BUS}\n'
        f'[spool]\ndirectory = "{tmp_path}"\nhot_directory = "{tmp_path / "hot"}"\n'
    )
    with Agent("--config", str(config)) as agent:
        assert agent.wait() == 1
    assert (
        f"agent: the ADS1115 at 0x48 on bus {NO_BUS} is in use by process {holder.pid}: stop"
        in agent.stderr
    )
    with pytest.raises(ChipInUseError):
        lock_chip(NO_BUS, 0x48)
    lock_chip(NO_BUS, 0x49).close()
    holder.kill()
    holder.wait()
    with Agent("--config", str(config)) as agent:
        assert agent.wait() == 1
    assert f"/dev/i2c-{NO_BUS} is missing: enable I2C with" in agent.stderr


def test_a_bus_that_is_missing_is_a_source_error() -> None:
    with pytest.raises(SourceError, match=f"/dev/i2c-{NO_BUS} is missing"):
        open_bus(NO_BUS)


def test_a_missing_driver_is_named_with_the_remedy() -> None:
    code = (
        "import sys\n"
        "sys.modules['adafruit_ads1x15'] = None\n"
        "from agent.__main__ import main\n"
        "sys.exit(main(['run', '--virtual']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no driver for the ADS1115" in done.stderr
    assert "pip install 'adafruit-circuitpython-ads1x15~=3.0.5' " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_replay_imports_no_driver_no_gpio_and_no_cryptography(
    broker: Broker, dataset: Path
) -> None:
    code = (
        "import sys\n"
        "from agent.__main__ import main\n"
        f"main(['run', '--simulate', {str(dataset)!r}, '--rate', 'max',"
        f" '--broker', {broker.address!r}])\n"
        "heavy = {'adafruit', 'cryptography', 'gpiozero'}\n"
        "print([m for m in sys.modules if m.partition('_')[0] in heavy])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def waiting(config: Path, tmp_path: Path) -> Path:
    """A configuration whose samples of an earlier run wait, and whose chip is dead now."""
    (tmp_path / "hot").mkdir()
    with config.open("a") as file:
        file.write(
            f'[spool]\ndirectory = "{tmp_path}"\nhot_directory = "{tmp_path / "hot"}"\n'
            '[agent]\nid = "press-4"\n'
        )
    run = ("--config", str(config), "--rate", "50")
    with kept_port() as port, Agent(*run, "--broker", f"127.0.0.1:{port}") as agent:
        agent.wait_for("cannot be reached|no connection|streaming to|not reachable")
        agent.stop()
    with config.open("a") as file:
        file.write('[[virtual.faults]]\nkind = "nack"\nfor_s = 1e6\n')
    return config


def test_what_waits_is_sent_also_while_the_chip_is_dead(waiting: Path, broker: Broker) -> None:
    with Agent("--config", str(waiting), "--broker", broker.address) as agent:
        assert agent.wait() == 1
    assert re.search(
        r"\d+ unsent samples? of earlier runs: they are sent before the agent ends", agent.stderr
    )
    assert "no virtual ADS1115 at 0x48: check the wiring, its supply" in agent.stderr
    assert re.search(r"sample \d+: False", agent.stderr)
    assert "Traceback" not in agent.stderr
    with Agent("--config", str(waiting), "--broker", broker.address) as agent:
        assert agent.wait() == 1
    assert "earlier runs" not in agent.stderr  # nothing waits any more
    assert "no virtual ADS1115 at 0x48" in agent.stderr


def test_a_signal_ends_the_wait_for_a_broker_beside_a_dead_chip(waiting: Path) -> None:
    run = ("--config", str(waiting))
    with kept_port() as port, Agent(*run, "--broker", f"127.0.0.1:{port}") as agent:
        agent.wait_for("no virtual ADS1115 at 0x48")
        assert agent.stop() == 1
    assert "Traceback" not in agent.stderr
