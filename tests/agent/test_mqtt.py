"""What an agent tells an MQTT server: of now, and of each True."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.clock import ManualClock
from support.states import NOW_NS, before_ns, latest, state

from agent.__main__ import main
from agent.config.outputs import MqttSettings
from agent.model import Learning, Prediction, Sample, Session
from agent.sinks import FanOut
from agent.sinks.mqtt import MqttOutput
from agent.sinks.outputs import add_mqtt
from agent.state import LinkState, State
from wire.sensors import Label

SETTINGS = MqttSettings("127.0.0.1:1883")
SESSION = Session(1, "0" * 32, 100_000_000, 0)
LABELS = (Label("inlet", "bar"), None, Label("sensor3", "V"), Label("sensor4", "V"))


def sample(age_s: float = 0.0) -> Sample:
    return Sample(SESSION, 7, (1.0, 0.0, float("nan"), 4.0), before_ns(age_s))


class Rig:
    def __init__(self, period_s: float = 0.1, settings: MqttSettings = SETTINGS) -> None:
        self.state: State = state(prediction=latest())
        self.clock = ManualClock()
        self.output = MqttOutput(
            *(settings, "press-4", LABELS, period_s),
            state=lambda: self.state,
            latest=sample,
            clock=self.clock,
        )

    def predict(self, value: bool, age_s: float = 0.0) -> None:
        self.output.emit(Prediction(sample(age_s), value, 1))

    def told(self) -> dict[str, Any]:
        self.clock.advance(1)
        document: dict[str, Any] = msgspec.json.decode(
            self.output.messages()["quartet/agent/press-4/state"]
        )
        return document


def test_the_newest_sample_is_told_with_the_prediction_of_now() -> None:
    told = Rig().told()
    assert [told[f"sensor{number}"] for number in range(1, 5)] == [1, None, None, 4]
    assert (told["state"], told["alarm"], told["why"]) == ("streaming", False, "")


def test_an_alarm_is_told_with_its_reason_and_since_when() -> None:
    rig = Rig()
    rig.state = state(
        prediction=latest(True),
        alarm_since_ns=NOW_NS - 10**9,
        alarm_reason="alarm: T2 is 30: sensor1 100%",
    )
    told = rig.told()
    assert (told["alarm"], told["why"]) == (True, "T2 is 30: inlet 100%")
    assert told["alarm_since"] == "2024-05-01T11:59:59.000+00:00"


def test_a_true_between_two_messages_is_told_by_the_next_one_alone() -> None:
    rig = Rig()
    rig.predict(True)
    rig.predict(False)
    assert [rig.told()["alarm"] for _ in range(2)] == [True, False]


def test_after_the_end_of_an_agent_nobody_knows_of_an_alarm() -> None:
    rig = Rig()
    rig.state = state(prediction=latest(True), alarm_since_ns=NOW_NS, alarm_reason="T2 is 30")
    assert rig.told()["alarm"] is True
    told = msgspec.json.decode(rig.output.last_messages()["quartet/agent/press-4/state"])
    assert (told["alarm"], told["alarm_since"], told["why"]) == (None, None, "")
    assert (told["state"], told["sensor1"]) == ("the agent has ended", 1)


@pytest.mark.parametrize(("period_s", "age_s", "alarm"), [(0.1, 11, None), (60, 170, False)])
def test_a_prediction_that_is_not_of_now_is_no_alarm_and_no_all_clear(
    period_s: float, age_s: float, alarm: bool | None
) -> None:
    rig = Rig(period_s)
    rig.state = state(prediction=latest(age_s=age_s))
    assert rig.told()["alarm"] is alarm
    rig.predict(True, age_s=age_s + 20)  # of a backlog
    assert rig.told()["alarm"] is alarm


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning": Learning(1, 300)}, "learning"),
        ({"link": LinkState.CONNECTING}, "connecting"),
        (
            {"link": LinkState.WAITING, "link_trouble": "nothing listens there"},
            "no connection to the broker; nothing listens there",
        ),
        ({"source_trouble": "no ADS1115\x1b"}, "streaming; no ADS1115\\x1b"),
    ],
)
def test_the_state_is_told_in_words(changes: dict[str, Any], said: str) -> None:
    rig = Rig()
    rig.state = state(**changes)
    assert rig.told()["state"] == said


def test_without_discovery_home_assistant_is_told_nothing() -> None:
    rig = Rig(settings=MqttSettings("127.0.0.1:1883", discovery=False))
    assert rig.output.messages()["homeassistant/device/quartet_agent_press--4/config"] == b""


def test_an_agent_without_the_library_says_what_to_install_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    for name in ("agent.sinks.mqtt", "quartet.mqtt.connection", "quartet.mqtt.publisher"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    sinks = FanOut([])
    clock = ManualClock()
    added = add_mqtt(
        *(SETTINGS, sinks, "a", LABELS, 1.0), state=state, latest=lambda: None, clock=clock
    )
    assert (added, sinks.failures) == (None, 1)
    (said,) = caplog.messages
    assert said.startswith("outputs.mqtt: aiomqtt is missing: pip install 'aiomqtt")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('address = "10.0.0.1:1883"', "outputs.mqtt.address: 10.0.0.1:1883 is another machine"),
        (
            'address = "127.0.0.1"',
            "outputs.mqtt.address: expected HOST:PORT, such as 127.0.0.1:1883,",
        ),
        ('address = "localhost:1883"\ntopic_prefix = "a/#"', "outputs.mqtt.topic_prefix: expected"),
        (
            'address = "localhost:1883"\nusername = "a"\npassword_file = "none"',
            "password_file: none: No such file or directory: write the password into it",
        ),
    ],
)
def test_a_check_names_each_slip(
    lines: str, said: str, tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nid = "a"\n[outputs.mqtt]\n{lines}\n')
    command = ["run", "--config", str(path), "--check", "--simulate", str(dataset)]
    assert main(command) == 2
    assert said in capsys.readouterr().err


def test_a_password_that_anyone_can_read_is_warned_about_and_a_simulation_needs_a_name(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = tmp_path / "password"
    password.write_text("an open secret")
    password.chmod(0o644)
    path = tmp_path / "agent.toml"
    path.write_text(
        '[outputs.mqtt]\naddress = "localhost:1883"\nusername = "a"\n'
        f'password_file = "{password}"\n'
    )
    command = ["run", "--config", str(path), "--check", "--simulate", str(dataset)]
    assert main(command) == 2
    assert "a simulation with [outputs.mqtt] needs a name" in capsys.readouterr().err
    assert main([*command, "--agent-id", "a"]) == 0
    assert "anyone here can read" in capsys.readouterr().err
