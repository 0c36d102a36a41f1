"""`[outputs]`: pins that a prediction or the state of the agent switches, and an MQTT server."""

from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import MqttServer, Table

Pin = Annotated[int, Meta(ge=0, le=27)]
"""A GPIO of the 40-pin header, by Broadcom's number: 17 is GPIO17."""

Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class AlarmSettings(Table, frozen=True):
    """`[outputs.alarm]`: a LED, buzzer or relay that follows the predictions."""

    pin: Annotated[Pin, Meta(examples=[17])]
    """GPIO by its Broadcom number: 17 is GPIO17."""
    active_high: bool = True
    """true: the pin is high when the alarm is on. Most relay modules need false."""
    on_after: Count = 1
    """Number of predictions in a row that must be True to switch the alarm on."""
    off_after: Count = 1
    """Number of predictions in a row that must be False to switch the alarm off."""
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 10.0
    """If the newest prediction is older than this, switch the output to its safe state."""
    safe: Literal["off", "on"] = "off"
    """The safe state: before the first prediction, without new predictions, and at the end."""
    latch: bool = False
    """true: once on by a prediction, the output stays on until a person runs `agent release`."""


class StatusSettings(Table, frozen=True):
    """`[outputs.status]`: a LED that shows the state of the agent.

    It is on while samples are answered, blinks while connecting, and blinks fast at a fault.
    """

    pin: Annotated[Pin, Meta(examples=[27])]
    """GPIO by its Broadcom number: 27 is GPIO27."""
    active_high: bool = True
    """true: the LED is on when the pin is high."""


class MqttSettings(MqttServer, frozen=True):
    """`[outputs.mqtt]`: an MQTT server that gets values, alarm and reason, also for Home Assistant.

    It needs the library of the extra "mqtt".
    """


class OutputsSettings(Table, frozen=True):
    """`[outputs]`: pins that the agent switches, and an MQTT server. By default none."""

    alarm: AlarmSettings | None = None
    status: StatusSettings | None = None
    mqtt: MqttSettings | None = None

    def __post_init__(self) -> None:
        if self.alarm and self.status and self.alarm.pin == self.status.pin:
            raise ValueError(f"status.pin: {self.status.pin} is already used by alarm")
