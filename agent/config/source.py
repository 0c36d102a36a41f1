"""`[source]`: a file, four sensors at an ADS1115, or the same at one in software."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import Table

Input = Literal[0, 1, 2, 3, "0-1", "0-3", "1-3", "2-3"]
"""A pin against ground, or a differential pair: the first against the second."""

Gain = Literal["2/3", 1, 2, 4, 8, 16]
"""Of the amplifier before the converter, as the field names its six ranges."""

_PINS: tuple[Input, ...] = (0, 1, 2, 3)

# By what the chip's pin ADDR is tied to: ground, supply, SDA, SCL.
_ADDRESSES = range(0x48, 0x4C)


class ReplaySettings(Table, frozen=True, tag_field="kind", tag="replay"):
    """`kind = "replay"`: the CSV at `path` stands in for the hardware."""

    path: str
    loop: bool = False


class SensorSettings(Table, frozen=True):
    """`[source.sensor1]` to 4: where a sensor is connected, and what its volts mean.

    value = scale * volts + offset, in `unit`; outside min..max the sensor has failed.
    """

    input: Input | None = None
    gain: Gain = 1
    unit: Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^[^\x00-\x1f]*\Z")] = "V"
    scale: float = 1.0
    offset: float = 0.0
    min: float = -math.inf
    max: float = math.inf

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise ValueError("scale: 0 gives the same value whatever the sensor says")
        for name in ("scale", "offset"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: expected a finite number")
        if not self.min < self.max:
            raise ValueError(f"min: {self.min:g} is not below max, {self.max:g}")


class Ads1115Settings(Table, frozen=True, tag_field="kind", tag="ads1115"):
    """`kind = "ads1115"`: four sensors at the chip with this address on /dev/i2c-BUS."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1
    address: int = 0x48
    average: Annotated[int, Meta(ge=1, le=64)] = 1
    """So many conversions make a value."""
    sensor1: SensorSettings = SensorSettings()
    sensor2: SensorSettings = SensorSettings()
    sensor3: SensorSettings = SensorSettings()
    sensor4: SensorSettings = SensorSettings()

    def __post_init__(self) -> None:
        if self.address not in _ADDRESSES:
            raise ValueError(f"address: {self.address:#x} is none of 0x48, 0x49, 0x4a, 0x4b")
        taken: dict[Input, str] = {}
        for name, (wired_to, _) in zip(_SENSORS, self.sensors(), strict=True):
            if other := taken.get(wired_to):
                raise ValueError(f"{name}.input: {wired_to!r} is that of {other} already")
            taken[wired_to] = name

    def sensors(self) -> list[tuple[Input, SensorSettings]]:
        """The four sensors with their inputs; sensor 1 is at A0 unless it says otherwise."""
        tables = (self.sensor1, self.sensor2, self.sensor3, self.sensor4)
        return [
            (pin if table.input is None else table.input, table)
            for pin, table in zip(_PINS, tables, strict=True)
        ]


_SENSORS = ("sensor1", "sensor2", "sensor3", "sensor4")


class VirtualAds1115Settings(Ads1115Settings, frozen=True, tag="virtual"):
    """`kind = "virtual"`: the same sensors, at a chip in software; see `[virtual]`."""


SourceSettings = ReplaySettings | Ads1115Settings | VirtualAds1115Settings
