"""One reading of an ADS1115: started with its channel's configuration, waited for, fetched."""

import contextlib
import errno
import statistics
from collections.abc import Callable, Sequence
from itertools import cycle, islice

from agent.clock import WaitableClock
from agent.errors import SourceError
from agent.sources.bus import I2C
from agent.sources.cadence import Overhead, conversion_ns, unfinished_ns
from agent.sources.channel import CODE_MAX, DATA_RATE, START, Channel
from agent.sources.converter import Converter
from agent.sources.faults import Fault, ReadingError, fault_of
from agent.sources.models import ADS1115, Model
from agent.sources.recognition import Recognition
from agent.sources.scan import scan
from agent.sources.verdict import ALTERNATING, STOPPED, after_conversion, before_start

# A reset also clears the result, and a wire that is held makes all bits the same. Such a
# code is looked into where the one before was not near: nearer ones come and go with the
# noise around 0 V.
_SUSPECT = (0, -1)
_NEAR_ZERO = 16

# Readings to measure the overhead from: their median is safe from a few that were delayed.
_PROBES = 16

# To measure the bus; the chip repeats itself, or says ones, beyond its two bytes.
_SHORT_BYTES, _LONG_BYTES = 2, 66

# When a conversion is asked for whether it goes on, as a share of the time that the
# fastest chip takes: so early that the answer comes in time, and so late that a
# conversion of twice the data rate has ended.
_HALFWAY = 0.8


