"""The JSON documents about an agent: its state, and its discovery by Home Assistant. Pure.

Home Assistant finds a device by https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from quartet.channels import CHANNELS, Values
from quartet.foreign import shown
from quartet.mqtt.topics import Side, Topics

MANUFACTURER = "Quartet"

# For people: as many as the journal shows. A converter has no more either.
_DIGITS = 5

# Of a reason or a trouble: a stranger's predictor may say more.
_MOST_IN_WORDS = 1000

_SENSOR = re.compile(rf"\bsensor([1-{CHANNELS}])\b")

_MODELS = {Side.AGENT: "Agent", Side.BROKER: "Agent, as its broker sees it"}

# Not the values: each change of an attribute is a row in Home Assistant's database. It takes no
# attribute with the name "state".
_ATTRIBUTES = (
    "{{ {'agent_state': value_json.state, 'why': value_json.why, 'since': value_json.alarm_since}"
    " | tojson }}"
)


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a person calls a sensor, and the unit of its values."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Device:
    """An agent, and what is the same in all its messages."""

    topics: Topics
    sensors: tuple[Sensor | None, ...]
    """Of all four channels; None: there is no sensor."""
    availability: tuple[str, ...]
    """The topics that all say "online" while the state is true."""
    version: str
    """Of this software."""


@dataclass(frozen=True, slots=True)
class Present:
    """An agent at one moment."""

    state: str
    """In words, on one line."""
    alarm: bool | None
    """None: nobody knows it of now."""
    values: Values | None = None
    """Of the newest sample; NaN: the reading failed."""
    sampled_at_ns: int | None = None
    """When it was taken (Unix ns)."""
    alarm_since_ns: int | None = None
    """When the first sample of the present alarm was taken (Unix ns)."""
    why: str = ""
    """The reason of the alarm, which calls the sensors sensor1 to sensor4; empty: none is known."""


def document(present: Present, sensors: Sequence[Sensor | None]) -> bytes:
    """The state document. What is no number, or of no sensor, is null."""
    values = present.values or (math.nan,) * CHANNELS
    said = {
        "state": shown(present.state, _MOST_IN_WORDS),
        "alarm": present.alarm,
        **{
            f"sensor{number}": _number(value) if sensor else None
            for number, (value, sensor) in enumerate(zip(values, sensors, strict=True), 1)
        },
        "sampled_at": _time(present.sampled_at_ns),
        "alarm_since": _time(present.alarm_since_ns),
        "why": shown(_called(present.why, sensors), _MOST_IN_WORDS),
    }
    return msgspec.json.encode(said)


def discovery(device: Device) -> bytes:
    """The discovery document: one device with an alarm and the sensors that are there."""
    topics = device.topics
    about = {"name": MANUFACTURER, "sw_version": device.version}
    said = {
        "device": {
            "identifiers": [topics.key],
            "name": topics.agent_id,
            "manufacturer": MANUFACTURER,
            "model": _MODELS[topics.side],
            "sw_version": device.version,
        },
        "origin": about,
        "components": {
            "alarm": _alarm(topics),
            **dict(_sensors(topics.key, device.sensors)),
        },
        "state_topic": topics.state,
        "availability": [{"topic": topic} for topic in device.availability],
        "availability_mode": "all",
        "qos": 1,
    }
    return msgspec.json.encode(said)


def _alarm(topics: Topics) -> dict[str, object]:
    return {
        "platform": "binary_sensor",
        "unique_id": f"{topics.key}_alarm",
        "name": "Alarm",
        "device_class": "problem",
        # Home Assistant's template gives True, False or None; and None is "unknown" there.
        "value_template": "{{ value_json.alarm }}",
        "payload_on": "True",
        "payload_off": "False",
        "json_attributes_topic": topics.state,
        "json_attributes_template": _ATTRIBUTES,
    }


def _sensors(key: str, sensors: Iterable[Sensor | None]) -> Iterable[tuple[str, dict[str, object]]]:
    for number, sensor in enumerate(sensors, 1):
        name = f"sensor{number}"
        entity: dict[str, object] = {"platform": "sensor"}
        if sensor:  # what has a platform alone is taken away again
            entity |= {
                "unique_id": f"{key}_{name}",
                "name": shown(sensor.name),
                "state_class": "measurement",
                "value_template": f"{{{{ value_json.{name} }}}}",
            }
            if sensor.unit:
                entity["unit_of_measurement"] = shown(sensor.unit)
        yield name, entity


def _called(why: str, sensors: Sequence[Sensor | None]) -> str:
    """The reason, with the sensors as a person calls them."""

    def name(found: re.Match[str]) -> str:
        sensor = sensors[int(found[1]) - 1]
        return sensor.name if sensor else found[0]

    return _SENSOR.sub(name, why.removeprefix("alarm: "))


def _number(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _time(at_ns: int | None) -> str | None:
    """RFC 3339, to the millisecond."""
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")
