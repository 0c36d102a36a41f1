"""`[virtual]`: the simulated ADS1115, the signals at its pins, and its faults."""

from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import Table

Volts = Annotated[float, Meta(ge=-10, le=10)]
Span = Annotated[float, Meta(ge=0, le=10)]
Hertz = Annotated[float, Meta(gt=0, le=10_000)]
Moment = Annotated[float, Meta(ge=0, le=1_000_000_000)]
FaultKind = Literal[
    "nack",
    "timeout",
    "busy",
    "brown_out",
    "stuck_mux",
    "slow_oscillator",
    "stall",
    "other_reader",
    "bus_low",
]


class SineSettings(Table, frozen=True, tag_field="kind", tag="sine"):
    """`[virtual.a0]` with `kind = "sine"`: a sine with noise."""

    offset_v: Volts = 1.0
    """Mean voltage."""
    amplitude_v: Span = 0.1
    """Peak of the sine above its mean."""
    frequency_hz: Hertz = 0.1
    """Frequency of the sine."""
    noise_v: Span = 0.001
    """Standard deviation of the noise."""


class NoiseSettings(Table, frozen=True, tag_field="kind", tag="noise"):
    """`[virtual.a0]` with `kind = "noise"`: normal white noise."""

    mean_v: Volts = 1.0
    """Mean voltage."""
    stdev_v: Span = 0.005
    """Standard deviation of the noise."""


class FloatingSettings(Table, frozen=True, tag_field="kind", tag="floating"):
    """`[virtual.a0]` with `kind = "floating"`: an open pin, to which nothing is connected."""


class CsvSettings(Table, frozen=True, tag_field="kind", tag="csv"):
    """`[virtual.a0]` with `kind = "csv"`: a column of a CSV file, repeated for ever."""

    path: Annotated[str, Meta(examples=["sensors.csv"])]
    """The recording, a CSV file for example, with columns of volts."""
    column: Annotated[int, Meta(ge=1, le=4, examples=[1])] | str
    """The column to use: its name; or a number, which counts the sensors of the file from 1."""
    rate_hz: Hertz = 10.0
    """Rows per second."""


SignalSettings = SineSettings | NoiseSettings | FloatingSettings | CsvSettings


class FaultSettings(Table, frozen=True):
    """`[[virtual.faults]]`: a fault of the simulated chip. The table may be repeated."""

    kind: FaultKind
    """The fault. docs/hardware.md describes each of them."""
    after_s: Moment = 0.0
    """Time from the start to the first fault."""
    for_s: Moment = 1.0
    """How long the fault lasts."""
    every_s: Moment = 0.0
    """Time from the start of a fault to the start of the next one. 0: the fault occurs once."""

    def __post_init__(self) -> None:
        if self.every_s and self.every_s <= self.for_s:
            raise ValueError("every_s: must be above for_s, or 0 for a fault that occurs once")


class VirtualSettings(Table, frozen=True):
    """`[virtual]`: the simulated chip of `kind = "virtual"` and `--virtual`.

    By default sines are at its pins A0 and A1, and noise is at A2 and A3: `agent check` passes
    them.
    """

    bus_hz: Annotated[float, Meta(ge=10_000, le=3_400_000)] = 400_000.0
    """Clock of the I2C bus."""
    transaction_us: Annotated[float, Meta(ge=0, le=10_000)] = 100.0
    """Time that the computer adds to each transaction on the bus."""
    oscillator: Annotated[float, Meta(ge=0.9, le=1.1)] = 1.0
    """Speed of the chip's oscillator. 1.0 is nominal."""
    supply_v: Annotated[float, Meta(ge=2.0, le=5.5)] = 3.3
    """Supply voltage of the chip."""
    seed: int = 0
    """Start of the random numbers. The same seed gives the same noise."""
    a0: SignalSettings = SineSettings()
    a1: SignalSettings = SineSettings(0.8, 0.05, 0.2)
    a2: SignalSettings = NoiseSettings()
    a3: SignalSettings = NoiseSettings(0.5)
    faults: tuple[FaultSettings, ...] = ()
