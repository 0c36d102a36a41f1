"""What an agent's command line and file together say of how it runs."""

import re
from pathlib import Path

import pytest

import agent.config
from agent.config.source import ReplaySettings
from quartet.errors import SettingsError
from quartet.settings import load
from wire.metadata import AGENT_ID


def agent_settings(address: str, *, insecure: bool = False) -> agent.config.Settings:
    return agent.config.Settings(
        broker=agent.config.BrokerSettings(address, insecure),
        source=ReplaySettings("x.csv"),
    )


def test_an_agent_without_a_source_is_told_where_to_give_one() -> None:
    with pytest.raises(SettingsError, match="--simulate CSV"):
        agent.config.check(agent.config.Settings())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.9.1:1"])
def test_an_agent_streams_on_this_machine_as_it_is(address: str) -> None:
    agent.config.check(agent_settings(address))


@pytest.mark.parametrize("address", ["192.168.1.2:1", "broker.example:1", "[fe80::1]:1"])
def test_an_agent_streams_beyond_this_machine_only_when_told_so(address: str) -> None:
    with pytest.raises(
        SettingsError, match=re.escape(f"broker.address: {address} is another machine")
    ):
        agent.config.check(agent_settings(address))
    agent.config.check(agent_settings(address, insecure=True))


@pytest.mark.parametrize(
    ("host", "agent_id"),
    [
        ("raspberrypi.local", "raspberrypi.local"),
        ("", "agent"),
        ("p\u00fcmp #1", "p-mp--1"),
        ("x" * 80, "x" * 64),
    ],
)
def test_a_host_name_of_any_form_makes_an_agent_id(
    monkeypatch: pytest.MonkeyPatch, host: str, agent_id: str
) -> None:
    monkeypatch.setattr("platform.node", lambda: host)
    assert agent.config.AgentSettings().device_id == agent_id
    assert AGENT_ID.fullmatch(agent_id)


@pytest.mark.parametrize(
    ("bus", "pin", "refused"),
    [(1, 2, True), (1, 3, True), (0, 1, True), (0, 2, False), (1, 4, False)],
)
def test_the_pins_of_the_bus_are_no_outputs(
    toml_path: Path, bus: int, pin: int, refused: bool
) -> None:
    toml_path.write_text(
        f"[source]\nkind = 'ads1115'\nbus = {bus}\n[outputs.alarm]\npin = {pin}", "utf-8"
    )
    settings_ = load(toml_path, agent.config.Settings)
    if refused:
        with pytest.raises(SettingsError, match=f"outputs.alarm.pin: GPIO{pin} is used by I2C"):
            agent.config.check(settings_)
    else:
        agent.config.check(settings_)


@pytest.mark.parametrize(("rate", "ttl_s", "refused"), [(0.05, 39, True), (0.05, 40, False)])
def test_an_alarm_outlives_the_wait_for_the_next_prediction(
    toml_path: Path, rate: float, ttl_s: float, refused: bool
) -> None:
    toml_path.write_text(
        f"[source]\nkind = 'ads1115'\n[sampling]\nrate_hz = {rate}\n"
        f"[outputs.alarm]\npin = 17\nttl_s = {ttl_s}",
        "utf-8",
    )
    settings_ = load(toml_path, agent.config.Settings)
    if refused:
        with pytest.raises(SettingsError, match=r"outputs\.alarm\.ttl_s: 39 s is too short"):
            agent.config.check(settings_)
    else:
        agent.config.check(settings_)
