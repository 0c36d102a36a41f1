"""Two known values at a sensor, and from them its scale and offset."""

import json
import math
import os
import stat
import statistics
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import WaitableClock
from agent.config import Settings
from agent.config.source import Ads1115Settings, ReplaySettings
from agent.errors import AgentError, SourceError
from agent.sources.channel import Channel
from agent.sources.faults import ReadingError
from agent.sources.opening import channels, own_chip
from quartet.distribution import to_install
from quartet.errors import SettingsError
from quartet.settings import parse

if TYPE_CHECKING:
    from agent.sources.chip import Chip

# A second of readings at the rate with little noise: their mean is good to a code.
_DATA_RATE = 128
_READINGS = 128

# So many codes, and standard errors, must lie between two points, for a scale that
# is good to 1 %.
_APART_CODES = 100
_APART_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Point:
    """A known value, and the code that the sensor gave for it."""

    value: float
    code: float
    error: float
    """Standard error of the code."""


def run(
    settings: Settings, number: int, unit: str | None, path: Path | None, clock: WaitableClock
) -> int:
    """Ask for two values, and write the calibration of sensor `number` to the file at `path`.

    Without a file it is printed alone. AgentError where it cannot be made.
    """
    source = settings.source or Ads1115Settings()
    if isinstance(source, ReplaySettings):
        raise SettingsError("source.kind: only a chip can be calibrated, not a file")
    channel = next((each for each in channels(source) if each.number == number), None)
    if channel is None:
        raise SettingsError(f'source.sensor{number}.input: "none" has nothing to calibrate')
    unit = unit or channel.unit
    if path:
        path = path.resolve()
        _see_that_it_can_be_written(path, channel.name, unit)
    with own_chip(source, settings.virtual, clock) as chip, closing(chip):
        chip.open()
        chip.data_rate = _DATA_RATE
        try:
            first = _ask_for_point(chip, channel, "first", unit)
            second = _ask_for_point(chip, channel, "second", unit)
        except KeyboardInterrupt:
            raise AgentError("stopped: nothing was written") from None
    scale, offset = line_through(first, second, channel.lsb_v)
    print(f"[source.{channel.name}]")
    print(f"unit = {json.dumps(unit, ensure_ascii=False)}\nscale = {scale}\noffset = {offset}")
    if not math.isinf(channel.min) or not math.isinf(channel.max):
        print(f"check min and max of {channel.name}: they are in this unit, too")
    if path:
        _write(path, _edited(path, channel.name, unit, scale, offset))
        print(f"written to {path}; restart a running agent to use it")
    return 0


def line_through(first: Point, second: Point, lsb_v: float) -> tuple[float, float]:
    """Scale and offset such that value = scale * volts + offset. AgentError where there is none."""
    apart = abs(second.code - first.code)
    needed = max(_APART_CODES, _APART_ERRORS * math.hypot(first.error, second.error))
    if apart < needed:
        raise AgentError(
            f"the two points are {apart * lsb_v * 1e3:.2f} mV apart, but {needed * lsb_v * 1e3:.2f}"
            " mV are needed, because the sensor was not still: keep it still, or choose values that"
            " are farther apart"
        )
    scale = (second.value - first.value) / ((second.code - first.code) * lsb_v)
    if scale == 0:
        raise AgentError("both values are the same: choose two different ones")
    offset = first.value - scale * first.code * lsb_v
    return float(f"{scale:.9g}"), float(f"{offset:.9g}")


def _ask_for_point(chip: "Chip", channel: Channel, which: str, unit: str) -> Point:
    """Ask for a value, and read the sensor meanwhile it has it."""
    value = _ask(f"Set {channel.name} to the {which} known value, and enter this value in {unit}: ")
    try:
        codes = [chip.convert(channel, verify=True) for _ in range(_READINGS)]
    except ReadingError as error:
        raise SourceError(f"{chip.name}: {error}: nothing was written") from error
    if any(map(channel.is_saturated, codes)):
        raise SourceError(f"{channel.name} is saturated: choose a lower gain; nothing was written")
    mean, noise = statistics.fmean(codes), statistics.stdev(codes)
    print(
        f"{value:g} {unit} = {mean * channel.lsb_v:.5f} V,"
        f" noise {noise * channel.lsb_v * 1e3:.2f} mV"
    )
    return Point(value, mean, noise / math.sqrt(_READINGS))


def _ask(question: str) -> float:
    while True:
        print(question, end="", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise AgentError("no answer: nothing was written")
        try:
            value = float(answer)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        print(f"{answer.strip()!r} is not a number such as 1.5")


def _see_that_it_can_be_written(path: Path, table: str, unit: str) -> None:
    """SettingsError before anybody has gone to a sensor in vain."""
    if not os.access(path, os.W_OK) or not os.access(path.resolve().parent, os.W_OK):
        raise SettingsError(f"{path}: cannot be written: run this with sudo, or on a copy of it")
    _edited(path, table, unit, 1.0, 0.0)


def _edited(path: Path, table: str, unit: str, scale: float, offset: float) -> str:
    """The file's text with these in a table under [source], and all else as it is."""
    try:
        import tomlkit  # noqa: PLC0415 - optional
    except ImportError as error:
        raise AgentError(f"no {error.name}: {to_install('pi')}") from error
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    try:
        document = tomlkit.parse(before)
        source = document.setdefault("source", tomlkit.item({"kind": "ads1115"}))
        source.setdefault(table, tomlkit.table()).update(unit=unit, scale=scale, offset=offset)
        text = tomlkit.dumps(document)
        if "\r\n" in before:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        parse(text, path, Settings)
    except (SettingsError, ValueError) as error:
        raise SettingsError(
            f"{path}: cannot be edited in this form: write the sensor as a table [source.{table}]"
            f" of its own ({error})"
        ) from error
    return text


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole, and no link to it. AgentError, and nothing done: that failed."""
    before = path.stat()
    try:
        target = path.resolve()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        written = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            written.chmod(stat.S_IMODE(before.st_mode))
            if os.geteuid() == 0:
                os.chown(written, before.st_uid, before.st_gid)
            written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}: nothing was written") from error
