"""The chip in software against the data sheet, and under the real driver."""

import errno
import subprocess
import sys
from typing import Any

import pytest
from adafruit_ads1x15.ads1115 import ADS1115
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import ADDRESS, PIN_V, Rig, constant

from agent.config.source import FULL_SCALE_V
from agent.config.virtual import FaultSettings
from agent.sources.channel import GAIN, MUX
from agent.sources.models import ADS1015
from agent.sources.virtual.chip import VirtualAds1115

many = settings(derandomize=True, deadline=None)

MS = 1_000_000
CONVERSION, CONFIG, LOW, HIGH = range(4)
SINGLE, START = 0x0100, 0x8000
OFF = 0x0003  # the comparator


def chip(*volts: float, **how: Any) -> VirtualAds1115:
    return VirtualAds1115([constant(each) for each in volts or PIN_V], **how)


def write(of: VirtualAds1115, register: int, value: int, at_ns: int) -> None:
    of.write(bytes((register, value >> 8, value & 0xFF)), at_ns)


def read(of: VirtualAds1115, register: int, at_ns: int) -> int:
    of.write(bytes((register,)), at_ns)
    return int.from_bytes(of.read(2, at_ns), "big")


def converted(of: VirtualAds1115, config: int, at_ns: int = 0) -> int:
    """The result of one conversion at 860 SPS."""
    write(of, CONFIG, config | START | SINGLE | OFF | 0x00E0, at_ns)
    return read(of, CONVERSION, at_ns + 2 * MS)


def test_registers_have_their_values_of_the_data_sheet_after_a_reset() -> None:
    fresh = chip()
    assert [read(fresh, register, 0) for register in range(4)] == [0, 0x8583, 0x8000, 0x7FFF]


@pytest.mark.parametrize("register", [LOW, HIGH])
def test_a_threshold_keeps_what_is_written(register: int) -> None:
    of = chip()
    write(of, register, 0x1234, 0)
    assert read(of, register, 0) == 0x1234
    assert read(of, 5 - register, 0) in (0x8000, 0x7FFF)


def test_the_result_cannot_be_written() -> None:
    of = chip()
    write(of, CONVERSION, 0x1234, 0)
    assert read(of, CONVERSION, 0) == 0


def test_the_pointer_stays_and_bytes_beyond_the_register_are_ones() -> None:
    of = chip()
    of.write(bytes((CONFIG,)), 0)
    assert of.read(4, 1) == b"\x85\x83\xff\xff"
    assert of.read(1, 2) == b"\x85"


@pytest.mark.parametrize("oscillator", [0.9, 1.0, 1.1])
@pytest.mark.parametrize(("bits", "rate"), [(0x0000, 8), (0x0080, 128), (0x00E0, 860)])
def test_os_is_0_for_as_long_as_a_conversion_takes(bits: int, rate: int, oscillator: float) -> None:
    of = chip(oscillator=oscillator)
    write(of, CONFIG, START | SINGLE | OFF | bits | MUX[1], 0)
    ends_ns = 25_000 + round(1e9 / rate / oscillator)
    assert not read(of, CONFIG, ends_ns - 1_000) & START
    assert read(of, CONVERSION, ends_ns - 1_000) == 0
    assert read(of, CONFIG, ends_ns + 1_000) & START
    assert read(of, CONVERSION, ends_ns + 1_000) == round(PIN_V[1] / 6.144 * 32768)


@pytest.mark.parametrize(("bits", "rate"), [(0x0000, 128), (0x0080, 1600), (0x00E0, 3300)])
def test_an_ads1015_has_12_bits_at_the_top_and_rates_of_its_own(bits: int, rate: int) -> None:
    of = chip(-1.0, 1.0, 3.3, 0.0, model=ADS1015)
    write(of, CONFIG, START | SINGLE | OFF | bits | MUX[1] | GAIN[1], 0)
    ends_ns = 25_000 + round(1e9 / rate)
    assert not read(of, CONFIG, ends_ns - 1_000) & START
    assert read(of, CONVERSION, ends_ns + 1_000) == round(1.0 / 4.096 * 2048) << 4
    assert converted(of, MUX["0-1"] | GAIN[2], 20 * MS) & 0x0F == 0
    assert converted(of, MUX[2] | GAIN[2], 30 * MS) == 0x7FF0


