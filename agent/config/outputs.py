"""`[outputs]`: pins that a prediction or the state of the agent switches."""

from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import Table

Pin = Annotated[int, Meta(ge=0, le=27)]
"""A GPIO of the 40-pin header, by Broadcom's number: 17 is GPIO17."""

Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class AlarmSettings(Table, frozen=True):
    """`[outputs.alarm]`: a LED, buzzer or relay that follows the predictions.

    On after so many True in a row, off after so many False. In its safe state
    while the newest prediction is of a sample older than ttl_s, and at the end.
    """

    pin: Pin
    active_high: bool = True
    on_after: Count = 1
    off_after: Count = 1
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 10.0
    safe: Literal["off", "on"] = "off"


class StatusSettings(Table, frozen=True):
    """`[outputs.status]`: a LED that blinks while connecting, fast at a fault, and else is on."""

    pin: Pin
    active_high: bool = True


class OutputsSettings(Table, frozen=True):
    """`[outputs]`: none, unless it is named."""

    alarm: AlarmSettings | None = None
    status: StatusSettings | None = None

    def __post_init__(self) -> None:
        if self.alarm and self.status and self.alarm.pin == self.status.pin:
            raise ValueError(f"status.pin: {self.status.pin} is that of alarm already")
