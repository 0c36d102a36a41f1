"""What a code of the ADS1115 means: input, range, sign, calibration. Pure.

Registers and ranges: ADS1115 data sheet (SBAS444), "Config Register".
"""

import math
from dataclasses import dataclass

from agent.config.source import FULL_SCALE_V, Gain, Input, SensorSettings
from agent.sources.models import ADS1115, Model
from quartet.channels import FLOAT32_MAX

START = 0x8000
"""The bit OS: begins a conversion when written, reads 1 when none goes on."""

SINGLE_SHOT = 0x0100
DATA_RATE = 0x00E0
COMPARATOR_OFF = 0x0003

CODE_MIN, CODE_MAX = -0x8000, 0x7FFF

MUX: dict[Input, int] = {
    "0-1": 0x0000,
    "0-3": 0x1000,
    "1-3": 0x2000,
    "2-3": 0x3000,
    0: 0x4000,
    1: 0x5000,
    2: 0x6000,
    3: 0x7000,
}
"""The input's bits of the config register."""

GAIN: dict[Gain, int] = {
    "2/3": 0x0000,
    1: 0x0200,
    2: 0x0400,
    4: 0x0600,
    8: 0x0800,
    16: 0x0A00,
}
"""The amplifier's bits of the config register."""


def signed(register: int) -> int:
    """The code in the conversion register, which is in two's complement."""
    return register - 0x10000 if register & 0x8000 else register


@dataclass(frozen=True, slots=True)
class Channel:
    """One sensor at the chip; `number` is its place in a sample, 1 to 4."""

    number: int
    input: Input
    gain: Gain
    unit: str
    scale: float
    offset: float
    min: float
    max: float
    label: str
    """What a person calls it."""
    code_max: int
    """The code of an input at or above the full scale."""
    beyond: str
    """Which limit the gain does not reach, in words; empty where it reaches both."""

    @classmethod
    def of(
        cls, number: int, wired_to: Input, settings: SensorSettings, model: Model = ADS1115
    ) -> "Channel":
        """A sensor as it is configured."""
        return cls(
            number,
            wired_to,
            settings.gain,
            settings.unit,
            settings.scale,
            settings.offset,
            settings.min,
            settings.max,
            settings.name or f"sensor{number}",
            model.code_max,
            _beyond(settings),
        )

    @property
    def name(self) -> str:
        """As its table in the configuration is called."""
        return f"sensor{self.number}"

    @property
    def pins(self) -> str:
        """What of the chip it is wired to, in words."""
        if isinstance(self.input, int):
            return f"A{self.input}"
        return "A" + self.input.replace("-", " against A")

    @property
    def config(self) -> int:
        """The config register to begin one conversion, without its data rate."""
        return START | MUX[self.input] | GAIN[self.gain] | SINGLE_SHOT | COMPARATOR_OFF

    @property
    def lsb_v(self) -> float:
        """Volts of one code."""
        return FULL_SCALE_V[self.gain] / -CODE_MIN

    def value(self, code: float) -> float:
        """In the sensor's unit; of a mean of codes as well."""
        return self.scale * (code * self.lsb_v) + self.offset

    def is_saturated(self, code: int) -> bool:
        """Whether the input is beyond the range, so that its value is not known."""
        return code == CODE_MIN or code >= self.code_max

    def is_in_range(self, value: float) -> bool:
        """Whether a working sensor can give this value, and a sample hold it."""
        return self.min <= value <= self.max and abs(value) <= FLOAT32_MAX


def _beyond(of: SensorSettings) -> str:
    low, high = of.reach
    for name, limit in (("max", of.max), ("min", of.min)):
        if math.isfinite(limit) and not low <= limit <= high:
            return (
                f"{name} = {limit:g} {of.unit} is not reached with gain = {of.gain}, which gives"
                f" {low:.4g} to {high:.4g} {of.unit}: a value beyond that is missing (saturated);"
                f" choose a lower gain, or correct {name}"
            )
    return ""
