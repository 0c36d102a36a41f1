"""What the source relies on in the Adafruit driver, private names included."""

import inspect
from importlib.metadata import version

import pytest
from adafruit_ads1x15.ads1115 import ADS1115
from support.chips import ADDRESS, Rig

from agent.sources.channel import GAIN, MUX
from agent.sources.converter import Converter


def test_the_driver_is_of_the_series_that_this_was_written_for() -> None:
    assert version("adafruit-circuitpython-ads1x15").startswith("3.0.")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_write_register", ["self", "reg", "value"]),
        ("_read_register", ["self", "reg", "fast"]),
        ("get_last_result", ["self", "fast"]),
    ],
)
def test_the_methods_that_are_used_take_what_they_are_given(
    name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(ADS1115, name)).parameters) == parameters


def test_a_start_and_a_result_are_one_transfer_each_and_right() -> None:
    rig = Rig()
    converter = Converter(rig.bus, ADDRESS)
    before = rig.bus.transfers
    config = 0x8000 | MUX[2] | GAIN[1] | 0x0100 | 0x00E0 | 0x0003
    converter.start(config)
    rig.clock.now_ns += 2_000_000
    assert converter.code() == pytest.approx(1.5 / 4.096 * 32768, abs=100)
    assert rig.bus.transfers - before == 2
    assert converter.config() == config


def test_a_negative_code_keeps_its_sign() -> None:
    rig = Rig(signals=[lambda *_: -0.1] * 4)
    converter = Converter(rig.bus, ADDRESS)
    converter.start(0x8000 | MUX[0] | GAIN[16] | 0x0100 | 0x00E0 | 0x0003)
    rig.clock.now_ns += 2_000_000
    assert converter.code() == round(-0.1 / 0.256 * 32768)


def test_opening_the_driver_starts_no_conversion() -> None:
    rig = Rig()
    converter = Converter(rig.bus, ADDRESS)
    assert converter.config() & 0x8000
    rig.clock.now_ns += 200_000_000
    assert converter.code() == 0