class Chip:
    """A chip and the bus that it is on, opened and closed as often as needed. One thread.

    A plain reading takes two transactions and no polling. Its result is fetched when
    the slowest chip has finished, counted from when the start had returned: a
    thread that was held up reads late, which is harmless, and never early,
    which would give the channel before.
    """

    def __init__(
        self,
        name: str,
        open_bus: Callable[[], I2C],
        address: int,
        clock: WaitableClock,
        model: Model = ADS1115,
    ) -> None:
        self.name = name
        self.model = model
        self._open_bus = open_bus
        self._address = address
        self._clock = clock
        self._recognition = Recognition(model, clock)
        self._bus: I2C | None = None
        self._converter: Converter | None = None
        self._last_codes: dict[Channel, int] = {}
        self._held = 0  # what was written last
        self.data_rate = model.fastest

    @property
    def is_open(self) -> bool:
        """Whether it answered when it was opened last."""
        return self._converter is not None

    @property
    def wait_ns(self) -> int:
        """From a start to its result."""
        return conversion_ns(self.data_rate)

    @property
    def doubt(self) -> str:
        """Why this is perhaps another model than was said; empty where nothing says so."""
        return self._recognition.doubt

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

        With `verify` the result is of this very start, whatever other programs do with the
        chip. Without it, only a code that a reset or a held wire leaves is looked into.
        """
        if self._converter is None:
            raise ReadingError(Fault.NO_ANSWER)
        config = channel.config | self.model.data_rates[self.data_rate]
        try:
            if verify:
                code = self._verified(self._converter, config)
            else:
                before = self._last_codes.get(channel, CODE_MAX)
                code = self._plain(self._converter, config, before)
        except OSError as error:
            self._let_finish()
            raise ReadingError(fault_of(error)) from error
        except ReadingError:
            self._let_finish()
            raise
        self._last_codes[channel] = code
        return code

    def measure_overhead(self, channels: Sequence[Channel]) -> Overhead:
        """What a reading takes beside the wait: its transactions and late wake-ups.

        SourceError where none can be read.
        """
        return Overhead(
            self._overhead_ns(channels, verify=True), self._overhead_ns(channels, verify=False)
        )

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
            return scan(bus)
        finally:
            if not self._bus:
                bus.deinit()

    def _identify(self, converter: Converter) -> None:
        if refusal := self._recognition.refusal(converter):
            self.scan()  # a bus that is held low has an error of its own
            raise SourceError(f"{self.name}: {refusal}")

    def _plain(self, converter: Converter, config: int, before: int) -> int:
        """A reading that is looked into only where its code is suspect, after a code `before`."""
        held = self._held
        config = self._start(converter, config, held)
        self._clock.sleep_until(self._clock.monotonic_ns() + self.wait_ns)
        code = converter.code()
        if code in _SUSPECT and abs(before) > _NEAR_ZERO:
            self._judge(converter.config(), config, held)
        return code

    def _verified(self, converter: Converter, config: int) -> int:
        """A reading between questions that another program's use of the chip cannot pass.

        Its start before ours makes the chip busy, or ends before ours could have; one after
        ours leaves its configuration; and fetching its result moves the chip's pointer.
        """
        held = converter.config()
        if fault := before_start(held, self._held):
            if fault is Fault.FOREIGN:
                self._step_aside(held)
                converter.start(STOPPED)
            raise ReadingError(self._confirmed(fault, converter, config))
        began_ns = self._clock.monotonic_ns()
        config = self._start(converter, config, held)
        finished_ns = self._clock.monotonic_ns() + self.wait_ns
        earliest_ns = began_ns + unfinished_ns(self.data_rate)
        self._clock.sleep_until(began_ns + round(_HALFWAY * (earliest_ns - began_ns)))
        is_over = bool(self._ask(converter, config, held) & START)
        is_early = self._clock.monotonic_ns() < earliest_ns
        if is_over and is_early and not self._recognition.ends_early:
            raise ReadingError(Fault.FOREIGN)
        self._clock.sleep_until(finished_ns)
        asked_ns = self._clock.monotonic_ns()
        if not self._ask(converter, config, held) & START:
            raise ReadingError(self._confirmed(Fault.SLOW, converter, config))
        code = converter.code()
        is_late = self._clock.monotonic_ns() - asked_ns >= unfinished_ns(self.model.fastest)
        if is_late or code in _SUSPECT:
            self._judge(converter.config(), config, held)
        return code

    def _start(self, converter: Converter, config: int, held: int) -> int:
        """Start a conversion; its configuration, which differs from the one that the chip held."""
        self._held = config | ~held & ALTERNATING
        converter.start(self._held)
        return self._held

    def _judge(self, register: int, config: int, held: int) -> None:
        if fault := after_conversion(register, config, held):
            if fault is Fault.FOREIGN:
                self._step_aside(register)
            raise ReadingError(fault)

    def _step_aside(self, register: int) -> None:
        """Have another data rate than the other program, from now on.

        A conversion that it starts in the moment between the last question and our start, and
        that takes as long as ours, cannot be told from ours.
        """
        faster = [rate for rate in self.model.data_rates if rate > self.data_rate]
        if faster and register & DATA_RATE == self.model.data_rates[self.data_rate]:
            self.data_rate = min(faster)

    def _ask(self, converter: Converter, config: int, held: int) -> int:
        """The config register, which is ours and at which the pointer still is."""
        register = converter.config_again()
        if register | START == config:
            return register
        register = converter.config()
        if register | START != config:
            self._judge(register, config, held)
        raise ReadingError(Fault.FOREIGN)  # the pointer alone has moved

    def _confirmed(self, fault: Fault, converter: Converter, config: int) -> Fault:
        """Whether the chip is slow, or somebody's conversion went on: one of ours, alone, tells."""
        if fault is not Fault.SLOW:
            return fault
        until_ns = self._clock.monotonic_ns() + conversion_ns(self.model.slowest)
        while not converter.config() & START:
            if self._clock.monotonic_ns() > until_ns:
                return Fault.SLOW
            self._let_finish()
        converter.start(config)
        self._let_finish()
        is_late = converter.config() == config & ~START
        return Fault.SLOW if is_late else Fault.FOREIGN

    def _overhead_ns(self, channels: Sequence[Channel], *, verify: bool) -> int:
        took_ns = []
        fault = Fault.FOREIGN
        for channel in islice(cycle(channels), _PROBES):
            began_ns = self._clock.monotonic_ns()
            try:
                self._recognition.note(self.convert(channel, verify=verify))
            except ReadingError as error:
                fault = error.fault
                if fault is not Fault.FOREIGN:
                    break
            else:
                took_ns.append(self._clock.monotonic_ns() - began_ns - self.wait_ns)
        if not took_ns or fault is not Fault.FOREIGN:
            raise SourceError(f"{self.name}: {fault} during the measurement: {fault.advice}")
        return round(statistics.median(took_ns))

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

    def _let_finish(self) -> None:
        """A conversion may go on, and a start within it would be ignored."""
        self._clock.sleep_until(self._clock.monotonic_ns() + self.wait_ns)