def test_a_start_within_a_conversion_is_ignored() -> None:
    of = chip()
    write(of, CONFIG, START | SINGLE | OFF | 0x00E0 | MUX[0] | GAIN[1], 0)
    write(of, CONFIG, START | SINGLE | OFF | 0x00E0 | MUX[3] | GAIN[1], MS // 2)
    assert read(of, CONVERSION, 10 * MS) == round(PIN_V[0] / 4.096 * 32768)


def test_nothing_is_converted_without_a_start() -> None:
    of = chip()
    write(of, CONFIG, SINGLE | OFF | 0x00E0 | MUX[2], 0)
    assert read(of, CONFIG, 1) & START
    assert read(of, CONVERSION, 1000 * MS) == 0


def test_continuous_conversions_follow_the_latest_configuration_after_the_one_at_work() -> None:
    of = chip()
    write(of, CONFIG, OFF | 0x00E0 | MUX[0] | GAIN[1], 0)
    write(of, CONFIG, OFF | 0x00E0 | MUX[3] | GAIN[1], MS // 2)
    assert read(of, CONVERSION, round(1.2 * MS)) == round(PIN_V[0] / 4.096 * 32768)
    assert read(of, CONVERSION, round(2.4 * MS)) == round(PIN_V[3] / 4.096 * 32768)
    write(of, CONFIG, SINGLE | OFF | 0x00E0 | MUX[1] | GAIN[1], round(2.5 * MS))
    assert read(of, CONVERSION, 100 * MS) == round(PIN_V[3] / 4.096 * 32768)


@many
@given(st.floats(-1, 4), st.floats(-1, 4), st.sampled_from(sorted(GAIN, key=str)))
def test_a_code_is_the_clipped_share_of_the_range(a: float, b: float, gain: int | str) -> None:
    def expected(volts: float) -> int:
        return min(max(round(volts / FULL_SCALE_V[gain] * 32768), -32768), 32767) & 0xFFFF

    seen_a, seen_b = (min(max(volts, -0.3), 3.6) for volts in (a, b))
    of = chip(a, b, 0.0, 0.0)
    assert converted(of, MUX[0] | GAIN[gain]) == expected(seen_a)
    assert converted(of, MUX["0-1"] | GAIN[gain], 9 * MS) == expected(seen_a - seen_b)


def test_a_reset_ends_the_conversion_and_clears_the_result() -> None:
    of = chip()
    converted(of, MUX[1] | GAIN[1])
    write(of, CONFIG, START | SINGLE | OFF | MUX[1], 9 * MS)
    of.reset()
    assert read(of, CONVERSION, 1000 * MS) == 0
    assert read(of, CONFIG, 1000 * MS) == 0x8583


# The comparator


def test_alert_tells_that_a_single_conversion_is_ready_until_the_next_begins() -> None:
    of = chip()
    write(of, HIGH, 0x8000, 0)
    write(of, LOW, 0x0000, 0)
    config = START | SINGLE | 0x00E0
    write(of, CONFIG, config, 0)
    assert of.alert_pin(MS) is True  # high: not asserted
    assert of.alert_pin(2 * MS) is False
    write(of, CONFIG, config, 3 * MS)
    assert of.alert_pin(3 * MS) is True
    assert of.alert_pin(9 * MS) is False


def test_alert_pulses_for_8_us_at_each_continuous_conversion() -> None:
    of = chip()
    write(of, HIGH, 0x8000, 0)
    write(of, LOW, 0x0000, 0)
    write(of, CONFIG, 0x00E0 | 0x0008, 0)  # active high
    period_ns = round(1e9 / 860)
    seen = [of.alert_pin(t) for t in (period_ns - 1, period_ns, period_ns + 7_999)]
    assert seen == [False, True, True]
    assert of.alert_pin(period_ns + 8_000) is False


@pytest.mark.parametrize(("queue", "needed"), [(0, 1), (1, 2), (2, 4)])
def test_the_comparator_waits_for_its_queue_and_releases_below_the_low_threshold(
    queue: int, needed: int
) -> None:
    volts = [2.0]
    of = VirtualAds1115([lambda _at, _held: volts[0]] * 4)
    write(of, HIGH, 0x3000, 0)  # 1.536 V at gain 1
    write(of, LOW, 0x2000, 0)  # 1.024 V
    write(of, CONFIG, 0x00E0 | MUX[0] | GAIN[1] | queue, 0)
    period_ns = round(1e9 / 860)
    levels = [of.alert_pin(n * period_ns + 1000) for n in range(1, 6)]
    assert levels == [n < needed for n in range(1, 6)]
    volts[0] = 1.2
    assert of.alert_pin(9 * period_ns) is False
    volts[0] = 0.9
    assert of.alert_pin(12 * period_ns) is True


def test_a_latched_window_alert_stays_until_the_result_is_read() -> None:
    volts = [0.5]
    of = VirtualAds1115([lambda _at, _held: volts[0]] * 4)
    write(of, HIGH, 0x3000, 0)
    write(of, LOW, 0x2000, 0)
    write(of, CONFIG, 0x00E0 | MUX[0] | GAIN[1] | 0x0010 | 0x0004, 0)
    assert of.alert_pin(2 * MS) is False  # below the window
    volts[0] = 1.2
    assert of.alert_pin(9 * MS) is False
    read(of, CONVERSION, 10 * MS)
    assert of.alert_pin(10 * MS) is True


# Under the real driver


@pytest.mark.parametrize("bus_hz", [100e3, 400e3])
def test_the_drivers_own_read_finds_each_pin(bus_hz: float) -> None:
    rig = Rig(bus_hz=bus_hz)
    driver = ADS1115(rig.bus, data_rate=860)
    for pin, volts in enumerate(PIN_V):
        assert driver.read(4 + pin) / 32768 * 4.096 == pytest.approx(volts, abs=0.01)


def test_the_driver_is_told_that_nobody_answers() -> None:
    with pytest.raises(ValueError, match="No I2C device at address: 0x49"):
        ADS1115(Rig().bus, address=0x49)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("nack", errno.EREMOTEIO), ("timeout", errno.ETIMEDOUT), ("busy", errno.EBUSY)],
)
def test_a_transfer_fails_as_long_as_its_fault_lasts(kind: str, code: int) -> None:
    rig = Rig(FaultSettings(kind, after_s=1, for_s=1, every_s=10))
    for at_s, fails in ((0.5, False), (1.5, True), (2.5, False), (11.5, True), (12.5, False)):
        rig.clock.sleep_until(round(at_s * 1e9))
        if fails:
            with pytest.raises(OSError) as raised:  # noqa: PT011 - its errno is what counts
                rig.bus.writeto(ADDRESS, b"\1")
            assert raised.value.errno == code
        else:
            rig.bus.writeto(ADDRESS, b"\1")


