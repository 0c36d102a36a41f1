"""`[source]`: a file, four sensors at an ADS1115, or the same at a simulated one."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import Table

Input = Literal[0, 1, 2, 3, "0-1", "0-3", "1-3", "2-3"]
"""A pin against ground, or a differential pair: the first against the second."""

Gain = Annotated[
    Literal["2/3", 1, 2, 4, 8, 16],
    Meta(
        description='"2/3" (6.144 V), 1 (4.096 V), 2 (2.048 V), 4 (1.024 V), 8 (0.512 V) or 16'
        " (0.256 V)"
    ),
]
"""Of the amplifier before the converter, as the field names its six ranges."""

FULL_SCALE_V: dict[Gain, float] = {
    "2/3": 6.144,
    1: 4.096,
    2: 2.048,
    4: 1.024,
    8: 0.512,
    16: 0.256,
}
"""Volts at the end of the range. No input may exceed the supply by 0.3 V, whatever the gain."""

ChipName = Literal["ads1115", "ads1015"]
"""The chip itself: the second one has 12 bits, and converts four times as fast."""

Unit = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=16,
        pattern=r"^[^\x00-\x1f]*\Z",
        description="text of 1 to 16 characters in quotes",
    ),
]

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=r"^[^\x00-\x1f\x7f]*\Z",
        description="text of 1 to 32 characters in quotes",
    ),
]

_MOST_COLUMNS = 4

_PINS: tuple[Input, ...] = (0, 1, 2, 3)

ChipAddress = Annotated[int, Meta(ge=0x48, le=0x4B, description="0x48, 0x49, 0x4a, 0x4b")]
"""By what the chip's pin ADDR is tied to: ground, supply, SDA, SCL."""

QuotedAddress = Annotated[str, Meta(pattern=r"^0[xX]4[89aAbB]\Z", description="the same in quotes")]


class ReplaySettings(Table, frozen=True, tag_field="kind", tag="replay"):
    """`[source]` with `kind = "replay"`: samples from a CSV file instead of sensors."""

    path: Annotated[str, Meta(examples=["sensors.csv"])]
    """The recording: a CSV file or another text file of a logger, also compressed."""
    loop: bool = False
    """Start again at the end of the file."""
    columns: Annotated[tuple[str | int, ...], Meta(examples=[["Voltage 0", 3]])] = ()
    """The columns of the sensors in order, one to four, by name or by number from 1. A sensor
    without a column is always 0. By default the four columns of numbers, if they are clear."""
    time: str | int = ""
    """The column of the time, by name or number. By default a column that looks like a clock."""

    speed: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    """With rate_hz = "recorded": how many times as fast as the recording its replay is."""
    since: str = ""
    """Leave out the rows before this: a date and time, or seconds from the first row."""
    until: str = ""
    """Leave out the rows from here on, in the same form."""

    def __post_init__(self) -> None:
        if len(self.columns) > _MOST_COLUMNS:
            raise ValueError(f"columns: expected one to four columns, got {len(self.columns)}")


class SensorSettings(Table, frozen=True):
    """`[source.sensor1]` to `[source.sensor4]`: one sensor, and what its voltage means.

    value = scale * volts + offset. A reading outside min..max is sent as NaN.
    """

    input: Annotated[Literal[Input, "none"], Meta(examples=[0, 1, 2, 3])] | None = None
    """Pin of the chip: 0 is A0. A pair such as "0-1" measures A0 against A1. By default sensor1
    is at A0, sensor2 at A1, sensor3 at A2 and sensor4 at A3. "none": there is no sensor, and its
    value is always 0."""
    name: (
        Annotated[Name, Meta(examples=["oil pressure", "oil temperature", "vibration", "current"])]
        | None
    ) = None
    """What people call the sensor, in the live view, in the reason of an alarm and on the broker.
    By default sensor1 to sensor4."""
    gain: Gain = 1
    """Gain of the amplifier. 1 measures up to 4.096 V, 2 up to 2.048 V, and so on."""
    unit: Unit = "V"
    """Unit of the value, such as "bar"."""
    scale: float = 1.0
    """Change of the value for 1 V, in `unit` per volt."""
    offset: float = 0.0
    """The value at 0 V, in `unit`."""
    min: float = -math.inf
    """Smallest possible value, in `unit`. A smaller one is a failed reading."""
    max: float = math.inf
    """Largest possible value, in `unit`. A larger one is a failed reading."""

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise ValueError("scale: 0 gives the same value for every voltage")
        for name in ("scale", "offset"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: expected a number that is not inf or nan")
        if not self.min < self.max:
            raise ValueError(f"min: {self.min:g} must be below max, {self.max:g}")
        low, high = self.reach
        if self.max < low or high < self.min:
            raise ValueError(
                f"min: {self.min:g} to {self.max:g} {self.unit} cannot be measured: gain ="
                f" {self.gain} gives {low:.4g} to {high:.4g} {self.unit}: check gain, scale and"
                " offset"
            )

    @property
    def reach(self) -> tuple[float, float]:
        """The smallest and the largest value that the gain lets through, in `unit`."""
        swing = abs(self.scale) * FULL_SCALE_V[self.gain]
        return self.offset - swing, self.offset + swing


class Ads1115Settings(Table, frozen=True, tag_field="kind", tag="ads1115"):
    """`[source]` with `kind = "ads1115"`: four sensors at an ADS1115 chip."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1
    """Number of the I2C bus: 1 is /dev/i2c-1."""
    address: ChipAddress | QuotedAddress = 0x48
    """I2C address of the chip, set by its pin ADDR: tied to GND, VDD, SDA or SCL."""
    chip: ChipName = "ads1115"
    """The chip: an ADS1115, or an ADS1015, which has 12 bits and converts four times as fast."""
    average: Annotated[int, Meta(ge=1, le=64)] = 1
    """Number of conversions that are averaged for one reading."""
    sensor1: SensorSettings = SensorSettings()
    sensor2: SensorSettings = SensorSettings()
    sensor3: SensorSettings = SensorSettings()
    sensor4: SensorSettings = SensorSettings()

    def __post_init__(self) -> None:
        taken: dict[Input, int] = {}
        for number, wired_to, _ in self.sensors():
            if other := taken.get(wired_to):
                raise ValueError(
                    f"sensor{number}.input: {wired_to!r} is already used by sensor{other}"
                )
            taken[wired_to] = number
        if not taken:
            raise ValueError('sensor1.input: expected a pin: all four sensors are "none"')

    @property
    def chip_address(self) -> int:
        """The address as a number."""
        return self.address if isinstance(self.address, int) else int(self.address, 16)

    def sensors(self) -> list[tuple[int, Input, SensorSettings]]:
        """Number, input and table of each sensor that there is; sensor 1 is at A0 by default."""
        tables = (self.sensor1, self.sensor2, self.sensor3, self.sensor4)
        inputs = [
            pin if table.input is None else table.input
            for pin, table in zip(_PINS, tables, strict=True)
        ]
        return [
            (number, wired_to, table)
            for number, (wired_to, table) in enumerate(zip(inputs, tables, strict=True), 1)
            if wired_to != "none"
        ]


class VirtualAds1115Settings(Ads1115Settings, frozen=True, tag="virtual"):
    """`[source]` with `kind = "virtual"`: the same at a simulated chip; see `[virtual]`.

    The keys and tables are those of `kind = "ads1115"`.
    """


SourceSettings = ReplaySettings | Ads1115Settings | VirtualAds1115Settings
