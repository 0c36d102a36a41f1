"""What an MQTT server is told: ids, documents, and how often."""

import math
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock

from quartet.channels import Values, as_float32
from quartet.errors import SettingsError
from quartet.mqtt.documents import Device, Present, Sensor, discovery, document
from quartet.mqtt.pace import Pace
from quartet.mqtt.topics import Side, Topics
from quartet.settings import MqttServer

many = settings(derandomize=True, deadline=None, max_examples=200)

LETTERS = st.sampled_from("aZ09._-u")
IDS = st.text(LETTERS, min_size=1, max_size=64)
LEVELS = st.lists(st.text(LETTERS, min_size=1, max_size=5), min_size=1, max_size=3)
TOPICS = st.builds(Topics, LEVELS.map("/".join), st.sampled_from(Side), IDS)
# Also halves of surrogate pairs, which JSON cannot carry.
TEXTS = st.text(st.characters(), max_size=80)
SENSORS = st.tuples(*[st.none() | st.builds(Sensor, TEXTS, TEXTS)] * 4)
FLOATS = st.floats(width=32)
FIXED = Topics("quartet", Side.AGENT, "press-4")
NAMED = (Sensor("inlet", "bar"), None, Sensor("sensor1", ""), Sensor('"}{{ 7*7 }}</b>', "°C"))


def device(topics: Topics = FIXED, sensors: tuple[Sensor | None, ...] = NAMED) -> Any:
    return msgspec.json.decode(discovery(Device(topics, sensors, (topics.status,), "1.2")))


def said(present: Present, sensors: tuple[Sensor | None, ...] = NAMED) -> Any:
    return msgspec.json.decode(document(present, sensors))


MEANT = {"_": "/", "--": "-", "-u": "_", "-d": "."}


@many
@given(TOPICS)
def test_an_id_leads_back_to_its_topic_so_no_two_agents_share_one(topics: Topics) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", topics.key)
    meant = re.sub("_|--|-u|-d", lambda found: MEANT[found[0]], topics.key)
    assert topics.state == f"{meant}/state"
    assert topics.status == f"{meant}/status"
    assert not set("+#\0") & set(topics.state)


@many
@given(TOPICS, SENSORS)
def test_home_assistant_gets_what_its_documentation_asks_for(
    topics: Topics, sensors: tuple[Sensor | None, ...]
) -> None:
    """The schema of its page on MQTT discovery, for the keys that are used here."""
    told = device(topics, sensors)
    assert set(told) == {
        *("device", "origin", "components", "state_topic", "availability", "availability_mode"),
        "qos",
    }
    assert told["device"]["identifiers"] == [topics.key]
    assert told["device"]["name"] == topics.agent_id
    assert told["origin"]["name"]
    parts = told["components"]
    assert parts["alarm"]["platform"] == "binary_sensor"
    for number, sensor in enumerate(sensors, 1):
        part = parts[f"sensor{number}"]
        assert part["platform"] == "sensor"
        # What has a platform alone is taken away.
        assert (len(part) == 1) == (sensor is None)
        assert all(str(text).isprintable() for text in part.values())
    ids = [part["unique_id"] for part in parts.values() if "unique_id" in part]
    assert len(ids) == len(set(ids))
    assert len(discovery(Device(topics, sensors, (topics.status,), "1"))) < 16_384


def test_a_device_has_an_alarm_and_the_sensors_that_are_there() -> None:
    parts = device()["components"]
    assert parts["sensor1"] == {
        "platform": "sensor",
        "unique_id": "quartet_agent_press--4_sensor1",
        "name": "inlet",
        "unit_of_measurement": "bar",
        "state_class": "measurement",
        "value_template": "{{ value_json.sensor1 }}",
    }
    assert parts["sensor2"] == {"platform": "sensor"}
    assert "unit_of_measurement" not in parts["sensor3"]
    assert parts["alarm"]["device_class"] == "problem"
    # As Home Assistant's templates spell the JSON's true and false.
    assert (parts["alarm"]["payload_on"], parts["alarm"]["payload_off"]) == (str(True), str(False))


@many
@given(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS), TEXTS, TEXTS, SENSORS)
def test_each_state_is_strict_json_on_one_line_of_bounded_length(
    values: Values, words: str, why: str, sensors: tuple[Sensor | None, ...]
) -> None:
    present = Present(words, True, values, 1_750_000_000_000_000_000, why=why * 50)
    raw = document(present, sensors)
    assert b"NaN" not in raw
    assert len(raw) < 16_384
    told = msgspec.json.decode(raw)
    for number, (value, sensor) in enumerate(zip(values, sensors, strict=True), 1):
        got = told[f"sensor{number}"]
        if sensor is None or not math.isfinite(value):
            assert got is None
        else:
            assert math.isclose(got, value, rel_tol=1e-4, abs_tol=1e-44)
    assert told["why"].isprintable()
    assert told["state"].isprintable()


def test_the_reason_calls_the_sensors_as_people_do() -> None:
    told = said(
        Present("streaming", True, why="alarm: T2 is 30: sensor1 80%, sensor2 9%, sensor12")
    )
    assert told["why"] == "T2 is 30: inlet 80%, sensor2 9%, sensor12"


def test_a_state_without_a_sample_has_null_in_each_place() -> None:
    assert said(Present("connecting", None)) == {
        "state": "connecting",
        "alarm": None,
        **{f"sensor{number}": None for number in range(1, 5)},
        "sampled_at": None,
        "alarm_since": None,
        "why": "",
    }


def test_times_are_of_rfc_3339() -> None:
    told = said(Present("streaming", True, as_float32([1, 2, 3, 4]), 1_750_000_000_123_456_789, 0))
    assert told["sampled_at"] == "2025-06-15T15:06:40.123+00:00"
    assert told["alarm_since"] == "1970-01-01T00:00:00.000+00:00"


def test_values_wait_for_the_interval_and_an_alarm_does_not() -> None:
    clock = ManualClock()
    pace = Pace(60, clock)

    def chosen(value: float, *, alarm: bool | None = False) -> float:
        present = pace.chosen(Present("streaming", alarm, (value, 0, 0, 0)))
        assert present.values
        return present.values[0]

    assert chosen(1) == 1
    clock.advance(59.9)
    assert chosen(2) == 1
    assert chosen(3, alarm=True) == 3
    assert chosen(4, alarm=True) == 3
    assert chosen(5, alarm=None) == 5
    clock.advance(60)
    assert chosen(6, alarm=None) == 6


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"address": "127.0.0.1"}, "address: expected HOST:PORT"),
        ({"address": "127.0.0.1:0"}, "address: a server cannot have port 0"),
        ({"address": "192.168.1.5:1883"}, "address: 192.168.1.5:1883 is another machine"),
        ({"ca": "ca.pem", "insecure": True}, "insecure: contradicts ca"),
        ({"certificate": "c.pem"}, "key: missing"),
        ({"certificate": "c.pem", "key": "c.key"}, "certificate: needs ca"),
        ({"password_file": "p"}, "password_file: needs username"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((SettingsError, ValueError), match=f"^{re.escape(complaint)}"):
        MqttServer(**{"address": "127.0.0.1:1883", **changes})


@pytest.mark.parametrize("prefix", ["a/+", "#", "a//b", "/a", "a/", "ä", "a b", "", "a\n"])
def test_a_prefix_that_is_no_topic_is_refused(prefix: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"address": "127.0.0.1:1", "topic_prefix": prefix}, MqttServer)
