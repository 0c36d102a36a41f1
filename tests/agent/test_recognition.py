"""Which chip it is: what is told of one that is not the one that was configured."""

import math
import re

import pytest
from support.chips import ADDRESS, PIN_V, Rig, constant, is_nothing, is_right, is_whole
from support.neighbours import Lm75, Pcf8591

from agent.config.source import Ads1115Settings
from agent.config.virtual import FaultSettings
from agent.errors import SourceError
from agent.sources.faults import Fault
from agent.sources.models import ADS1015
from agent.sources.virtual.bus import Answering

NEW = Ads1115Settings(chip="ads1015")


def refusal(rig: Rig) -> str:
    with pytest.raises(SourceError) as raised:
        rig.open()
    return str(raised.value)


# An ADS1015


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("data_rate", ADS1015.data_rates)
def test_an_ads1015_is_read_at_each_of_its_rates(data_rate: int, oscillator: float) -> None:
    rig = Rig(model=ADS1015, settings=NEW, oscillator=oscillator)
    source = rig.open()
    rig.driver.data_rate = data_rate
    assert all(is_whole(row) for row in rig.rows(source, 5))
    assert rig.driver.doubt == ""


def test_an_ads1015_is_read_faster_than_the_other_chip_could_be() -> None:
    rig = Rig(model=ADS1015, settings=NEW, period_s=1 / 300)
    rows = rig.rows(rig.open(), 3)
    assert len(rows) > 850
    assert all(map(is_whole, rows))


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
def test_an_ads1015_that_is_said_to_be_an_ads1115_is_told_and_read_right(
    oscillator: float, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(model=ADS1015, oscillator=oscillator)
    source = rig.open()
    assert (
        "ADS1115 at 0x48 on bus 1: this chip is an ADS1015 or a copy of one: its conversions end"
        ' early, and its values have 12 bits; set source.chip = "ads1015"'
    ) in caplog.messages
    assert all(is_whole(row) for row in rig.rows(source, 5))


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
def test_an_ads1115_that_is_said_to_be_an_ads1015_is_refused(oscillator: float) -> None:
    assert refusal(Rig(settings=NEW, oscillator=oscillator)) == (
        "ADS1015 at 0x48 on bus 1: the chip does not convert as an ADS1015 would (conversion late):"
        ' set source.chip = "ads1115" if it is an ADS1115; otherwise replace it'
    )


def test_a_copy_with_12_bits_and_the_rates_of_an_ads1115_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.chip._code_max = ADS1015.code_max  # noqa: SLF001 - a chip that no data sheet knows
    rows = rig.rows(rig.open(), 2)
    assert "this chip is a copy of an ADS1115 that has 12 bits" in caplog.text
    assert all(map(is_right, rows))


@pytest.mark.parametrize("volts", [0.0, 1.0, 2.0])
def test_of_a_chip_with_16_bits_nothing_is_told(
    volts: float, caplog: pytest.LogCaptureFixture
) -> None:
    Rig(signals=[constant(volts)] * 4).open()
    Rig().open()
    assert not caplog.messages


# Other chips


@pytest.mark.parametrize(
    "other",
    [Lm75(), Lm75(-0.5), Lm75(125), Pcf8591(12, 34, 56, 78), Pcf8591(0x81, 0xC5, 0x83, 0)],
    ids=["LM75", "LM75, cold", "LM75, hot", "PCF8591", "PCF8591, like a register"],
)
def test_another_chip_at_the_address_is_refused_as_that(other: Answering) -> None:
    said = refusal(Rig(at_address=other))
    assert re.fullmatch(
        r"ADS1115 at 0x48 on bus 1: the chip does not keep its configuration, as an ADS1115 would:"
        r" it reads 0x[0-9a-f]{4} in place of 0x[0-9a-f]{4}: check source.address, because an LM75"
        r" or a PCF8591 has the same addresses; otherwise stop other programs that use the chip, or"
        r" replace it",
        said,
    )


@pytest.mark.parametrize(("level", "bits"), [(0x00, "zeros"), (0xFF, "ones")])
def test_registers_without_data_are_refused_as_that(level: int, bits: str) -> None:
    other = Pcf8591(*[level] * 4)
    other.read(1, 0)
    assert refusal(Rig(at_address=other)) == (
        f"ADS1115 at 0x48 on bus 1: its registers read all {bits} (no data): check SDA and the"
        " supply of the chip, and source.address: an LM75 or a PCF8591 has the same addresses"
    )


def test_a_chip_that_is_too_slow_is_told_from_one_that_forgets() -> None:
    assert refusal(Rig(oscillator=0.7)) == (
        "ADS1115 at 0x48 on bus 1: the chip does not convert as an ADS1115 would (conversion late):"
        " replace it"
    )


# A wire that is held


def test_a_bus_that_is_held_low_at_start_is_told_as_that() -> None:
    rig = Rig(FaultSettings("bus_low", for_s=1e6))
    assert refusal(rig) == (
        "every address answers: SDA or SCL is held low: check the wires for a short circuit to"
        " ground, and switch the chips on the bus off and on"
    )


@pytest.mark.parametrize("rate_hz", [1, 10, 100, 140])
@pytest.mark.parametrize("into_row", [0.0, 0.13, 0.37, 0.71, 0.93])
def test_a_bus_that_is_held_low_later_gives_no_value_from_the_first_row_on(
    rate_hz: int, into_row: float, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(period_s=1 / rate_hz)
    source = rig.open()
    rig.rows(source, 3)
    rig.befall("bus_low", 10, into_row / rate_hz)
    rows = rig.rows(source, 9)
    assert all(map(is_right, rows))
    assert sum(map(is_whole, rows)) <= 2
    assert all(map(is_nothing, rows[2:]))
    assert source.trouble.startswith("ADS1115 at 0x48 on bus 1: no data")
    rows = rig.rows(source, 10)
    assert is_whole(rows[-1])
    assert source.faults[Fault.SLOW] == source.faults[Fault.LOST] == 0
    assert caplog.text.count("no data: it acknowledges, but all bits are the same") == 1


def test_a_line_that_reads_ones_gives_no_value_from_the_first_row_on() -> None:
    rig = Rig(period_s=1 / 140, signals=[constant(volts) for volts in PIN_V])
    source = rig.open()
    rig.rows(source, 0.5)

    class Ones:
        def write(self, data: bytes, at_ns: int) -> None:
            pass

        def read(self, count: int, _at_ns: int) -> bytes:
            return b"\xff" * count

    rig.bus._chips = {ADDRESS: Ones()}  # noqa: SLF001 - as when a wire breaks
    rows = rig.rows(source, 0.2)
    assert all(math.isnan(value) for row in rows for value in row)
    assert source.faults[Fault.NO_DATA] > 0
