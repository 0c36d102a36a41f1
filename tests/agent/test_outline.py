"""What `agent run --check` says that it understood."""

from pathlib import Path

import msgspec
import pytest

from agent.__main__ import main
from agent.config import AgentSettings, BrokerSettings, SamplingSettings, Settings, TlsSettings
from agent.config.source import Ads1115Settings, ReplaySettings, SensorSettings
from agent.model import Identity
from agent.outline import outline
from agent.turn import ranked

DEVICE = Settings(
    agent=AgentSettings("press-4"),
    broker=BrokerSettings("laptop.local:8061"),
    tls=TlsSettings("ca.pem"),
    sampling=SamplingSettings(0.5),
    source=Ads1115Settings(
        sensor1=SensorSettings(name="oil pressure", unit="bar"),
        sensor2=SensorSettings(input="2-3", unit="mA", gain="2/3"),
        sensor3=SensorSettings(input="none"),
        sensor4=SensorSettings(input=1),
    ),
)


def lines(settings: Settings, who: Identity) -> list[str]:
    return outline(settings, who).splitlines()


def test_chip_and_sensors_are_said_with_address_pins_gain_name_and_unit() -> None:
    assert lines(DEVICE, Identity("press-4")) == [
        "id                press-4",
        "chip              ADS1115 at 0x48 on bus 1",
        "sensor1           A0, gain 1 (up to 4.096 V), oil pressure, bar",
        "sensor2           A2 against A3, gain 2/3 (up to 6.144 V), mA",
        "sensor3           none: its value is always 0",
        "sensor4           A1, gain 1 (up to 4.096 V), V",
        "rate              0.5 Hz",
        "broker            laptop.local:8061, with TLS",
    ]


def test_several_brokers_are_listed_in_the_order_of_this_agent() -> None:
    settings = msgspec.structs.replace(
        DEVICE, broker=BrokerSettings(("b2:8061", "b1:8061", "b3:8061"))
    )
    home, *others = ranked("press-4", settings.broker.addresses)
    assert lines(settings, Identity("press-4"))[-1] == (
        f"broker            {home}, its home; then {others[0]}, {others[1]}, with TLS"
    )


def test_a_device_without_an_id_has_the_name_of_its_computer() -> None:
    assert lines(Settings(source=Ads1115Settings()), Identity("pi"))[0] == (
        "id                pi, the name of this computer: agent.id is not set"
    )


def test_a_recording_is_named_and_a_rehearsal_is_new_at_each_run() -> None:
    settings = Settings(source=ReplaySettings("my.csv"), sampling=SamplingSettings("recorded"))
    assert lines(settings, Identity("rehearsal-pc-1", is_rehearsal=True)) == [
        "id                rehearsal-pc-1, a new name for each run",
        "recording         my.csv",
        "rate              recorded",
        "broker            127.0.0.1:8061",
    ]


def test_a_check_says_it_after_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nid = "press-4"\n[source]\nkind = "virtual"\n')
    assert main(["run", "--check", "--config", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"agent press-4: the configuration is right ({path})"
    assert said[2] == "chip              virtual ADS1115"
    assert said[3] == "sensor1           A0, gain 1 (up to 4.096 V), V"
    assert said[-1] == "broker            127.0.0.1:8061"


def test_the_proxy_of_the_configuration_stays_whatever_broker_the_command_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[broker]\nproxy = "127.0.0.1:3128"\n[source]\nkind = "virtual"\n')
    arguments = ["run", "--check", "--config", str(path), "--broker", "b1:8061", "--insecure"]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "broker            b1:8061, by the proxy 127.0.0.1:3128"
