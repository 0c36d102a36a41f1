import contextlib
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import VirtualClock
from agent.config import Settings
from agent.config.source import (
    FULL_SCALE_V,
    Ads1115Settings,
    SensorSettings,
    VirtualAds1115Settings,
)
from agent.sources.channel import GAIN, MUX, Channel, signed
from agent.sources.models import ADS1015, ADS1115
from agent.sources.opening import open_source
from wire.sensors import Label

many = settings(derandomize=True, deadline=None)
codes = st.integers(-0x8000, 0x7FFF)


def channel(**fields: object) -> Channel:
    return Channel.of(1, 0, SensorSettings(**fields))


@many
@given(codes)
def test_a_code_is_read_with_its_sign(code: int) -> None:
    assert signed(code & 0xFFFF) == code


@many
@given(codes, st.sampled_from(sorted(FULL_SCALE_V, key=str)))
def test_volts_are_the_share_of_the_full_scale(code: int, gain: str | int) -> None:
    assert channel(gain=gain).value(code) == pytest.approx(code / 32768 * FULL_SCALE_V[gain])


@many
@given(codes, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6).filter(bool))
def test_a_value_is_scale_times_volts_plus_offset(code: int, offset: float, scale: float) -> None:
    volts = channel().value(code)
    assert channel(scale=scale, offset=offset).value(code) == scale * volts + offset


def test_the_lsb_of_each_gain_is_the_data_sheets() -> None:
    lsb_uv = {gain: channel(gain=gain).lsb_v * 1e6 for gain in FULL_SCALE_V}
    assert lsb_uv == {"2/3": 187.5, 1: 125, 2: 62.5, 4: 31.25, 8: 15.625, 16: 7.8125}


def test_the_bits_are_those_of_the_data_sheet() -> None:
    """SBAS444, table "Config Register Field Descriptions"; written out, for they have no oracle."""
    assert {wired_to: bits >> 12 for wired_to, bits in MUX.items()} == {
        "0-1": 0b000,
        "0-3": 0b001,
        "1-3": 0b010,
        "2-3": 0b011,
        0: 0b100,
        1: 0b101,
        2: 0b110,
        3: 0b111,
    }
    assert {gain: bits >> 9 for gain, bits in GAIN.items()} == {
        "2/3": 0b000,
        1: 0b001,
        2: 0b010,
        4: 0b011,
        8: 0b100,
        16: 0b101,
    }
    assert {rate: bits >> 5 for rate, bits in ADS1115.data_rates.items()} == {
        8: 0b000,
        16: 0b001,
        32: 0b010,
        64: 0b011,
        128: 0b100,
        250: 0b101,
        475: 0b110,
        860: 0b111,
    }
    # SBAS473, the same table
    assert {rate: bits >> 5 for rate, bits in ADS1015.data_rates.items()} == {
        128: 0b000,
        250: 0b001,
        490: 0b010,
        920: 0b011,
        1600: 0b100,
        2400: 0b101,
        3300: 0b110,
    }
    assert FULL_SCALE_V == {"2/3": 6.144, 1: 4.096, 2: 2.048, 4: 1.024, 8: 0.512, 16: 0.256}


@pytest.mark.parametrize("gain", GAIN)
@pytest.mark.parametrize("wired_to", MUX)
def test_the_config_starts_one_conversion_of_its_own_input_and_gain(
    wired_to: int | str, gain: int | str
) -> None:
    config = Channel.of(1, wired_to, SensorSettings(gain=gain)).config
    assert config & 0x8000  # OS: begin
    assert config & 0x0100  # MODE: single shot
    assert config & 0x0003 == 3  # COMP_QUE: comparator off
    assert config & 0x7000 == MUX[wired_to]
    assert config & 0x0E00 == GAIN[gain]
    assert config & 0x00E0 == 0  # DR is added by whoever knows the cadence


@pytest.mark.parametrize(("code", "saturated"), [(32767, True), (-32768, True), (32766, False)])
def test_only_the_ends_of_the_range_are_saturated(code: int, saturated: bool) -> None:
    assert channel().is_saturated(code) is saturated


@pytest.mark.parametrize(("code", "saturated"), [(0x7FF0, True), (-0x8000, True), (0x7FE0, False)])
def test_of_12_bits_the_highest_code_is_saturated(code: int, saturated: bool) -> None:
    assert Channel.of(1, 0, SensorSettings(), ADS1015).is_saturated(code) is saturated


def test_a_range_is_in_the_sensors_unit_and_includes_its_ends() -> None:
    bar = channel(scale=10.0, min=0.0, max=16.0)
    assert [bar.is_in_range(value) for value in (-0.1, 0.0, 16.0, 16.1, math.nan)] == [
        *(False, True, True, False, False),
    ]


def test_a_sensor_has_its_number_for_programs_and_its_name_for_people() -> None:
    assert (channel().name, channel().label) == ("sensor1", "sensor1")
    named = channel(name="oil pressure")
    assert (named.name, named.label) == ("sensor1", "oil pressure")


@pytest.mark.parametrize(
    ("name", "is_right"),
    [("a", True), ("é" * 32, True), ("", False), ("a" * 33, False), ("a\nb", False), (5, False)],
)
def test_a_name_is_a_short_text_on_one_line(name: object, is_right: bool) -> None:
    try:
        msgspec.convert({"name": name}, SensorSettings)
    except msgspec.ValidationError:
        assert not is_right
    else:
        assert is_right


def test_a_source_gives_names_and_units() -> None:
    source = VirtualAds1115Settings(
        sensor1=SensorSettings(name="oil pressure", unit="bar"),
        sensor2=SensorSettings(unit="°C"),
        sensor4=SensorSettings(input="none"),
    )
    with (
        open_source(Settings(source=source), VirtualClock()) as opened,
        contextlib.closing(opened),
    ):
        assert opened.labels == [
            Label("oil pressure", "bar"),
            Label("sensor2", "°C"),
            Label("sensor3", "V"),
            None,
        ]


@pytest.mark.parametrize("address", [0x49, "0x49", "0X49"])
def test_an_address_is_a_number_with_quotes_or_without(address: int | str) -> None:
    chip = msgspec.convert({"kind": "ads1115", "address": address}, Ads1115Settings)
    assert chip.chip_address == 0x49


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        ({"min": -0.1, "max": 4.0}, ""),
        (
            {"gain": 2, "scale": 6.4, "max": 16.8, "unit": "bar"},
            "max = 16.8 bar is not reached with gain = 2, which gives -13.11 to 13.11 bar: a value"
            " beyond that is missing (saturated); choose a lower gain, or correct max",
        ),
        (
            {"scale": -33.4, "offset": 79.1, "min": -60, "unit": "°C"},
            "min = -60 °C is not reached with gain = 1, which gives -57.71 to 215.9 °C: a value"
            " beyond that is missing (saturated); choose a lower gain, or correct min",
        ),
    ],
)
def test_a_limit_that_the_gain_does_not_reach_is_told(fields: dict[str, object], told: str) -> None:
    assert channel(**fields).beyond == told
