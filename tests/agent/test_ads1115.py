"""The source on the real driver, on a chip in software, in virtual time."""

import logging
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import (
    ADDRESS,
    PIN_V,
    VERIFIED_NS,
    Rig,
    S,
    alive,
    counted,
    is_right,
    is_whole,
)

from agent.config.source import Ads1115Settings, SensorSettings
from agent.errors import CadenceError, SourceError
from agent.sources.faults import Fault
from agent.sources.models import ADS1115

many = settings(derandomize=True, deadline=None, max_examples=25)


# Right by construction


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("data_rate", ADS1115.data_rates)
def test_each_channel_has_its_own_value_at_each_data_rate(
    data_rate: int, oscillator: float
) -> None:
    rig = Rig(oscillator=oscillator, period_s=1.0)
    source = rig.open()
    rig.driver.data_rate = data_rate
    assert all(is_whole(row) for row in rig.rows(source, 20))


@many
@given(
    st.sampled_from([100e3, 250e3, 400e3]),
    st.sampled_from([0.9, 1.0, 1.1]),
    st.floats(0.0071, 0.5),
    st.integers(1, 4),
)
def test_a_cadence_that_was_accepted_is_kept_with_right_values(
    bus_hz: float, oscillator: float, period_s: float, average: int
) -> None:
    rig = Rig(
        settings=Ads1115Settings(average=average),
        bus_hz=bus_hz,
        oscillator=oscillator,
        period_s=period_s,
    )
    try:
        source = rig.open()
    except CadenceError:
        return
    rows = rig.rows(source, 100 * period_s)
    assert len(rows) >= 100
    assert all(is_whole(row) for row in rows)


@pytest.mark.parametrize(("period_s", "transfers"), [(0.1, 20), (0.0075, 8)])
def test_a_row_takes_so_many_transfers_where_it_is_verified_and_where_not(
    period_s: float, transfers: int
) -> None:
    rig = Rig(period_s=period_s)
    source = rig.open()
    before = rig.bus.transfers
    seconds = 1000 * period_s
    rows = rig.rows(source, seconds)
    looks = 2 * 3 * (seconds + 1)  # of two channels once a second, which a verified row needs not
    most = transfers * len(rows) + (looks if transfers == 8 else 0)
    assert transfers * len(rows) <= rig.bus.transfers - before <= most


@many
@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(0.0001, 0.02)), min_size=1, max_size=40))
def test_a_stall_at_any_point_makes_no_value_wrong(stalls: list[tuple[float, float]]) -> None:
    rig = Rig(period_s=0.01)
    source = rig.open()
    for after_s, for_s in stalls:
        rig.befall("stall", for_s, after_s)
    assert all(is_whole(row) for row in rig.rows(source, 20))


def test_signs_gains_pairs_and_calibration_come_out_as_they_went_in() -> None:
    rig = Rig(
        settings=Ads1115Settings(
            sensor1=SensorSettings(input="0-1", gain=4),
            sensor2=SensorSettings(gain="2/3"),
            sensor3=SensorSettings(gain=16, scale=-100.0, offset=7.0),
            sensor4=SensorSettings(input="2-3", gain=2),
        ),
        signals=[alive(0.5), alive(1.25), alive(-0.1), alive(0.2)],
    )
    (row,) = rig.rows(rig.open(), 0.1)
    assert (row[0], row[1], row[3]) == pytest.approx((-0.75, 1.25, -0.3), abs=0.01)
    assert row[2] == pytest.approx(17.0, abs=0.7)  # 100 times the noise of the others


def test_averaging_takes_the_mean_of_rounds() -> None:
    steps = iter(range(10**9))
    rig = Rig(
        settings=Ads1115Settings(average=4),
        signals=[lambda _at, _held: 0.01 * (next(steps) % 4), *map(alive, PIN_V[1:])],
        period_s=0.2,
    )
    rows = rig.rows(rig.open(), 2)
    assert {round(row[0], 3) for row in rows} == {0.015}


