"""`[virtual]`: the ADS1115 in software, what is wired to it, and what befalls it."""

from typing import Annotated, Literal

from msgspec import Meta

from quartet.settings import Table

Volts = Annotated[float, Meta(ge=-10, le=10)]
Span = Annotated[float, Meta(ge=0, le=10)]
Hertz = Annotated[float, Meta(gt=0, le=10_000)]
Moment = Annotated[float, Meta(ge=0, le=1e9)]


class SineSettings(Table, frozen=True, tag_field="kind", tag="sine"):
    """`kind = "sine"`: a sine with noise on it."""

    offset_v: Volts = 1.0
    amplitude_v: Span = 0.5
    frequency_hz: Hertz = 0.1
    noise_v: Span = 0.001


class NoiseSettings(Table, frozen=True, tag_field="kind", tag="noise"):
    """`kind = "noise"`: white and normal."""

    mean_v: Volts = 1.0
    stdev_v: Span = 0.01


class FloatingSettings(Table, frozen=True, tag_field="kind", tag="floating"):
    """`kind = "floating"`: nothing is connected."""


class CsvSettings(Table, frozen=True, tag_field="kind", tag="csv"):
    """`kind = "csv"`: a column (1 to 4) of a file, in volts, over and over."""

    path: str
    column: Annotated[int, Meta(ge=1, le=4)]
    rate_hz: Hertz = 10.0


SignalSettings = SineSettings | NoiseSettings | FloatingSettings | CsvSettings


class FaultSettings(Table, frozen=True):
    """`[[virtual.faults]]`: what goes wrong, when, for how long, and how often (0 = once)."""

    kind: Literal["nack", "timeout", "busy", "brown_out", "stuck_mux", "slow_oscillator", "stall"]
    after_s: Moment = 0.0
    for_s: Moment = 1.0
    every_s: Moment = 0.0

    def __post_init__(self) -> None:
        if self.every_s and self.every_s <= self.for_s:
            raise ValueError("every_s: must be above for_s, or 0 for once")


class VirtualSettings(Table, frozen=True):
    """`[virtual]` as a whole. `oscillator` is the chip's own, of the nominal one."""

    bus_hz: Annotated[float, Meta(ge=10_000, le=3_400_000)] = 400_000.0
    transaction_us: Annotated[float, Meta(ge=0, le=10_000)] = 100.0
    """What the computer adds to each transaction on the bus."""
    oscillator: Annotated[float, Meta(ge=0.9, le=1.1)] = 1.0
    supply_v: Annotated[float, Meta(ge=2.0, le=5.5)] = 3.3
    seed: int = 0
    a0: SignalSettings = SineSettings()
    a1: SignalSettings = SineSettings(0.8, 0.3, 0.5)
    a2: SignalSettings = NoiseSettings()
    a3: SignalSettings = NoiseSettings(0.5, 0.02)
    faults: tuple[FaultSettings, ...] = ()
