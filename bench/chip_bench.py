"""Four sensors by timed conversions, beside the driver's own loop and beside another program."""

import argparse
import asyncio
import contextlib
import itertools
import logging
import math
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence

from adafruit_ads1x15.ads1115 import ADS1115

from agent.app import SWITCH_INTERVAL_S
from agent.clock import SystemClock, VirtualClock, WaitableClock
from agent.config.source import Ads1115Settings
from agent.config.virtual import FaultSettings
from agent.model import Reading
from agent.sampler import Sampler
from agent.sources import LABELS
from agent.sources.ads1115 import Ads1115
from agent.sources.chip import Chip
from agent.sources.models import ADS1115 as MODEL
from agent.sources.opening import channels
from agent.sources.virtual.bus import VirtualI2C
from agent.sources.virtual.chip import Signal, VirtualAds1115
from agent.sources.virtual.faults import FaultSchedule
from bench import figures
from quartet.channels import Values

_ADDRESS = 0x48
_PIN_V = (0.5, 1.0, 1.5, 2.0)
_WRONG_V = 0.01

# Conversions a second of a nominal chip, shared by four channels.
_LIMIT_HZ = MODEL.fastest / 4

# At 400 kHz, up to here.
_VERIFIED_HZ = 116.0

_STALL_NS = 5_000_000
_STALL_SHARE = 0.01

_CADENCE_HZ = 50.0
_LOOP_STALL_S = 0.1


class Stalls(FaultSchedule):
    """The thread gets no processor for 5 ms, before or after one of a hundred transfers."""

    def __init__(self, clock: WaitableClock, chip: VirtualAds1115) -> None:
        super().__init__(clock, chip)
        self._chance = random.Random(1)  # noqa: S311

    def before_transfer(self) -> int:
        self._maybe()
        return super().before_transfer()

    def after_transfer(self) -> None:
        self._maybe()

    def _maybe(self) -> None:
        if self._chance.random() < _STALL_SHARE:
            self._clock.sleep_until(self._clock.monotonic_ns() + _STALL_NS)


def _constant(volts: float) -> Signal:
    return lambda _at_ns, _held_v: volts


class Bench:
    """A virtual chip with constant pins, on a clock."""

    def __init__(
        self,
        clock: WaitableClock,
        *,
        bus_hz: float = 400e3,
        overhead_us: float = 100,
        oscillator: float = 1.0,
        stalls: bool = False,
        faults: Sequence[FaultSettings] = (),
    ) -> None:
        self.clock = clock
        chip = VirtualAds1115(
            [_constant(volts) for volts in _PIN_V],
            oscillator=oscillator,
        )
        self.bus = VirtualI2C(
            clock,
            {_ADDRESS: chip},
            Stalls(clock, chip) if stalls else FaultSchedule(clock, chip, faults),
            frequency_hz=bus_hz,
            overhead_ns=round(overhead_us * 1e3),
        )

    def ours(
        self, data_rate: int | None = None, *, is_verified: bool = True
    ) -> Callable[[], Values]:
        """The agent's source."""
        chip = Chip("virtual ADS1115", lambda: self.bus, _ADDRESS, self.clock)
        source = Ads1115(
            chip,
            channels(Ads1115Settings()),
            self.clock,
            average=1,
            period_ns=round(1e9 / _CADENCE_HZ),
        )
        if data_rate:
            chip.data_rate = data_rate
        # As a period without room has it, which leaves nothing else to compare.
        source._is_verified = is_verified  # noqa: SLF001
        return source.read

    def drivers(self) -> Callable[[], Values]:
        """read() of the driver, which polls the chip."""
        driver = ADS1115(self.bus, data_rate=MODEL.fastest)

        def read() -> Values:
            first, second, third, fourth = (
                driver.read(4 + pin) * 4.096 / 32768 for pin in range(4)
            )
            return first, second, third, fourth

        return read


def rows_per_second(bench: Bench, read: Callable[[], Values], rows: int) -> tuple[float, float]:
    """Rows a second, and transfers a row."""
    began_ns, transfers = bench.clock.monotonic_ns(), bench.bus.transfers
    for _ in range(rows):
        read()
    took_s = (bench.clock.monotonic_ns() - began_ns) / 1e9
    return rows / took_s, (bench.bus.transfers - transfers) / rows