def test_a_value_of_which_one_conversion_failed_is_missing() -> None:
    rig = Rig(settings=Ads1115Settings(average=4), period_s=0.2)
    source = rig.open()
    rig.rows(source, 0.2)
    conversion_s = (rig.driver.wait_ns + VERIFIED_NS) / S
    rig.befall("nack", 0.0001, rig.seconds_to_next_row + 5 * conversion_s - 0.00005)
    (row,) = rig.rows(source, 0.2)
    assert [math.isnan(value) for value in row] == [False, True, False, False]
    assert is_right(row)


# Fewer than four sensors


def fewer(*numbers: int, average: int = 1) -> Ads1115Settings:
    """Sensors 1 to 4 at their own pins, and none but these numbers."""
    none = {f"sensor{n}": SensorSettings(input="none") for n in (1, 2, 3, 4) if n not in numbers}
    return Ads1115Settings(average=average, **none)


@pytest.mark.parametrize("there", [(1,), (3,), (4,), (1, 4), (2, 3), (1, 2, 4)])
def test_a_sensor_that_is_none_is_0_and_costs_no_conversion(
    there: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(settings=fewer(*there))
    with caplog.at_level(logging.INFO):
        source = rig.open()
    before = rig.bus.transfers
    rows = rig.rows(source, 100)
    for row in rows:
        expected = [PIN_V[n - 1] if n in there else 0.0 for n in (1, 2, 3, 4)]
        assert row == pytest.approx(expected, abs=0.01)
        assert all(row[n - 1] == 0.0 for n in (1, 2, 3, 4) if n not in there)
    assert rig.bus.transfers - before == 5 * len(there) * len(rows)
    missing = ", ".join(f"sensor{n}" for n in (1, 2, 3, 4) if n not in there)
    assert f'{missing}: input = "none", so the value is always 0' in caplog.text


def test_the_fewer_the_sensors_the_higher_the_rate_that_is_kept() -> None:
    for count, most_hz in ((1, 570), (2, 285), (3, 190)):
        rig = Rig(settings=fewer(*range(1, count + 1)), period_s=1 / (most_hz - 5))
        rows = rig.rows(rig.open(), 5)
        looks = 5  # at the limit, the look at the configuration costs a row a second
        assert len(rows) >= 5 * (most_hz - 5) - looks
        with pytest.raises(CadenceError, match=rf"choose at most {most_hz // 10}"):
            Rig(settings=fewer(*range(1, count + 1)), period_s=1 / (most_hz + 10)).open()


def test_faults_never_count_a_sensor_that_is_none() -> None:
    rig = Rig(settings=fewer(2, 3), period_s=0.1)
    source = rig.open()
    rig.befall("nack", 1.0)
    rows = rig.rows(source, 3)
    assert all(row[0] == row[3] == 0.0 for row in rows)
    lost = sum(math.isnan(value) for row in rows for value in row)
    assert lost > 0
    assert counted(source.faults) == {Fault.NO_ANSWER: lost}


def test_an_only_sensor_that_fails_once_costs_one_row() -> None:
    rig = Rig(settings=fewer(2), period_s=0.1)
    source = rig.open()
    rig.rows(source, 1)
    rig.befall("nack", 0.0001, rig.seconds_to_next_row)
    rows = rig.rows(source, 1)
    assert [math.isnan(row[1]) for row in rows] == [True] + [False] * 9


@pytest.mark.parametrize("there", [(1,), (4,), (1, 4), (2, 3)])
def test_a_chip_that_gives_wrong_values_is_found_with_fewer_sensors(there: tuple[int, ...]) -> None:
    rig = Rig(settings=fewer(*there))
    source = rig.open()
    rig.rows(source, 1)
    rig.befall("slow_oscillator", 5.0)
    rig.rows(source, 1.1)
    assert all(math.isnan(row[there[0] - 1]) for row in rig.rows(source, 3))


# What it may be asked for


def test_the_lowest_data_rate_that_keeps_the_cadence_is_used() -> None:
    rates = {}
    for period_s in (1.0, 0.1, 0.05, 0.02, 0.008):
        rig = Rig(period_s=period_s)
        rig.open()
        rates[period_s] = rig.driver.data_rate
    assert rates == {1.0: 8, 0.1: 64, 0.05: 128, 0.02: 475, 0.008: 860}


def test_a_rate_that_cannot_be_kept_is_refused_with_the_best_that_can() -> None:
    with pytest.raises(CadenceError, match="200 samples a second are too many") as raised:
        Rig(period_s=0.005).open()
    assert "choose at most 142." in str(raised.value)
    with pytest.raises(CadenceError, match="choose at most 10"):
        Rig(period_s=0.005, bus_hz=100e3).open()


def test_a_wrong_address_is_refused_with_what_to_check() -> None:
    rig = Rig()
    rig.bus = type(rig.bus)(rig.clock, {0x4A: rig.chip}, rig.bus._faults)  # noqa: SLF001
    with pytest.raises(SourceError, match="no ADS1115 at 0x48 on bus 1: check the wiring"):
        rig.open()


def test_another_chip_at_the_address_is_refused() -> None:
    rig = Rig()
    rig.chip.mux_stuck = True
    rig.befall("stuck_mux", 1e6)
    with pytest.raises(SourceError, match="does not keep its configuration, as an ADS1115 would"):
        rig.open()


@pytest.mark.parametrize("after_s", [0.0, 0.0006])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nack", "no ADS1115 at 0x48 on bus 1: check the wiring, its supply and source.address"),
        ("timeout", "ADS1115 at 0x48 on bus 1: timeout (.*): something blocks the bus"),
        ("busy", "ADS1115 at 0x48 on bus 1: bus busy (.*): a kernel driver uses the chip"),
    ],
)
def test_a_bus_that_fails_at_start_is_refused_with_its_reason(
    kind: str, message: str, after_s: float
) -> None:
    rig = Rig()
    rig.befall(kind, 1e6, after_s)
    with pytest.raises(SourceError, match=message):
        rig.open()


