"""The two chips that are read: what is the same in both is in `channel`, what differs is here.

Source: data sheets of the ADS1115 (SBAS444) and of the ADS1015 (SBAS473), "Config Register".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config.source import ChipName


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of chip. Its code is in the upper bits of 16, so that a volt is the same in both."""

    name: str
    data_rates: Mapping[int, int]
    """Conversions a second, nominal, and their bits of the config register; the slowest first."""
    code_max: int
    """The code of an input at or above the full scale; that of one below it is -0x8000."""

    @property
    def fastest(self) -> int:
        """The highest data rate."""
        return max(self.data_rates)

    @property
    def slowest(self) -> int:
        """The lowest data rate."""
        return min(self.data_rates)


ADS1115 = Model(
    "ADS1115",
    {
        8: 0x0000,
        16: 0x0020,
        32: 0x0040,
        64: 0x0060,
        128: 0x0080,
        250: 0x00A0,
        475: 0x00C0,
        860: 0x00E0,
    },
    0x7FFF,
)

ADS1015 = Model(
    "ADS1015",
    {
        128: 0x0000,
        250: 0x0020,
        490: 0x0040,
        920: 0x0060,
        1600: 0x0080,
        2400: 0x00A0,
        3300: 0x00C0,
    },
    0x7FF0,
)

MODELS: Mapping[ChipName, Model] = {"ads1115": ADS1115, "ads1015": ADS1015}
"""By their names in the configuration."""
