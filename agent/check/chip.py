"""The bus, the chip on it, and what is connected to that."""

import math
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.check.findings import Finding, Findings, Outcome, failed, passed
from agent.check.host import Host
from agent.clock import WaitableClock
from agent.config import Settings
from agent.config.source import Ads1115Settings, VirtualAds1115Settings
from agent.errors import CadenceError, SourceError
from agent.sources.bus import owner_of_chip
from agent.sources.cadence import best_rate_hz, choose_pace
from agent.sources.channel import Channel
from agent.sources.faults import Fault, ReadingError
from agent.sources.opening import channels, own_chip
from quartet.channels import CHANNELS
from quartet.plural import counted

if TYPE_CHECKING:
    from agent.sources.chip import Chip

_DEV = Path("/dev")

# Fast enough to be patient with, slow enough to be quiet.
_DATA_RATE = 250
_READINGS = 24

# With fewer readings, a sensor is not judged.
_FEWEST = 12

# A sensor holds its pin against the charge that the chip brings along from the
# channel before; an open pin follows it. Told apart by so many volts, and by so
# many standard errors.
_PULL_V = 0.005
_PULL_ERRORS = 5

# Two pins must differ by so much, or nothing can be told from one about the other.
_APART_V = 0.3

# With no such pin, an open one is told by its hum.
_HUM_V = 0.01


def check_chip(
    settings: Settings, source: Ads1115Settings, clock: WaitableClock, host: Host
) -> Findings:
    """From the device node to four readings; a running agent knows better than another reader."""
    if not isinstance(source, VirtualAds1115Settings):
        if owner := owner_of_chip(source.bus, source.chip_address):
            yield _check_owned(source, owner, host)
            return
        finding = check_bus(source.bus, _DEV, host)
        yield finding
        if finding.outcome is Outcome.FAILED:
            return
    try:
        with own_chip(source, settings.virtual, clock) as chip:
            yield from _check_open(chip, settings, source)
    except SourceError as error:
        yield failed("chip", str(error), "")  # which says what to do


def _check_owned(source: Ads1115Settings, owner: str, host: Host) -> Finding:
    says = f", which says: {host.running_agent}" if host.running_agent else ""
    chip = f"{source.chip.upper()} at {source.chip_address:#x} on bus {source.bus}"
    return passed("chip", f"{chip} is read by process {owner}{says}")


