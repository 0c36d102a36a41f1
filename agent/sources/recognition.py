"""Whether the chip at an address is the one of the configuration."""

from agent.clock import WaitableClock
from agent.sources.cadence import conversion_ns, unfinished_ns
from agent.sources.channel import COMPARATOR_OFF, MUX, SINGLE_SHOT, START
from agent.sources.converter import Converter
from agent.sources.faults import Fault
from agent.sources.models import ADS1015, ADS1115, Model
from agent.sources.verdict import STOPPED, after_conversion

# Slow enough that the tenth of a conversion by which a chip may be late at the most
# is longer than what the computer may be. By the bits of the other model, an ADS1015 takes
# a twelfth of the time, and an ADS1115 16 times as long.
_RATE = 128

# Another program that uses the chip can spoil one of them.
_TRIES = 3

# Codes of which none has a bit below the upper 12. Of a chip with 16 bits, one in 16
# codes is so.
_COARSE_CODES = 5
_LOW_BITS = 0x000F


class Recognition:
    """What is seen of a chip; `refusal` looks again, the rest tells of the latest look."""

    def __init__(self, model: Model, clock: WaitableClock) -> None:
        self._model = model
        self._clock = clock
        self._codes: set[int] = set()
        self.ends_early = False
        """Whether its conversions end before those of the model can."""

    def refusal(self, converter: Converter) -> str:
        """Why this is not such a chip; empty where it is. OSError where it does not answer."""
        self._codes.clear()
        # Whoever used it before may have left a conversion, in which a start is ignored.
        converter.start(STOPPED)
        self._clock.sleep_until(self._clock.monotonic_ns() + conversion_ns(ADS1115.slowest))
        refusal = ""
        for _ in range(_TRIES):
            refusal = self._try(converter)
            if not refusal:
                break
        return refusal

    def note(self, code: int) -> None:
        """A code that the chip gave."""
        if code not in (0, self._model.code_max):
            self._codes.add(code)

    @property
    def doubt(self) -> str:
        """Why this is perhaps another model, and what to do; empty where nothing says so."""
        if self._model is ADS1015:
            return ""
        if self.ends_early:
            return (
                "this chip is an ADS1015 or a copy of one: its conversions end early, and its"
                ' values have 12 bits; set source.chip = "ads1015"'
            )
        if len(self._codes) >= _COARSE_CODES and not any(code & _LOW_BITS for code in self._codes):
            return (
                "this chip is a copy of an ADS1115 that has 12 bits: each step of its values is 16"
                " times as large"
            )
        return ""

    def _try(self, converter: Converter) -> str:
        """Two conversions; why they are not those of such a chip."""
        ends_early = []
        config = 0
        for wired_to in (0, 3):
            held = config
            rate = self._model.data_rates[_RATE]
            config = START | MUX[wired_to] | SINGLE_SHOT | COMPARATOR_OFF | rate
            began_ns = self._clock.monotonic_ns()
            converter.start(config)
            finished_ns = self._clock.monotonic_ns() + conversion_ns(_RATE)
            self._clock.sleep_until(began_ns + unfinished_ns(_RATE) // 2)
            is_over = converter.config() == config
            ends_early.append(
                is_over and self._clock.monotonic_ns() < began_ns + unfinished_ns(_RATE)
            )
            self._clock.sleep_until(finished_ns)
            register = converter.config()
            if fault := after_conversion(register, config, held):
                if fault is Fault.SLOW and self._is_shared(converter):
                    return f"{Fault.FOREIGN}: {Fault.FOREIGN.advice}"
                return self._told(fault, register, config)
        self.ends_early = all(ends_early)
        return ""

    def _is_shared(self, converter: Converter) -> bool:
        """Whether somebody writes to the chip while nothing of ours goes on."""
        converter.start(STOPPED)
        self._clock.sleep_until(self._clock.monotonic_ns() + conversion_ns(ADS1115.slowest))
        return converter.config() & ~START != STOPPED

    def _told(self, fault: Fault, register: int, config: int) -> str:
        name = self._model.name
        if fault is Fault.SLOW:
            remedy = "replace it"
            if self._model is ADS1015:
                remedy = 'set source.chip = "ads1115" if it is an ADS1115; otherwise replace it'
            return f"the chip does not convert as an {name} would ({fault}): {remedy}"
        neighbours = "an LM75 or a PCF8591 has the same addresses"
        if fault is Fault.NO_DATA:
            bits = "zeros" if register == 0 else "ones"
            return (
                f"its registers read all {bits} ({fault}): check SDA and the supply of the chip,"
                f" and source.address: {neighbours}"
            )
        return (
            f"the chip does not keep its configuration, as an {name} would: it reads"
            f" {register:#06x} in place of {config:#06x}: check source.address, because"
            f" {neighbours}; otherwise stop other programs that use the chip, or replace it"
        )