def test_a_chip_that_is_slower_than_its_data_sheet_is_refused_at_start() -> None:
    rig = Rig(oscillator=0.7)
    with pytest.raises(SourceError, match=r"as an ADS1115 would \(conversion late\)"):
        rig.open()


def test_a_chip_that_is_half_way_in_a_conversion_at_start_is_awaited() -> None:
    rig = Rig()
    rig.bus.writeto(ADDRESS, b"\x01\xf1\x03")  # A3 at 8 SPS, by whoever was here before
    assert is_whole(rig.rows(rig.open(), 0.1)[0])


# Its end, and scans


def test_closing_twice_is_harmless() -> None:
    source = Rig().open()
    source.close()
    source.close()


def test_a_scan_finds_what_answers_and_what_a_driver_has() -> None:
    rig = Rig()
    rig.bus = type(rig.bus)(rig.clock, {ADDRESS: rig.chip, 0x68: rig.chip}, rig.bus._faults)  # noqa: SLF001
    source = rig.open()
    assert rig.driver.scan() == [0x48, 0x68]
    source.close()
    assert rig.driver.scan() == [0x48, 0x68]
    rig.befall("busy", 1e6)
    with pytest.raises(SourceError, match="bus busy: a kernel driver uses the chip"):
        rig.driver.scan()


def test_a_scan_ends_with_the_first_timeout() -> None:
    rig = Rig()
    rig.open()
    rig.befall("timeout", 1e6)
    before = rig.bus.transfers
    with pytest.raises(SourceError, match="timeout: something blocks the bus"):
        rig.driver.scan()
    assert rig.bus.transfers - before == 2
