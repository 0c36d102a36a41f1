"""The source on the real driver, on a chip in software, in virtual time."""

import logging
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import ADDRESS, PIN_V, Rig, S, alive, constant, is_nothing, is_right, is_whole

from agent.config.source import Ads1115Settings, SensorSettings
from agent.errors import CadenceError, SourceError
from agent.sources.faults import Fault
from agent.sources.models import ADS1115

# Of the transfers of a verified reading that are not within its wait.
VERIFIED_NS = 805_000

many = settings(derandomize=True, deadline=None, max_examples=25)


def counted(faults: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in faults.items() if count}


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


# Through faults


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("nack", Fault.NO_ANSWER),
        ("timeout", Fault.TIMEOUT),
        ("busy", Fault.BUSY),
        ("brown_out", Fault.NO_ANSWER),
    ],
)
def test_a_chip_that_goes_away_gives_nan_and_is_taken_up_again(
    kind: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    source = rig.open()
    caplog.clear()
    assert all(is_whole(row) for row in rig.rows(source, 5))
    rig.befall(kind, 20)
    rows = rig.rows(source, 60)
    assert source.trouble == ""
    assert all(is_right(row) for row in rows)
    lost = sum(map(is_nothing, rows))
    assert 200 <= lost <= 260  # the 20 s, and at most 5 s until the next try
    assert counted(source.faults) == {fault: 4 * lost}
    messages = [r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG]
    assert len(messages) == 2
    assert messages[0].startswith(f"ADS1115 at 0x48 on bus 1: {fault}: ")
    assert re.match(rf"ADS1115 at 0x48 on bus 1: '{fault}' is over after (19|2\d)\.", messages[1])


def test_a_dead_bus_costs_a_row_two_timeouts() -> None:
    rig = Rig()
    source = rig.open()
    rig.befall("timeout", 100)
    before = rig.bus.transfers
    assert is_nothing(source.read())
    assert rig.bus.transfers - before == 2


def test_a_chip_at_a_loose_wire_is_one_episode(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    source = rig.open()
    caplog.clear()
    for moment in range(120):
        rig.befall("nack", 0.11, moment / 2)
    rows = rig.rows(source, 80)
    assert any(map(is_nothing, rows))
    assert any(map(is_whole, rows[:600]))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_reset_at_the_first_reading_of_a_channel_is_no_zero() -> None:
    rig = Rig()
    source = rig.open()
    rig.befall("brown_out", 0.0001, rig.seconds_to_next_row + 0.001)
    rows = rig.rows(source, 1)
    assert is_nothing(rows[0])
    assert all(map(is_right, rows))


def test_while_the_chip_is_away_its_trouble_is_told() -> None:
    rig = Rig()
    source = rig.open()
    rig.befall("nack", 10)
    rig.rows(source, 5)
    assert source.trouble == "ADS1115 at 0x48 on bus 1: no answer"


@many
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["nack", "timeout", "busy", "stall"]),
            st.floats(0.0, 15.0),
            st.floats(0.0001, 0.5),
        ),
        max_size=25,
    )
)
def test_no_value_is_wrong_through_any_bursts_of_errors(
    bursts: list[tuple[str, float, float]],
) -> None:
    rig = Rig(period_s=0.02)
    source = rig.open()
    for kind, after_s, for_s in bursts:
        rig.befall(kind, for_s, after_s)
    rows = rig.rows(source, 30)
    assert all(is_right(row) for row in rows)
    assert is_whole(rows[-1])
    assert sum(source.faults.values()) == sum(math.isnan(v) for row in rows for v in row)


@many
@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=10))
def test_a_short_brown_out_at_any_point_makes_no_value_wrong(moments_s: list[float]) -> None:
    rig = Rig(period_s=0.02)
    source = rig.open()
    rig.rows(source, 1)
    for after_s in moments_s:
        rig.befall("brown_out", 0.0001, after_s)
    assert all(is_right(row) for row in rig.rows(source, 12))


def test_one_reading_that_fails_costs_no_other() -> None:
    rig = Rig()
    source = rig.open()
    second_start_s = (rig.driver.wait_ns + VERIFIED_NS) / S
    rig.befall("nack", 0.0001, second_start_s - 0.00005)
    (row,) = rig.rows(source, 0.05)
    assert is_right(row)
    assert sum(map(math.isnan, row)) == 1
    assert is_whole(rig.rows(source, 0.2)[-1])


@pytest.mark.parametrize("rate_hz", [2, 10, 20, 100])
@pytest.mark.parametrize("after_s", [2.05, 2.35, 2.61, 2.87])
@pytest.mark.parametrize(
    ("kind", "fault"), [("stuck_mux", Fault.LOST), ("slow_oscillator", Fault.SLOW)]
)
def test_a_chip_that_gives_wrong_values_is_found_within_a_second_and_then_gives_none(
    kind: str, fault: Fault, after_s: float, rate_hz: int
) -> None:
    rig = Rig(period_s=1 / rate_hz)
    source = rig.open()
    rig.rows(source, after_s)
    rig.befall(kind, 10)
    rows = rig.rows(source, 1.1) and rig.rows(source, 8)
    assert all(is_nothing(row) for row in rows)
    rows = rig.rows(source, 20)
    assert all(is_whole(row) for row in rows[-8 * rate_hz :])
    assert counted(source.faults).keys() == {fault}
    assert source.trouble == ""


