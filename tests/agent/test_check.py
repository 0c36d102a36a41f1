"""The doctor: what single checks say, and what a person sees of all of them."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.buses import NO_BUS
from support.clock import ManualClock
from support.processes import Broker, Running

from agent.__main__ import main
from agent.check import doctor
from agent.check.chip import check_bus, check_chip
from agent.check.findings import Finding, Outcome
from agent.check.host import Host, check_clock
from agent.check.journal import journald_settings, seconds
from agent.check.outputs import check_outputs
from agent.check.spool import check_spool
from agent.clock import VirtualClock
from agent.config import (
    SamplingSettings,
    Settings,
    SpoolSettings,
)
from agent.config.outputs import AlarmSettings, OutputsSettings
from agent.config.source import Ads1115Settings, SensorSettings, VirtualAds1115Settings
from agent.config.virtual import (
    FaultSettings,
    FloatingSettings,
    NoiseSettings,
    SineSettings,
    VirtualSettings,
)
from agent.instance import Instance
from agent.sources.bus import lock_chip
from quartet.address import Address

PI = Host(is_pi=True, running_agent="")
LAPTOP = Host(is_pi=False, running_agent="")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def chip_findings(
    virtual: VirtualSettings | None = None, **sensors: SensorSettings
) -> dict[str, Finding]:
    source = VirtualAds1115Settings(**sensors)
    settings = Settings(source=source, virtual=virtual or VirtualSettings())
    return {each.check: each for each in check_chip(settings, source, VirtualClock(), PI)}


# The chip and its sensors


@pytest.mark.parametrize("bus_hz", [100e3, 250e3, 400e3])
def test_the_speed_of_the_bus_is_measured(bus_hz: float) -> None:
    findings = chip_findings(VirtualSettings(bus_hz=bus_hz))
    assert findings["bus speed"].detail == f"{bus_hz / 1e3:.0f} kHz, measured"
    assert all(each.outcome is Outcome.PASSED for each in findings.values())


@pytest.mark.parametrize("there", [{1}, {2}, {3}, {4}, {1, 2}, {1, 3}, {1, 2, 3}, {2, 3, 4}])
def test_the_default_signals_pass_whichever_sensors_there_are(there: set[int]) -> None:
    missing = {f"sensor{n}": SensorSettings(input="none") for n in (1, 2, 3, 4) if n not in there}
    assert all(each.outcome is Outcome.PASSED for each in chip_findings(**missing).values())


def test_a_sensor_that_is_none_is_named_and_not_read() -> None:
    findings = chip_findings(
        VirtualSettings(a1=FloatingSettings()), sensor2=SensorSettings(input="none")
    )
    assert findings["sensor2"].detail == 'input = "none": its value is always 0'
    assert {"sensor1 (A0)", "sensor3 (A2)", "sensor4 (A3)"} <= set(findings)
    assert all(each.outcome is Outcome.PASSED for each in findings.values())


def test_a_rate_that_the_bus_cannot_keep_fails_with_the_one_that_it_can() -> None:
    source = VirtualAds1115Settings(average=16)
    findings = {each.check: each for each in check_chip(Settings(), source, VirtualClock(), PI)}
    assert findings["rate"].outcome is Outcome.FAILED
    assert findings["rate"].remedy == "set sampling.rate_hz to 8 or less"


@pytest.mark.parametrize(
    "other", [SineSettings(2.0, 0.1), NoiseSettings(0.6, 0.001), NoiseSettings(0.0, 0.0)]
)
def test_an_open_input_is_found_beside_whatever_others(
    other: SineSettings | NoiseSettings,
) -> None:
    findings = chip_findings(VirtualSettings(a0=other, a1=other, a2=FloatingSettings(), a3=other))
    outcomes = [findings[f"sensor{n} (A{n - 1})"].outcome for n in (1, 2, 3, 4)]
    assert outcomes == [*(Outcome.PASSED, Outcome.PASSED, Outcome.FAILED, Outcome.PASSED)]
    assert "this input seems to be open" in findings["sensor3 (A2)"].detail


def test_open_inputs_are_found_where_all_are_open() -> None:
    nothing = FloatingSettings()
    findings = chip_findings(VirtualSettings(a0=nothing, a1=nothing, a2=nothing, a3=nothing))
    assert all(findings[f"sensor{n} (A{n - 1})"].outcome is Outcome.FAILED for n in (1, 2, 3, 4))


def test_a_lively_sensor_is_not_taken_for_an_open_input() -> None:
    lively = NoiseSettings(0.6, 0.2)
    findings = chip_findings(
        VirtualSettings(a0=lively, a1=NoiseSettings(2.0, 0.1), a2=lively, a3=NoiseSettings(0, 0))
    )
    assert all(each.outcome is Outcome.PASSED for each in findings.values())


def test_saturated_and_impossible_values_fail_with_what_to_look_at() -> None:
    findings = chip_findings(
        VirtualSettings(a0=NoiseSettings(1.0), a1=NoiseSettings(0.2)),
        sensor1=SensorSettings(gain=16),
        sensor2=SensorSettings(unit="mA", scale=10.0, min=3.6, max=21.0),
        sensor4=SensorSettings(input="2-3"),
    )
    assert findings["sensor1 (A0)"].remedy == "choose a lower source.sensor1.gain"
    assert "out of 3.6..21" in findings["sensor2 (A1)"].detail
    assert findings["sensor4 (A2 against A3)"].outcome is Outcome.PASSED


def test_a_chip_that_does_not_answer_fails_and_so_does_one_that_stops() -> None:
    gone = chip_findings(VirtualSettings(faults=(FaultSettings("nack", 0, 1e6),)))
    assert gone["chip"].outcome is Outcome.FAILED
    assert "check the wiring" in gone["chip"].detail
    stops = chip_findings(VirtualSettings(faults=(FaultSettings("nack", 0.5, 1e6),)))
    assert stops["chip"].outcome is Outcome.FAILED
    assert "stopped answering: no answer" in stops["chip"].detail


def test_another_program_on_the_chip_fails_and_the_sensors_are_judged_all_the_same() -> None:
    other = FaultSettings("other_reader", 0.4, 0.001, 0.3)
    findings = chip_findings(VirtualSettings(faults=(other,)))
    failed = {name: each for name, each in findings.items() if each.outcome is Outcome.FAILED}
    assert failed.keys() == {"other programs"}
    assert re.fullmatch(
        r"another program uses this chip at the same time: \d+ readings? of 96 failed",
        failed["other programs"].detail,
    )
    assert "fuser -v /dev/i2c-1" in failed["other programs"].remedy


def test_a_bus_that_is_held_low_fails_as_that() -> None:
    findings = chip_findings(VirtualSettings(faults=(FaultSettings("bus_low", 0, 1e6),)))
    for check in ("chip", "other chips"):
        assert findings[check].outcome is Outcome.FAILED
        assert findings[check].detail.startswith("every address answers: SDA or SCL is held low")


@pytest.mark.parametrize("chip", ["ads1115", "ads1015"])
def test_either_chip_passes_with_its_rates(chip: str) -> None:
    source = VirtualAds1115Settings(chip=chip)
    settings = Settings(source=source, sampling=SamplingSettings(100))
    findings = {each.check: each for each in check_chip(settings, source, VirtualClock(), PI)}
    assert all(each.outcome is Outcome.PASSED for each in findings.values())
    rate, best = {
        "ads1115": ("860 conversions, verified", "142.5"),
        "ads1015": ("3300 conversions, verified", "316.6"),
    }[chip]
    assert findings["rate"].detail.startswith(f"100 samples a second with {rate}; at most {best}")
    assert findings["chip"].detail == f"virtual {chip.upper()} at 0x48"


def test_a_limit_beyond_the_gain_is_told_beside_what_passed() -> None:
    finding = chip_findings(sensor1=SensorSettings(max=5.0))["sensor1 (A0)"]
    assert finding.outcome is Outcome.PASSED
    assert finding.remedy.startswith("max = 5 V is not reached with gain = 1")


def test_a_bus_that_is_missing_is_told_from_one_that_is_off(tmp_path: Path) -> None:
    off = check_bus(1, tmp_path, PI)
    assert off.remedy == "sudo raspi-config nonint do_i2c 0"
    (tmp_path / "i2c-20").touch()
    assert check_bus(1, tmp_path, PI).remedy == "set source.bus"
    assert "there are 20" in check_bus(1, tmp_path, PI).detail
    assert check_bus(20, tmp_path, PI).outcome is Outcome.PASSED


def test_a_computer_without_a_bus_gets_no_advice_for_a_pi(tmp_path: Path) -> None:
    assert "raspi" not in check_bus(1, tmp_path, LAPTOP).remedy
    assert "agent check --virtual" in check_bus(1, tmp_path, LAPTOP).remedy


def test_a_chip_that_an_agent_reads_passes_with_what_that_agent_says() -> None:
    source = Ads1115Settings(bus=NO_BUS)
    working = Host(is_pi=True, running_agent="streaming; 600 samples")
    with contextlib.closing(lock_chip(NO_BUS, source.address)):
        for host, says in ((working, ", which says: streaming; 600 samples"), (PI, "")):
            (finding,) = check_chip(Settings(source=source), source, ManualClock(), host)
            assert finding.outcome is Outcome.PASSED
            detail = f"ADS1115 at 0x48 on bus {NO_BUS} is read by process {os.getpid()}{says}"
            assert finding.detail == detail
    (finding,) = check_chip(Settings(source=source), source, ManualClock(), working)
    assert (finding.check, finding.outcome) == ("bus", Outcome.FAILED)


def test_a_pin_that_cannot_be_had_gets_advice_for_a_pi_on_a_pi_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "nonsense")
    outputs = OutputsSettings(alarm=AlarmSettings(17))
    (on_pi,) = check_outputs(outputs, PI)
    (elsewhere,) = check_outputs(outputs, LAPTOP)
    assert "python3-lgpio" in on_pi.remedy
    assert "apt" not in elsewhere.remedy
    assert "on the device" in elsewhere.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
def test_a_bus_that_may_not_be_opened_names_the_group(tmp_path: Path) -> None:
    (tmp_path / "i2c-1").touch(0o000)
    assert check_bus(1, tmp_path, PI).remedy.startswith("sudo usermod -aG i2c $USER")


# The rest of the device


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("auto", "30s", "10000")),
        ("[Journal]\n#Storage=none\nStorage=volatile\n", ("volatile", "30s", "10000")),
        ("Storage=volatile\n# later file\nStorage=persistent", ("persistent", "30s", "10000")),
        ("RateLimitIntervalSec=0\n RateLimitBurst = 5\nStorage=\n", ("auto", "0", "5")),
        ("RateLimitIntervalSec=1 min \n", ("auto", "1 min", "10000")),
    ],
)
def test_the_last_word_of_journalds_configuration_counts(
    text: str, expected: tuple[str, ...]
) -> None:
    of = journald_settings(text)
    assert (of["Storage"], of["RateLimitIntervalSec"], of["RateLimitBurst"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30),
        ("0", 0),
        ("1min", 60),
        ("500ms", 0.5),
        ("1min 30s", 30),
        ("1 min", 60),
        ("1.2.3", 30),
    ],
)
def test_time_spans_of_systemd_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_spool_directories_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    hot, cold = check_spool(Settings(), PI)
    assert (hot.outcome, cold.outcome) == (Outcome.FAILED, Outcome.PASSED)
    assert hot.remedy == f"sudo install -d -o $USER {tmp_path / 'none'}"
    assert "MB free, may take 268 MB" in cold.detail


def test_a_spool_directory_that_systemd_will_create_is_no_failure() -> None:
    settings = Settings(spool=SpoolSettings("/var/lib/agent/none", "/run/agent/none"))
    for finding in check_spool(settings, PI):
        assert finding.outcome is Outcome.SKIPPED
        assert finding.detail.endswith(
            "none does not exist yet: systemd creates it for the service"
        )
        assert "sudo install -d -o $USER" in finding.remedy


def test_without_the_key_only_the_broker_of_the_running_agent_is_known() -> None:
    streaming = Host(is_pi=True, running_agent="streaming to b1:1, no alarm")
    one, two = Address("b1", 1), Address("b2", 1)
    asked = doctor._check_broker_by_agent  # noqa: SLF001 - the key must be another user's
    assert asked([one], streaming).outcome is Outcome.PASSED
    finding = asked([one, two], streaming)
    assert (finding.outcome, finding.remedy) == (Outcome.SKIPPED, "sudo agent check")
    assert "the running agent says: streaming to b1:1" in finding.detail


def test_a_clock_that_was_never_set_is_told_with_its_date() -> None:
    finding = next(check_clock(ManualClock(wall_s=0.0), PI))
    assert (finding.outcome, finding.detail) == (Outcome.FAILED, "the clock says 1970-01-01")
    finding = next(check_clock(ManualClock(), PI))
    assert "the clock says" not in finding.detail


# As a person sees it


def test_all_is_well_on_a_virtual_chip_with_a_broker(broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[broker]\naddress = "{broker.address}"\n[outputs.alarm]\npin = 17\n'
        "[outputs.status]\npin = 27\n"
    )
    mock = {"GPIOZERO_PIN_FACTORY": "mock"}
    arguments = ["agent", "check", "--virtual", "--config", str(config)]
    with Running(arguments, env=mock) as check:
        assert check.wait() == 0, check.stdout
    for wanted in (
        r"passed  chip                virtual ADS1115 at 0x48",
        r"passed  sensor1 (A0)        ",
        r"passed  outputs.alarm       GPIO17, by mock",
        rf"passed  broker              {broker.address} answers, and would admit rehearsal-",
        r"skipped spool               a simulation uses a temporary one",
    ):
        assert wanted in check.stdout
    with Running([*arguments, "--json"], env=mock) as check:
        assert check.wait() == 0
    findings = json.loads(check.stdout)
    assert {"passed", "skipped"} >= {each["outcome"] for each in findings}
    assert all(set(each) == {"check", "outcome", "detail", "remedy"} for each in findings)


@pytest.mark.skipif(Host.look(Instance()).is_pi, reason="this is a Pi")
def test_a_laptop_where_nothing_is_configured_passes_without_advice_for_a_pi(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["check"], config=tmp_path / "none.toml") == 0
    said = capsys.readouterr().out
    assert "skipped sensors             no configuration, and not a Raspberry Pi" in said
    for advice in ("sudo", "raspi-config", "lgpio", "i2cdetect", "journald.conf", "failed"):
        assert advice not in said.replace("sudo timedatectl set-ntp true", "")


def test_a_new_device_is_told_each_thing_that_it_lacks(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        '[source]\nkind = "ads1115"\nbus = 250\n[broker]\naddress = "127.0.0.1:1"\n'
        f'[spool]\ndirectory = "{tmp_path}"\nhot_directory = "{tmp_path / "hot"}"\n'
        "[outputs.alarm]\npin = 17\n"
    )
    no_gpio = {"GPIOZERO_PIN_FACTORY": "nonsense"}
    with Running(["agent", "check", "--config", str(config)], env=no_gpio) as check:
        assert check.wait() == 1
    failed = {line.split()[1] for line in check.stdout.splitlines() if line.startswith("failed")}
    assert failed >= {"bus", "outputs.alarm", "spool", "broker"}
    assert "Traceback" not in check.stderr
    lines = check.stdout.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("failed"):
            assert lines[number + 1].strip().startswith("-> ")
    assert lines[-1].endswith("checks failed")


def test_a_configuration_that_is_wrong_is_the_finding_and_not_the_end(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("[source]\nkind = 'ads1115'\naddress = 0x50\n[link]\nwindow = 0\n")
    with Running(["agent", "check", "--config", str(config), "--json"]) as check:
        assert check.wait() == 1
    findings = {each["check"]: each for each in json.loads(check.stdout)}
    assert findings["configuration"]["outcome"] == "failed"
    assert "source.address: expected 0x48" in findings["configuration"]["detail"]
    assert "link.window" in findings["configuration"]["detail"]
    assert findings["packages"]["outcome"] == "passed"
