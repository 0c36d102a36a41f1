"""The ADS1115 or ADS1015 by its registers, as a function of time.

Source: their data sheets (SBAS444, SBAS473). Every method takes the moment at which the
bus does something, in ns of the caller's monotonic clock; moments never go back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.config.source import FULL_SCALE_V
from agent.sources.channel import CODE_MIN, DATA_RATE, GAIN, MUX, signed
from agent.sources.models import ADS1115, Model
from agent.sources.virtual.comparator import Comparator

Signal = Callable[[int, float], float]
"""Volts at a pin, at a moment in ns, for a chip that still holds those of its conversion before."""

_CONVERSION, _CONFIG, _LOW, _HIGH = range(4)

# What the registers are when the chip gets power.
_RESET = (0x0000, 0x8583, 0x8000, 0x7FFF)

_OS = 0x8000
_MUX = 0x7000
_GAIN = 0x0E00
_SINGLE_SHOT = 0x0100

# From power-down to the begin of a single conversion.
_WAKE_UP_NS = 25_000

# Beyond the supply or below ground by more than this, protection diodes conduct.
_DIODE_V = 0.3

_FULL_SCALE_V_OF = {bits: FULL_SCALE_V[gain] for gain, bits in GAIN.items()}
_FULL_SCALE_V_OF |= {0x0C00: 0.256, 0x0E00: 0.256}  # two more codes of the highest gain
_INPUT_OF = {bits: wired_to for wired_to, bits in MUX.items()}


@dataclass(frozen=True, slots=True)
class _Conversion:
    config: int
    began_ns: int
    ends_ns: int


class VirtualAds1115:
    """A chip with a signal at each of its four pins.

    `oscillator` is its frequency, of the nominal one: 0.9 to 1.1 in a chip that
    keeps its data sheet. It and `mux_stuck` may be changed at any time.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        *,
        model: Model = ADS1115,
        oscillator: float = 1.0,
        supply_v: float = 3.3,
    ) -> None:
        self._signals = signals
        self._code_max = model.code_max
        self._data_rate_of = {bits: rate for rate, bits in model.data_rates.items()}
        # The codes that are left: of an ADS1015, one more of its highest rate.
        self._data_rate_of.setdefault(DATA_RATE, model.fastest)
        self._supply_v = supply_v
        self.oscillator = oscillator
        self.mux_stuck = False
        self.reset()

    def reset(self) -> None:
        """Lose and regain power."""
        self._registers = list(_RESET)
        self._pointer = _CONVERSION
        self._conversion: _Conversion | None = None
        self._held_v = 0.0
        self._comparator = Comparator()

    def write(self, data: bytes, at_ns: int) -> None:
        """A pointer, or a pointer and a register of two bytes, as the last of them arrives."""
        self._advance(at_ns)
        if data:
            self._pointer = data[0] & 3
        if len(data) > 2:
            self._write_register(self._pointer, data[1] << 8 | data[2], at_ns)

    def read(self, count: int, at_ns: int) -> bytes:
        """The register of the pointer, high byte first; more bytes than it has are 0xff."""
        self._advance(at_ns)
        register = self._registers[self._pointer]
        if self._pointer == _CONFIG and self._is_converting:
            register &= ~_OS
        if self._pointer == _CONVERSION:
            self._comparator.release()
        return register.to_bytes(2, "big").ljust(count, b"\xff")[:count]

    def alert_pin(self, at_ns: int) -> bool:
        """The level of ALERT/RDY; its pull-up makes it high while it is not driven."""
        self._advance(at_ns)
        asserted = self._comparator.is_asserted(at_ns)
        return asserted == self._comparator.is_active_high(self._registers[_CONFIG])

    def _write_register(self, pointer: int, value: int, at_ns: int) -> None:
        if pointer == _CONVERSION:
            return  # read-only
        if pointer != _CONFIG:
            self._registers[pointer] = value
            return
        if self.mux_stuck:
            value = value & ~_MUX | self._registers[_CONFIG] & _MUX
        self._registers[_CONFIG] = value | _OS
        if self._is_converting:
            return  # it ends with its own configuration, whatever OS says
        if not value & _SINGLE_SHOT:
            self._begin(at_ns)
        elif value & _OS:
            self._comparator.begin()
            self._begin(at_ns + _WAKE_UP_NS)

    @property
    def _is_converting(self) -> bool:
        return self._conversion is not None

    def _begin(self, at_ns: int) -> None:
        config = self._registers[_CONFIG]
        period_ns = 1e9 / self._data_rate_of[config & DATA_RATE] / self.oscillator
        self._conversion = _Conversion(config, at_ns, at_ns + round(period_ns))

    def _advance(self, at_ns: int) -> None:
        """Finish what has ended by then."""
        while (conversion := self._conversion) and conversion.ends_ns <= at_ns:
            self._conversion = None
            self._finish(conversion)
            if not self._registers[_CONFIG] & _SINGLE_SHOT:
                self._begin(conversion.ends_ns)

    def _finish(self, conversion: _Conversion) -> None:
        # The modulator averages over the whole conversion: its middle stands for it.
        middle_ns = (conversion.began_ns + conversion.ends_ns) // 2
        volts = self._volts(_INPUT_OF[conversion.config & _MUX], middle_ns)
        full_scale_v = _FULL_SCALE_V_OF[conversion.config & _GAIN]
        code = min(max(round(volts / full_scale_v * -CODE_MIN), CODE_MIN), self._code_max)
        code &= self._code_max | CODE_MIN  # of 12 bits, the lowest four are always 0
        self._registers[_CONVERSION] = code & 0xFFFF
        self._comparator.judge(
            code,
            conversion.config,
            signed(self._registers[_LOW]),
            signed(self._registers[_HIGH]),
            conversion.ends_ns,
        )

    def _volts(self, wired_to: int | str, at_ns: int) -> float:
        positive, _, negative = str(wired_to).partition("-")
        against_v = self._pin_v(int(negative), at_ns) if negative else 0.0
        held_v = self._pin_v(int(positive), at_ns)
        self._held_v = held_v
        return held_v - against_v

    def _pin_v(self, pin: int, at_ns: int) -> float:
        volts = self._signals[pin](at_ns, self._held_v)
        return min(max(volts, -_DIODE_V), self._supply_v + _DIODE_V)