@pytest.mark.parametrize("second", range(2, 6))
@pytest.mark.parametrize("into_row_s", [0.01, 0.03, 0.05, 0.07, 0.09])
def test_a_multiplexer_is_found_stuck_at_whichever_pin(second: int, into_row_s: float) -> None:
    rig = Rig(period_s=0.1)
    source = rig.open()
    rig.rows(source, second + 0.5)
    rig.befall("stuck_mux", 10, into_row_s)
    rig.rows(source, 1.1)
    assert all(is_nothing(row) for row in rig.rows(source, 5))


def test_a_saturated_input_is_nan_and_counted_for_its_sensor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(
        settings=Ads1115Settings(sensor2=SensorSettings(gain=8)),
    )
    source = rig.open()
    rows = rig.rows(source, 10)
    assert all(math.isnan(row[1]) and not math.isnan(row[0]) for row in rows)
    assert counted(source.faults) == {Fault.SATURATED: len(rows)}
    assert source.trouble == "sensor2: saturated"
    assert caplog.text.count("sensor2: saturated: the input is beyond its range") == 1


def test_a_value_out_of_its_range_is_nan_until_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    pin = alive(1.0)
    rig = Rig(
        settings=Ads1115Settings(sensor1=SensorSettings(scale=10.0, min=0.0, max=16.0)),
        signals=[
            lambda at, held: pin(at, held) + (1.0 if 5 * S < at < 10 * S else 0.0),
            *map(alive, PIN_V[1:]),
        ],
    )
    source = rig.open()
    caplog.clear()
    rows = rig.rows(source, 30)
    assert 49 <= sum(math.isnan(row[0]) for row in rows) <= 51
    assert [r.getMessage().partition(" (")[0] for r in caplog.records] == [
        "sensor1: out of range",
        "sensor1: 'out of range' is over after 4.9 s",
    ]


def test_a_fault_that_comes_and_goes_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    source = rig.open()
    for second in range(0, 100, 5):
        rig.befall("nack", 0.005, second)
    rig.rows(source, 100)
    assert source.faults[Fault.NO_ANSWER] == 20
    assert caplog.text.count("no answer: check the wiring") == 1


@pytest.mark.parametrize(("volts", "told"), [(1.0, True), (0.0, False), (0.0002, False)])
def test_an_input_without_any_change_for_10_minutes_is_told_but_kept(
    volts: float, told: bool
) -> None:
    rig = Rig(signals=[constant(volts), *map(alive, PIN_V[1:])], period_s=1.0)
    source = rig.open()
    rows = rig.rows(source, 590)
    assert source.trouble == ""
    rows += rig.rows(source, 20)
    assert (source.trouble == "sensor1: unchanged") is told
    assert all(row[0] == pytest.approx(volts, abs=0.001) for row in rows)


def test_few_rows_are_no_reason_to_call_an_input_unchanged() -> None:
    rig = Rig(signals=[constant(1.0), *map(alive, PIN_V[1:])], period_s=1000.0)
    source = rig.open()
    rig.rows(source, 29_500)
    assert source.trouble == ""
    rig.rows(source, 3_000)
    assert source.trouble == "sensor1: unchanged"


def test_what_a_sample_cannot_hold_is_out_of_range() -> None:
    rig = Rig(settings=Ads1115Settings(sensor1=SensorSettings(scale=1e300)))
    source = rig.open()
    (row,) = rig.rows(source, 0.05)
    assert math.isnan(row[0])


def test_a_row_takes_a_second_at_the_most_however_slow_the_cadence() -> None:
    for average in (1, 8, 64):
        rig = Rig(settings=Ads1115Settings(average=average), period_s=1000.0)
        source = rig.open()
        before_ns = rig.clock.now_ns
        source.read()
        assert rig.clock.now_ns - before_ns <= S


def test_a_hot_plugged_bus_that_is_missing_is_opened_again() -> None:
    rig = Rig()
    source = rig.open()
    bus, rig.bus = rig.bus, None
    original = rig.open_bus

    def missing() -> object:
        if rig.bus is None:
            raise SourceError("/dev/i2c-1 is missing")
        return original()

    rig.driver._open_bus = missing  # noqa: SLF001 - the device node goes, which no chip can do
    rig.bus = bus
    rig.befall("nack", 1)
    rig.rows(source, 0.2)
    rig.bus = None
    assert all(is_nothing(row) for row in rig.rows(source, 5))
    rig.bus = bus
    assert is_whole(rig.rows(source, 6)[-1])


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
