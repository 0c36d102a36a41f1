"""A virtual ADS1115 in virtual time, with voltages that tell the pins apart."""

import math
from collections.abc import Sequence
from itertools import count

from agent.clock import VirtualClock
from agent.config.source import Ads1115Settings
from agent.config.virtual import FaultSettings
from agent.sources.ads1115 import Ads1115
from agent.sources.bus import I2C
from agent.sources.chip import Chip
from agent.sources.models import ADS1115, MODELS, Model
from agent.sources.opening import channels
from agent.sources.virtual.bus import Answering, VirtualI2C
from agent.sources.virtual.chip import Signal, VirtualAds1115
from agent.sources.virtual.faults import FaultSchedule

S = 1_000_000_000
ADDRESS = 0x48
PIN_V = (0.5, 1.0, 1.5, 2.0)

# Of the transfers of a verified reading that are not within its wait.
VERIFIED_NS = 805_000


def wobble() -> Signal:
    """A few codes up and down, as a working sensor has; not the same twice in a row."""
    steps = count()
    return lambda _at_ns, _held_v: 0.001 * (next(steps) % 7)


def constant(volts: float) -> Signal:
    return lambda _at_ns, _held_v: volts


def alive(volts: float) -> Signal:
    noise = wobble()
    return lambda at_ns, held_v: volts + noise(at_ns, held_v)


class Rig:
    """The source on a chip whose pins are PIN_V with some noise, or as a test says."""

    def __init__(
        self,
        *faults: FaultSettings,
        settings: Ads1115Settings | None = None,
        signals: Sequence[Signal] | None = None,
        period_s: float = 0.1,
        bus_hz: float = 400e3,
        overhead_us: float = 100.0,
        oscillator: float = 1.0,
        model: Model = ADS1115,
        at_address: Answering | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.chip = VirtualAds1115(
            signals or [alive(volts) for volts in PIN_V], model=model, oscillator=oscillator
        )
        self.faults = list(faults)
        self.faults_of_bus = FaultSchedule(self.clock, self.chip, self.faults)
        self.bus = VirtualI2C(
            self.clock,
            {ADDRESS: at_address or self.chip},
            self.faults_of_bus,
            frequency_hz=bus_hz,
            overhead_ns=round(overhead_us * 1e3),
        )
        self.settings = settings or Ads1115Settings()
        self.period_ns = round(period_s * S)
        self._deadline_ns = 0

    def open_bus(self) -> I2C:
        return self.bus

    def open(self) -> Ads1115:
        model = MODELS[self.settings.chip]
        name = f"{model.name} at 0x48 on bus 1"
        self.driver = Chip(name, self.open_bus, ADDRESS, self.clock, model)
        source = Ads1115(
            self.driver,
            channels(self.settings),
            self.clock,
            average=self.settings.average,
            period_ns=self.period_ns,
        )
        self._deadline_ns = self.clock.now_ns
        return source

    @property
    def seconds_to_next_row(self) -> float:
        return (self._deadline_ns - self.clock.now_ns) / S

    def befall(self, kind: str, for_s: float, after_s: float = 0.0) -> None:
        """A fault from so many seconds after now on."""
        self.faults.append(FaultSettings(kind, self.clock.now_ns / S + after_s, for_s))

    def rows(self, source: Ads1115, seconds: float) -> list[tuple[float, ...]]:
        """The rows of so many seconds, on the period's grid."""
        rows = []
        until_ns = self.clock.now_ns + round(seconds * S)
        while self._deadline_ns < until_ns:
            self.clock.sleep_until(self._deadline_ns)
            rows.append(source.read())
            passed = max(0, self.clock.now_ns - self._deadline_ns) // self.period_ns
            self._deadline_ns += (1 + passed) * self.period_ns
        return rows


def is_right(row: Sequence[float]) -> bool:
    """Whether each value is that of its own pin, or said to be missing."""
    return all(
        math.isnan(value) or abs(value - volts) < 0.01
        for value, volts in zip(row, PIN_V, strict=True)
    )


def is_whole(row: Sequence[float]) -> bool:
    return is_right(row) and not any(map(math.isnan, row))


def is_nothing(row: Sequence[float]) -> bool:
    return all(map(math.isnan, row))


def counted(faults: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in faults.items() if count}