def beside_another(
    rate_hz: float, data_rate: int, rows: int, *, is_verified: bool
) -> tuple[int, int, int]:
    """Wrong and missing values of all, on a grid, while another program reads the chip.

    Once in a second, roughly, so that each phase of a row is met; its four pins in a go.
    """
    bench = Bench(VirtualClock(), faults=[FaultSettings("other_reader", 0.5, 0.03, 1.00137)])
    read = bench.ours(data_rate, is_verified=is_verified)
    begin_ns = bench.clock.monotonic_ns()
    wrong = missing = 0
    for number in range(rows):
        bench.clock.sleep_until(begin_ns + round(number * 1e9 / rate_hz))
        for value, volts in zip(read(), _PIN_V, strict=True):
            missing += math.isnan(value)
            wrong += abs(value - volts) > _WRONG_V
    return wrong, missing, 4 * rows


def wrong_values(read: Callable[[], Values], rows: int) -> int:
    """How many values are not those of their pins."""
    return sum(
        abs(value - volts) > _WRONG_V
        for _ in range(rows)
        for value, volts in zip(read(), _PIN_V, strict=True)
    )


class Timed:
    """A source that notes when it was read."""

    labels = LABELS
    faults: dict[str, int] = {}  # noqa: RUF012 - none
    trouble = ""
    due_ns = None

    def __init__(self, read: Callable[[], Values], reads: int) -> None:
        self._read = read
        self._reads = reads
        self.begun_ns: list[int] = []

    def read(self) -> Values | None:
        if len(self.begun_ns) == self._reads:
            return None
        self.begun_ns.append(time.monotonic_ns())
        return self._read()

    def close(self) -> None:
        pass


class Nowhere:
    """Takes readings."""

    unanswered = 0

    def append(self, reading: Reading) -> None:
        pass

    def finish(self) -> None:
        pass


async def _stall_the_loop(stall: Callable[[float], object]) -> None:
    while True:
        stall(_LOOP_STALL_S)
        await asyncio.sleep(_LOOP_STALL_S)


def _spin(seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        pass


async def by_sampler(stall: Callable[[float], object], rows: int) -> list[int]:
    """The moments of reads on the agent's bus thread."""
    source = Timed(Bench(SystemClock()).ours(), rows)
    period_ns = round(1e9 / _CADENCE_HZ)
    sampler = Sampler(source, Nowhere(), period_ns, SystemClock(), on_start=lambda: None)
    bus = threading.Thread(target=sampler.run, name="bus")
    stalling = asyncio.create_task(_stall_the_loop(stall))
    bus.start()
    await asyncio.to_thread(bus.join)
    stalling.cancel()
    return source.begun_ns


async def in_the_loop(stall: Callable[[float], object], rows: int) -> list[int]:
    """The moments of reads in a coroutine, as one writes it in an afternoon."""
    source = Timed(Bench(SystemClock()).ours(), rows)
    stalling = asyncio.create_task(_stall_the_loop(stall))
    begin_s = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begin_s + number / _CADENCE_HZ - time.monotonic()))
        if source.read() is None:
            break
    stalling.cancel()
    return source.begun_ns


def cadence_errors_ms(begun_ns: list[int]) -> tuple[float, float]:
    """How late reads are on their grid, which begins with the first: p50 and p99."""
    period_ns = 1e9 / _CADENCE_HZ
    late_ms = sorted((at_ns - begun_ns[0]) % period_ns / 1e6 for at_ns in begun_ns[1:])
    return statistics.median(late_ms), late_ms[int(len(late_ms) * 0.99)]


