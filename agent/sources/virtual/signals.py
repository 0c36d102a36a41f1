"""What is wired to the pins of a virtual chip: volts, as a function of time."""

import math
import random
from itertools import islice
from pathlib import Path

from agent.config.virtual import (
    CsvSettings,
    FloatingSettings,
    NoiseSettings,
    SignalSettings,
    SineSettings,
)
from agent.errors import SourceError
from agent.sources.virtual.chip import Signal
from quartet.errors import TableError
from quartet.plural import counted
from quartet.recording import Choice, Recording

# What is seen at an open input: some tenths of a volt, adrift, with the mains on top,
# pulled toward the channel before. Modelled: no two boards are alike in it.
_OPEN_V = 0.57
_DRIFT_V = 0.002
_HUM_V = 0.04
_MAINS_HZ = 50.0
_PULL = 0.2

# Of a recording; it is held in memory, 32 MB a pin.
_MOST_ROWS = 1_000_000


def signal(settings: SignalSettings, chance: random.Random) -> Signal:
    """A signal as it is configured. SourceError where its file cannot be read."""
    match settings:
        case SineSettings():
            return Sine(settings, chance)
        case NoiseSettings():
            return Noise(settings, chance)
        case FloatingSettings():
            return Floating(chance)
        case CsvSettings():
            return Recorded(settings)


class Sine:
    """A sine with noise on it."""

    def __init__(self, settings: SineSettings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance

    def __call__(self, at_ns: int, _held_v: float) -> float:
        """Volts at a moment."""
        sine = self._settings
        swing = math.sin(2 * math.pi * sine.frequency_hz * at_ns / 1e9)
        return sine.offset_v + sine.amplitude_v * swing + self._chance.gauss(0, sine.noise_v)


class Noise:
    """White noise around a mean."""

    def __init__(self, settings: NoiseSettings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance

    def __call__(self, _at_ns: int, _held_v: float) -> float:
        """Volts at a moment."""
        return self._chance.gauss(self._settings.mean_v, self._settings.stdev_v)


class Floating:
    """A pin that nothing is connected to: it drifts, and picks up the mains."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._drift_v = 0.0

    def __call__(self, at_ns: int, held_v: float) -> float:
        """Volts at a moment."""
        self._drift_v = 0.99 * self._drift_v + self._chance.gauss(0, _DRIFT_V)
        hum = math.sin(2 * math.pi * _MAINS_HZ * at_ns / 1e9)
        open_v = _OPEN_V + self._drift_v + _HUM_V * hum
        return open_v + _PULL * (held_v - open_v)


class Recorded:
    """A column of a file, a row every so often, over and over. A failed reading is 0 V."""

    def __init__(self, settings: CsvSettings) -> None:
        self._path = Path(settings.path)
        self._column = settings.column
        self._rate_hz = settings.rate_hz
        self._volts = self._read()

    def __call__(self, at_ns: int, _held_v: float) -> float:
        """Volts at a moment."""
        return self._volts[int(at_ns / 1e9 * self._rate_hz) % len(self._volts)]

    def _read(self) -> list[float]:
        if isinstance(self._column, str):
            choice, sensor = Choice((self._column,)), 0
        else:
            choice, sensor = Choice(), self._column - 1
        try:
            with Recording(self._path, choice) as recording:
                rows = islice(recording, _MOST_ROWS + 1)
                column = [row.values[sensor] for row in rows]
        except TableError as error:
            raise SourceError(*error.args) from error
        if len(column) > _MOST_ROWS:
            raise SourceError(f"{self._path}: longer than {counted(_MOST_ROWS, 'row')}")
        return [volts if math.isfinite(volts) else 0.0 for volts in column]