def test_on_a_wire_that_is_held_low_every_address_answers_with_zeros() -> None:
    rig = Rig(FaultSettings("bus_low", after_s=1, for_s=1))
    got = bytearray(b"\xff\xff")
    with pytest.raises(OSError, match="Remote I/O error"):
        rig.bus.writeto_then_readfrom(0x22, b"\1", got)
    rig.clock.sleep_until(1_500_000_000)
    rig.bus.writeto_then_readfrom(0x22, b"\1", got)
    assert got == b"\0\0"
    rig.bus.writeto(ADDRESS, b"\1\xc3\x83")
    rig.clock.sleep_until(2_500_000_000)
    rig.bus.writeto_then_readfrom(ADDRESS, b"\1", got)
    assert got == b"\x85\x83"  # nothing has arrived


@pytest.mark.parametrize(("every_s", "expected"), [(0.0, [1, 1, 1]), (2.0, [1, 2, 4])])
def test_another_reader_leaves_its_configuration_and_reads_on_time(
    every_s: float, expected: list[int]
) -> None:
    rig = Rig(FaultSettings("other_reader", after_s=1, for_s=0.001, every_s=every_s))
    (reader,) = rig.faults_of_bus.readers
    read = []
    for at_s in (0.9, 1.5, 3.5, 7.5):
        rig.clock.sleep_until(round(at_s * 1e9))
        rig.bus.writeto(ADDRESS, b"\1")
        read.append(reader.readings)
    assert read == [0, *expected]
    register = bytearray(2)
    rig.bus.writeto_then_readfrom(ADDRESS, b"\1", register)
    assert register[1] == 0x83  # 128 conversions a second
    assert register[0] >> 4 == 0xC + expected[-1] - 1  # the pins in turn, and ready


@pytest.mark.parametrize(("bus_hz", "write_us", "read_us"), [(100e3, 380, 480), (400e3, 95, 120)])
def test_a_transfer_takes_its_bits_and_the_computers_share(
    bus_hz: float, write_us: int, read_us: int
) -> None:
    rig = Rig(bus_hz=bus_hz, overhead_us=150)
    rig.bus.writeto(ADDRESS, bytes(3))
    assert rig.clock.now_ns == (write_us + 150) * 1000
    rig.bus.writeto_then_readfrom(ADDRESS, b"\0", bytearray(2))
    assert rig.clock.now_ns == pytest.approx((write_us + read_us + 300) * 1000, abs=1)


def test_a_nack_needs_no_number_of_linux() -> None:
    code = (
        "import errno\ndel errno.EREMOTEIO\n"  # as on macOS
        "from agent.sources import ads1115\n"
        "from agent.sources.faults import Fault, fault_of\n"
        "from agent.sources.virtual import installation\n"
        "from agent.clock import VirtualClock\n"
        "from agent.config.virtual import VirtualSettings\n"
        "bus = installation.install(VirtualSettings(), 0x48, VirtualClock())\n"
        "try:\n"
        "    bus.writeto(0x49, bytes(1))\n"
        "except OSError as error:\n"
        "    assert fault_of(error) is Fault.NO_ANSWER\n"
        "    print('no answer')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "no answer\n", done.stderr
