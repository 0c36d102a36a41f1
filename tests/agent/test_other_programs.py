"""Another program on the chip: it costs readings, and never gives a wrong value."""

import errno
import logging
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import PIN_V, Rig, S, is_nothing, is_right, is_whole

from agent.config.source import Ads1115Settings, SensorSettings
from agent.errors import SourceError
from agent.sources.ads1115 import Ads1115
from agent.sources.faults import Fault
from agent.sources.models import ADS1015, ADS1115
from agent.sources.virtual.reader import CONFIGS, Reader

many = settings(derandomize=True, deadline=None, max_examples=25)

# Not quite a second, so that each phase of a row is met.
EVERY_NS = 1_001_370_000

SINGLE_SHOT, DATA_RATE = 0x0100, 0x00E0
ALONE = Ads1115Settings(**{f"sensor{n}": SensorSettings(input="none") for n in (1, 3, 4)})


def beside(
    rig: Rig,
    configs: Sequence[int] = CONFIGS,
    *,
    every_ns: int = EVERY_NS,
    asleep_ns: int = 0,
) -> Reader:
    """Another reader on the rig's chip from now on, once in so long a time."""
    begin_ns = rig.clock.now_ns
    reader = Reader(
        rig.chip, lambda at_ns: at_ns + (begin_ns - at_ns) % every_ns, configs, asleep_ns=asleep_ns
    )
    rig.faults_of_bus.readers.append(reader)
    return reader


def with_rate(bits: int) -> list[int]:
    return [config & ~DATA_RATE | bits for config in CONFIGS]


def wrong(rows: Sequence[Sequence[float]]) -> int:
    return sum(
        not (math.isnan(value) or abs(value - volts) < 0.01)
        for row in rows
        for value, volts in zip(row, PIN_V, strict=True)
    )


def missing(rows: Sequence[Sequence[float]]) -> int:
    return sum(map(math.isnan, (value for row in rows for value in row)))


def test_of_12000_values_beside_a_reader_once_a_second_none_is_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    source = rig.open()
    reader = beside(rig)
    rows = rig.rows(source, 300)
    assert len(rows) == 3000
    assert reader.readings > 250
    assert wrong(rows) == 0
    assert 100 < missing(rows) < 500
    assert caplog.messages == [
        "ADS1115 at 0x48 on bus 1: another program: it uses the chip at the same time, which costs"
        " readings: stop it ('sudo fuser -v /dev/i2c-1' lists the programs on bus 1)"
    ]


@pytest.mark.parametrize("rate_hz", [1, 20, 50, 100, 114])
def test_at_each_rate_that_is_verified_none_is_wrong(rate_hz: int) -> None:
    rig = Rig(period_s=1 / rate_hz)
    source = rig.open()
    beside(rig, every_ns=EVERY_NS if rate_hz > 1 else 3 * EVERY_NS)
    rows = rig.rows(source, 60)
    assert wrong(rows) == 0
    assert sum(map(is_whole, rows)) > 0.6 * len(rows)


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("bits", ADS1115.data_rates.values())
@pytest.mark.parametrize("asleep_ns", [0, 100_000_000])
def test_whatever_the_other_programs_rate_none_is_wrong(
    bits: int, oscillator: float, asleep_ns: int
) -> None:
    """Also where it does not ask whether its result is ready, but sleeps."""
    rig = Rig(oscillator=oscillator)
    source = rig.open()
    beside(rig, with_rate(bits), asleep_ns=asleep_ns)
    rows = rig.rows(source, 100)
    assert wrong(rows) == 0
    assert source.faults[Fault.SLOW] == 0
    assert sum(map(is_whole, rows)) > 0.5 * len(rows)


@pytest.mark.parametrize("period_s", [0.1, 0.01])
def test_a_program_that_leaves_the_chip_converting_all_the_time_is_stopped(period_s: float) -> None:
    rig = Rig(period_s=period_s)
    source = rig.open()
    beside(rig, [config & ~SINGLE_SHOT for config in CONFIGS], asleep_ns=20_000_000)
    rows = rig.rows(source, 30)
    assert wrong(rows) == 0
    assert sum(map(is_whole, rows)) > 0.5 * len(rows)


@many
@given(st.integers(0, 7), st.floats(0.003, 2.0), st.floats(0.0, 0.1), st.booleans())
def test_no_phase_and_no_pace_of_the_other_program_gives_a_wrong_value(
    rate: int, every_s: float, asleep_s: float, is_new: bool
) -> None:
    model = ADS1015 if is_new else ADS1115
    chip = Ads1115Settings(chip="ads1015" if is_new else "ads1115")
    rig = Rig(model=model, settings=chip, period_s=0.05)
    source = rig.open()
    # Its own rate would be stepped aside from once it has been seen.
    bits = [each for each in model.data_rates.values() if each != 0x0080][rate % 6]
    beside(rig, with_rate(bits), every_ns=round(every_s * S), asleep_ns=round(asleep_s * S) or 1000)
    assert wrong(rig.rows(source, 10)) == 0


def test_a_busy_computer_gives_the_other_program_no_chance() -> None:
    """A stall between the last question and the result is long enough for another conversion."""
    rig = Rig(period_s=0.05)
    source = rig.open()
    chance = random.Random(1)  # noqa: S311
    for _ in range(400):
        rig.befall("stall", 0.004, chance.uniform(0, 20))
    beside(rig, with_rate(ADS1115.data_rates[860]), every_ns=23_000_000)
    rows = rig.rows(source, 20)
    assert wrong(rows) == 0
    assert missing(rows) < 0.8 * 4 * len(rows)


