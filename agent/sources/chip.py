"""One reading of an ADS1115: started with its channel's configuration, waited for, fetched."""

import contextlib
import errno
import statistics
from collections.abc import Callable

from agent.clock import WaitableClock
from agent.errors import SourceError
from agent.sources.bus import I2C
from agent.sources.cadence import DATA_RATES, conversion_ns
from agent.sources.channel import CODE_MAX, COMPARATOR_OFF, MUX, SINGLE_SHOT, START, Channel
from agent.sources.converter import Converter
from agent.sources.faults import Fault, ReadingError, fault_of

# A reset also clears the result. A code of 0 is looked into where the one before
# was not near: nearer ones come and go with the noise around 0 V.
_NEAR_ZERO = 16

# Readings to measure the overhead from: their median is safe from a few that were delayed.
_PROBES = 16

# To measure the bus; the chip repeats itself, or says ones, beyond its two bytes.
_SHORT_BYTES, _LONG_BYTES = 2, 66

# Slow enough that the tenth of a conversion by which a chip may be late at the most
# is longer than what the computer may be.
_IDENTIFY_RATE = 128

# Of 7 bits; the others are reserved.
_ADDRESSES = range(0x08, 0x78)


class Chip:
    """An ADS1115 and the bus that it is on, opened and closed as often as needed. One thread.

    A reading takes two transactions and no polling. Its result is fetched when
    the slowest chip has finished, counted from when the start had returned: a
    thread that was held up reads late, which is harmless, and never early,
    which would give the channel before.
    """

    def __init__(
        self, name: str, open_bus: Callable[[], I2C], address: int, clock: WaitableClock
    ) -> None:
        self.name = name
        self._open_bus = open_bus
        self._address = address
        self._clock = clock
        self._bus: I2C | None = None
        self._converter: Converter | None = None
        self._last_codes: dict[Channel, int] = {}
        self.data_rate = max(DATA_RATES)

    @property
    def is_open(self) -> bool:
        """Whether it answered when it was opened last."""
        return self._converter is not None

    @property
    def wait_ns(self) -> int:
        """From a start to its result."""
        return conversion_ns(self.data_rate)

    def open(self) -> None:
        """Find the chip, and see that it is one. SourceError, with the remedy, otherwise."""
        self.close()
        self._last_codes.clear()
        try:
            self._bus = self._open_bus()
            self._converter = Converter(self._bus, self._address)
            self._identify(self._converter)
        except (OSError, ValueError) as error:
            self.close()
            raise self._unusable(error) from error
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the bus."""
        if self._bus:
            with contextlib.suppress(OSError):
                self._bus.deinit()
        self._bus = self._converter = None

    def convert(self, channel: Channel, *, verify: bool = False) -> int:
        """The code of one conversion, -32768 to 32767. ReadingError where there is none.

        With `verify`, or where the code is what a reset leaves, the chip is asked
        whether it has finished, and still has the configuration of this channel.
        """
        if self._converter is None:
            raise ReadingError(Fault.NO_ANSWER)
        config = channel.config | DATA_RATES[self.data_rate]
        try:
            self._converter.start(config)
            self._clock.sleep_until(self._clock.monotonic_ns() + self.wait_ns)
            if verify:
                self._verify(self._converter.config(), config)
            code = self._converter.code()
            if code == 0 and abs(self._last_codes.get(channel, CODE_MAX)) > _NEAR_ZERO:
                self._verify(self._converter.config(), config)
        except OSError as error:
            self._let_finish()
            raise ReadingError(fault_of(error)) from error
        except ReadingError:
            self._let_finish()
            raise
        self._last_codes[channel] = code
        return code

    def measure_overhead_ns(self, channel: Channel) -> int:
        """What a reading takes beside the wait: two transactions and a late wake-up.

        SourceError where none can be read.
        """
        took_ns = []
        try:
            for _ in range(_PROBES):
                began_ns = self._clock.monotonic_ns()
                self.convert(channel)
                took_ns.append(self._clock.monotonic_ns() - began_ns - self.wait_ns)
        except ReadingError as error:
            raise SourceError(f"{self.name}: {error.fault} during the measurement") from error
        return round(statistics.median(took_ns))

    def measure_bus_hz(self) -> float:
        """The clock of the bus, from what a longer read takes beside a short one.

        OSError where the chip does not answer.
        """
        if self._converter is None:
            raise OSError(errno.ENODEV, "not open")
        took_ns: dict[int, float] = {}
        for count in (_SHORT_BYTES, _LONG_BYTES):
            times_ns = []
            for _ in range(_PROBES):
                began_ns = self._clock.monotonic_ns()
                self._converter.read_bytes(count)
                times_ns.append(self._clock.monotonic_ns() - began_ns)
            took_ns[count] = statistics.median(times_ns)
        bits = 9 * (_LONG_BYTES - _SHORT_BYTES)
        return bits * 1e9 / max(1.0, took_ns[_LONG_BYTES] - took_ns[_SHORT_BYTES])

    def scan(self) -> list[int]:
        """The addresses that answer on the bus. SourceError where it does not work at all."""
        bus = self._bus or self._open_bus()
        try:
            found = [address for address in _ADDRESSES if _answers(bus, address)]
        except ReadingError as error:
            raise SourceError(f"{error.fault}: {error.fault.advice}") from error
        finally:
            if not self._bus:
                bus.deinit()
        if len(found) == len(_ADDRESSES):
            raise SourceError(f"{Fault.BUSY}: {Fault.BUSY.advice}")
        return found

    def _unusable(self, error: OSError | ValueError) -> SourceError:
        """What it means that the chip could not be opened."""
        # The driver's probe has a ValueError for whatever the bus says.
        cause = error if isinstance(error, OSError) else error.__context__
        fault = fault_of(cause) if isinstance(cause, OSError) else Fault.NO_ANSWER
        if fault is Fault.NO_ANSWER:
            return SourceError(
                f"no {self.name}: check the wiring, its supply and source.address; 'agent check'"
                " lists the chips that answer"
            )
        return SourceError(f"{self.name}: {fault} ({cause}): {fault.advice}")

    def _identify(self, converter: Converter) -> None:
        """SourceError where this answers, but not as an ADS1115 does."""
        # Whoever used it before may have left a conversion; a start within it is ignored.
        self._clock.sleep_until(self._clock.monotonic_ns() + conversion_ns(min(DATA_RATES)))
        rate = DATA_RATES[_IDENTIFY_RATE]
        try:
            for wired_to in (0, 3):
                config = START | MUX[wired_to] | SINGLE_SHOT | COMPARATOR_OFF | rate
                converter.start(config)
                wait_ns = conversion_ns(_IDENTIFY_RATE)
                self._clock.sleep_until(self._clock.monotonic_ns() + wait_ns)
                self._verify(converter.config(), config)
        except ReadingError as error:
            raise SourceError(
                f"{self.name}: the chip does not keep its configuration, as an ADS1115 would"
                f" ({error.fault}): check source.address, or replace the chip"
            ) from error

    @staticmethod
    def _verify(register: int, config: int) -> None:
        if not register & START:
            raise ReadingError(Fault.SLOW)
        if register != config:
            raise ReadingError(Fault.LOST)

    def _let_finish(self) -> None:
        """A conversion may go on, and a start within it would be ignored."""
        self._clock.sleep_until(self._clock.monotonic_ns() + self.wait_ns)


def _answers(bus: I2C, address: int) -> bool:
    """Whether anything does. ReadingError where the bus itself fails, which may take a second."""
    try:
        bus.writeto(address, b"")
    except OSError:  # not all adapters can write nothing
        try:
            bus.readfrom_into(address, bytearray(1))
        except OSError as error:
            fault = fault_of(error)
            if fault in (Fault.TIMEOUT, Fault.BUS_ERROR):
                raise ReadingError(fault) from error
            return fault is Fault.BUSY  # a driver of the kernel has it
    return True
