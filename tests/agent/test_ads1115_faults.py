"""The source through faults of its chip, its bus and its sensors: no value is wrong."""

import logging
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import (
    PIN_V,
    VERIFIED_NS,
    Rig,
    S,
    alive,
    constant,
    counted,
    is_nothing,
    is_right,
    is_whole,
)

from agent.config.source import Ads1115Settings, SensorSettings
from agent.errors import SourceError
from agent.sources.faults import Fault

many = settings(derandomize=True, deadline=None, max_examples=25)


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