def main() -> int:
    """Measure, and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    quick = arguments.quick
    found: list[figures.Figure] = []
    logging.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rows, stalled_rows, timed_rows = (50, 500, 25) if quick else (1000, 100_000, 1000)

    print(f"Modelled: a virtual chip at {MODEL.fastest} SPS, in virtual time; {rows} rows each")
    print(
        f"{'bus':>8}{'overhead':>10}{'oscillator':>12}{'driver, rows/s':>20}"
        f"{'Quartet, plain':>20}{'verified':>20}{'cost':>8}{'transfers a row':>22}"
    )
    for bus_hz, overhead_us, oscillator in itertools.product(
        (100e3, 400e3), (100, 200), (0.9, 1.0, 1.1)
    ):
        made = []
        for make in (
            Bench.drivers,
            lambda bench: bench.ours(MODEL.fastest, is_verified=False),
            lambda bench: bench.ours(MODEL.fastest),
        ):
            bench = Bench(
                VirtualClock(), bus_hz=bus_hz, overhead_us=overhead_us, oscillator=oscillator
            )
            made.append(rows_per_second(bench, make(bench), rows))
        rates = "".join(f"{hz:>13.1f} ({hz / _LIMIT_HZ / oscillator:4.0%})" for hz, _ in made)
        (theirs_hz, theirs), (plain_hz, plain), (verified_hz, verified) = made
        place = f"bus {bus_hz / 1e3:.0f} kHz, {overhead_us} us, oscillator {oscillator}"
        found += figures.figure(f"{place}, plain", "rows/s", [plain_hz], [theirs_hz])
        found += figures.figure(f"{place}, verified", "rows/s", [verified_hz], [theirs_hz])
        print(
            f"{bus_hz / 1e3:>4.0f} kHz{overhead_us:>7} us{oscillator:>12}{rates}"
            f"{1 - verified_hz / plain_hz:>8.0%}{theirs:>9.1f} : {plain:.1f} : {verified:.1f}"
        )
    print("in brackets: of what the chip converts at this oscillator, shared by four channels\n")

    print("beside another program that reads four pins once a second: wrong values (missing ones)")
    for rate_hz, data_rate in ((10.0, 64), (114.0, 860), (140.0, 860)):
        told = []
        for is_verified in (False, True) if rate_hz < _VERIFIED_HZ else (False,):
            wrong, missing, values = beside_another(
                rate_hz, data_rate, 3 * rows, is_verified=is_verified
            )
            kind = "verified" if is_verified else "plain"
            told.append(f"{kind}: {wrong} ({missing})")
            place = f"beside another program, {rate_hz:g} rows/s, {kind}"
            found += figures.figure(f"{place}, wrong", "values", [wrong])
            found += figures.figure(f"{place}, missing", "values", [missing])
        print(f"{rate_hz:>5g} rows/s, {values} values, {'; '.join(told)}")
    print()

    for oscillator in (0.9, 1.0, 1.1):
        bench = Bench(VirtualClock(), oscillator=oscillator, stalls=True)
        wrong = wrong_values(bench.ours(MODEL.fastest), stalled_rows)
        print(f"stalls of 5 ms, oscillator {oscillator}: {wrong} wrong values, {stalled_rows} rows")
        found += figures.figure(f"stalls, oscillator {oscillator}, wrong", "values", [wrong])

    print(f"\nCadence at {_CADENCE_HZ:g} rows/s in real time; how late a read begins, ms")
    print(f"{'the event loop':44}{'Quartet, p50 / p99':>22}{'in the loop, p50 / p99':>26}")
    kinds: tuple[tuple[str, Callable[[float], object]], ...] = (
        ("is idle", lambda _: None),
        ("is blocked for 100 ms, five times a second", time.sleep),
        ("computes for 100 ms, five times a second", _spin),
    )
    for name, stall in kinds:
        (ours_50, ours_99), (plain_50, plain_99) = (
            cadence_errors_ms(asyncio.run(measure(stall, timed_rows)))
            for measure in (by_sampler, in_the_loop)
        )
        found += figures.figure(f"the event loop {name}, lateness p50", "ms", [ours_50], [plain_50])
        found += figures.figure(f"the event loop {name}, lateness p99", "ms", [ours_99], [plain_99])
        print(f"{name:44}{ours_50:>14.2f} /{ours_99:>6.2f}{plain_50:>18.2f} /{plain_99:>6.2f}")
    figures.write(arguments.json, "chip", found)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