def check_bus(number: int, dev: Path, host: Host) -> Finding:
    """The device node of the bus, and the permission to use it."""
    path = dev / f"i2c-{number}"
    if not path.exists():
        others = sorted(each.name.removeprefix("i2c-") for each in dev.glob("i2c-[0-9]*"))
        if others:
            return failed(
                "bus", f"{path} is missing; there are {', '.join(others)}", "set source.bus"
            )
        if host.is_pi:
            remedy = "sudo raspi-config nonint do_i2c 0"
            return failed("bus", f"{path} is missing: I2C is off", remedy)
        return failed(
            "bus",
            f"{path} is missing: this computer has no I2C bus",
            "check on the device, or try 'agent check --virtual'",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        return failed(
            "bus",
            f"{path} cannot be opened by this user",
            "sudo usermod -aG i2c $USER, then log in again",
        )
    return passed("bus", str(path))


def _check_open(chip: "Chip", settings: Settings, source: Ads1115Settings) -> Findings:
    try:
        chip.open()
    except SourceError as error:
        yield failed("chip", str(error), f"i2cdetect -y {source.bus}")
        yield _check_neighbours(chip, source)
        return
    try:
        yield passed("chip", chip.name + (f": {chip.doubt}" if chip.doubt else ""))
        yield _check_neighbours(chip, source)
        yield from _check_rate(chip, settings, source)
        yield from _check_readings(chip, channels(source))
        yield from _tell_missing(channels(source))
    except (ReadingError, OSError) as error:
        yield failed("chip", f"{chip.name} stopped answering: {error}", "check its wires")
    finally:
        chip.close()


def _check_neighbours(chip: "Chip", source: Ads1115Settings) -> Finding:
    try:
        found = [f"{address:#x}" for address in chip.scan() if address != source.chip_address]
    except SourceError as error:
        return failed(
            "other chips",
            str(error),
            "disconnect all chips from the bus, and connect them one after another",
        )
    return passed("other chips", ", ".join(found) or "no other chip on this bus")


def _check_rate(chip: "Chip", settings: Settings, source: Ads1115Settings) -> Findings:
    yield passed("bus speed", f"{chip.measure_bus_hz() / 1e3:.0f} kHz, measured")
    sensors = channels(source)
    overhead = chip.measure_overhead(sensors)
    best_hz, verified_hz = (
        best_rate_hz(chip.model, len(sensors), source.average, overhead_ns)
        for overhead_ns in (overhead.plain_ns, overhead.verified_ns)
    )
    best = (
        f"at most {best_hz:.1f} samples a second with average = {source.average}, and"
        f" {verified_hz:.1f} with verified readings"
    )
    try:
        pace = choose_pace(
            chip.model, settings.sampling.period_ns, len(sensors), source.average, overhead
        )
    except CadenceError as error:
        yield failed("rate", str(error), f"set sampling.rate_hz to {int(best_hz)} or less")
    else:
        rate_hz = settings.sampling.rate_hz
        kind = "verified" if pace.is_verified else "not verified"
        yield passed(
            "rate",
            f"{rate_hz:g} samples a second with {pace.data_rate} conversions, {kind}; {best}",
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a channel gave."""

    channel: Channel
    codes: list[int]

    @property
    def mean_v(self) -> float:
        return statistics.fmean(self.codes) * self.channel.lsb_v

    @property
    def noise_v(self) -> float:
        return statistics.stdev(self.codes) * self.channel.lsb_v


def _check_readings(chip: "Chip", sensors: list[Channel]) -> Findings:
    chip.data_rate = _DATA_RATE
    codes: list[list[int]] = [[] for _ in sensors]
    spoilt = 0
    for index, sensor in [*enumerate(sensors)] * _READINGS:
        try:
            codes[index].append(chip.convert(sensor, verify=True))
        except ReadingError as error:
            if error.fault is not Fault.FOREIGN:
                raise
            spoilt += 1
    if spoilt:
        yield _tell_other_program(spoilt, _READINGS * len(sensors))
    if min(map(len, codes)) < _FEWEST:
        return
    readings = [_Reading(*each) for each in zip(sensors, codes, strict=True)]
    for reading in readings:
        yield _judge(chip, reading, readings)


def _tell_other_program(spoilt: int, readings: int) -> Finding:
    return failed(
        "other programs",
        f"{Fault.FOREIGN} uses this chip at the same time: {counted(spoilt, 'reading')} of"
        f" {readings} failed",
        "stop it; 'sudo fuser -v /dev/i2c-1' lists the programs on bus 1",
    )


def _tell_missing(sensors: list[Channel]) -> Findings:
    there = {sensor.number for sensor in sensors}
    for number in range(1, CHANNELS + 1):
        if number not in there:
            yield passed(f"sensor{number}", 'input = "none": its value is always 0')


def _judge(chip: "Chip", reading: _Reading, all_readings: list[_Reading]) -> Finding:
    sensor = reading.channel
    name = f"{sensor.name} ({sensor.pins})"
    value = sensor.value(statistics.fmean(reading.codes))
    seen = (
        f"{reading.mean_v:.4f} V = {value:.5g} {sensor.unit}, noise {reading.noise_v * 1e3:.2f} mV"
    )
    if any(map(sensor.is_saturated, reading.codes)):
        return failed(name, f"{seen}: saturated", f"choose a lower source.{sensor.name}.gain")
    if _is_open(chip, reading, all_readings):
        return failed(
            name,
            f"{seen}: this input seems to be open",
            f"connect the sensor to {sensor.pins}; connect an unused input to ground",
        )
    if not sensor.is_in_range(value):
        return failed(
            name,
            f"{seen}: out of {sensor.min:g}..{sensor.max:g}",
            "check the sensor and its wire",
        )
    return passed(name, seen, sensor.beyond)


def _is_open(chip: "Chip", reading: _Reading, all_readings: list[_Reading]) -> bool:
    """Whether a single-ended input follows the channel that was converted before it."""
    if not isinstance(reading.channel.input, int):
        return False
    other = max(all_readings, key=lambda each: abs(each.mean_v - reading.mean_v))
    if abs(other.mean_v - reading.mean_v) < _APART_V:
        return reading.noise_v > _HUM_V
    after_itself, after_other = [], []
    for _ in range(_READINGS):
        chip.convert(reading.channel)
        after_itself.append(chip.convert(reading.channel) * reading.channel.lsb_v)
        chip.convert(other.channel)
        after_other.append(chip.convert(reading.channel) * reading.channel.lsb_v)
    pull_v = abs(statistics.fmean(after_other) - statistics.fmean(after_itself))
    spread_v = statistics.stdev(after_itself) + statistics.stdev(after_other)
    return pull_v > max(_PULL_V, _PULL_ERRORS * spread_v / math.sqrt(_READINGS))