def test_an_own_rate_that_the_other_program_has_is_given_up() -> None:
    rig = Rig()
    source = rig.open()
    assert rig.driver.data_rate == 64
    beside(rig, with_rate(ADS1115.data_rates[64]))
    rig.rows(source, 20)
    assert rig.driver.data_rate == 128


def test_one_spoilt_reading_costs_no_other_of_its_row() -> None:
    rig = Rig()
    source = rig.open()
    rig.rows(source, 1)
    rig.befall("other_reader", 0.001, rig.seconds_to_next_row + 0.045)  # within the third
    rows = rig.rows(source, 1)
    assert [math.isnan(value) for value in rows[0]] == [False, False, True, False]
    assert all(map(is_whole, rows[1:]))
    assert source.faults[Fault.FOREIGN] == 1


def test_a_program_that_reads_between_two_rows_costs_nothing() -> None:
    rig = Rig()
    source = rig.open()
    rig.rows(source, 1)
    rig.befall("other_reader", 0.001, rig.seconds_to_next_row - 0.02)
    assert all(map(is_whole, rig.rows(source, 1)))


def test_a_program_that_never_stops_reading_is_told_and_does_not_close_the_chip() -> None:
    rig = Rig()
    source = rig.open()
    rig.befall("other_reader", 10)
    rows = rig.rows(source, 9.9)
    assert wrong(rows) == 0
    assert source.trouble == "ADS1115 at 0x48 on bus 1: another program"
    assert rig.driver.is_open
    assert is_whole(rig.rows(source, 1)[-1])


def test_a_busy_chip_at_start_is_opened_all_the_same() -> None:
    for phase in range(40):
        rig = Rig()
        beside(rig, every_ns=200_000_000 + 7_300_000 * phase)
        rows = rig.rows(rig.open(), 5)
        assert wrong(rows) == 0
        assert any(map(is_whole, rows))


def test_a_chip_that_is_never_free_at_start_is_refused_with_the_reason() -> None:
    rig = Rig()
    rig.befall("other_reader", 1e6)
    with pytest.raises(SourceError, match="another program: it uses the chip at the same time"):
        rig.open()


def test_above_the_verified_rates_the_log_says_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig(period_s=1 / 140)
    source = rig.open()
    assert (
        "at this rate_hz there is no time to verify each reading: if another program uses the"
        " chip, values may be wrong; up to 116."
    ) in caplog.text
    beside(rig)
    rows = rig.rows(source, 60)
    assert len(rows) > 8000
    assert 0 < wrong(rows) < 0.01 * 4 * len(rows)


# Another master on the bus


class Lossy:
    """The bus as Blinka has it where the kernel says EAGAIN: a write is dropped, a read fails.

    The library does not look at what a write to /dev/i2c-N gave, and takes nothing for bytes.
    """

    def __init__(self, rig: Rig, share: float) -> None:
        self._bus = rig.bus
        self._chance = random.Random(1)  # noqa: S311
        self.share = share

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)

    def writeto(self, address: int, buffer: bytes, **what: int) -> None:
        if self._chance.random() >= self.share:
            self._bus.writeto(address, buffer, **what)

    def readfrom_into(self, address: int, buffer: bytearray, **what: int) -> None:
        if self._chance.random() < self.share:
            raise TypeError("'NoneType' object is not subscriptable")
        self._bus.readfrom_into(address, buffer, **what)

    def writeto_then_readfrom(self, *what: object, **more: int) -> None:
        if self._chance.random() < self.share:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self._bus.writeto_then_readfrom(*what, **more)  # type: ignore[arg-type]


def lossy(rig: Rig) -> tuple[Ads1115, Lossy]:
    bus = Lossy(rig, 0.0)
    rig.open_bus = lambda: bus  # type: ignore[method-assign, assignment, return-value]
    return rig.open(), bus


@pytest.mark.parametrize("share", [0.002, 0.03])
def test_a_transfer_that_is_dropped_costs_a_reading_and_is_told_as_a_busy_bus(share: float) -> None:
    rig = Rig()
    source, bus = lossy(rig)
    bus.share = share
    rows = rig.rows(source, 100)
    assert all(map(is_right, rows))
    assert any(map(is_whole, rows))
    seen = {fault for fault, count in source.faults.items() if count}
    assert seen == {Fault.BUSY}


def test_a_start_that_is_dropped_is_no_value_with_a_single_sensor() -> None:
    """Its register would be the same as after the start before."""
    steps = iter(range(10**6))
    rig = Rig(settings=ALONE, signals=[lambda *_: 0.001 * (next(steps) % 3000)] * 4, period_s=0.02)
    source, bus = lossy(rig)
    bus.share = 0.05
    values = [row[1] for row in rig.rows(source, 40)]
    given = [value for value in values if not math.isnan(value)]
    assert len(given) > 100
    assert len(set(given)) == len(given)  # no value twice, so none of a conversion before
    assert {fault for fault, count in source.faults.items() if count} == {Fault.BUSY}


def test_rows_are_not_mixed_with_those_of_a_chip_that_is_gone() -> None:
    rig = Rig()
    source, bus = lossy(rig)
    bus.share = 1.0
    assert all(map(is_nothing, rig.rows(source, 3)))
    bus.share = 0.0
    assert is_whole(rig.rows(source, 10)[-1])
