#!/usr/bin/env python3
"""Make synthetic run-to-failure recordings of four bearings on one shaft.

One row stands for one 10-minute vibration reading: the mean absolute acceleration at each
bearing, as a voltage. Nothing here was measured on a machine. Needs numpy only.

    python dataset/make_dataset.py                                  the sensors.csv that ships
    python dataset/make_dataset.py --seed 8 --rows 2000 --out worn.csv
    python dataset/make_dataset.py --seed 8 --rows 2000 --healthy --out healthy.csv
"""

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Range = tuple[float, float]  # the lowest and highest value of a uniform random draw

DEFAULT_OUT = Path(__file__).resolve().parent / "sensors.csv"
DEFAULT_ROWS = 982  # a little under 7 days of 10-minute readings
# Chosen by looking: the healing dip can be seen, and the one run of readings above 0.2 V begins at
# 90 % of the life and ends only with the stop.
DEFAULT_SEED = 7
MIN_ROWS = 20  # the latest onset (row 14) still leaves three rows of growth before the stop
MAX_ROWS = 1_000_000  # 19 years of readings; well within a laptop's memory

CHANNELS = 4  # what one message of the wire carries
# Finer than the steps of the wire's float32 at any of these voltages, and far coarser than the last
# bit, in which numpy's exp() differs from one CPU to another.
DECIMALS = 10

# Healthy machine
BASE_V: Range = (0.04, 0.12)  # each bearing's own level: a quiet bearing and a rough one
LOAD_TIME_CONSTANT_ROWS: Range = (20.0, 150.0)  # hours to a day: load and temperature
LOAD_DEVIATION: Range = (0.003, 0.015)  # a machine under nearly steady load
LOAD_GAIN: Range = (0.8, 1.2)  # near 1: all four bearings feel the one shaft's load
OWN_TIME_CONSTANT_ROWS: Range = (3.0, 60.0)  # half an hour to ten hours: grease, local heat
OWN_DEVIATION: Range = (0.002, 0.012)  # below the shared load's, so that channels stay correlated
# The mean of |x| over n Gaussian samples scatters by sqrt((pi/2 - 1) / n): 0.5 % at n = 20480.
NOISE_DEVIATION: Range = (0.005, 0.015)
RUN_IN: Range = (-0.02, 0.10)  # most new bearings settle downwards, few upwards
RUN_IN_TIME_CONSTANT_ROWS: Range = (20.0, 300.0)  # hours to two days
MAX_SPIKE_SHARE = 0.003  # a knock or a bad contact: rare enough to touch single rows only
SPIKE: Range = (-0.4, 0.8)  # change of that one reading

# Fault: exponential degradation after N. Gebraeel, "Sensory-updated residual life distributions
# for components with exponential degradation patterns", 2006
ONSET_SHARE: Range = (0.5, 0.75)  # leaves a long healthy start to learn from
DAMAGE_GROWTH: Range = (1.8, 3.2)  # the exponent at the end of the life
DAMAGE_SCALE: Range = (0.15, 0.5)  # of the base level; the end is 0.8 to 12 times that level
COUPLING: Range = (0.1, 0.35)  # share of the damage felt at distance 1 along the shaft
HEALING_DEPTH: Range = (0.0, 0.6)  # worn edges smooth before they break on
HEALING_CENTRE: Range = (0.5, 0.75)  # share of the time from onset to end
HEALING_WIDTH = 0.06  # standard deviation of the dip: narrow enough to stand apart from the end

# After the fault
STOPPED_ROWS = 2  # readings taken after the machine was stopped
STOPPED_V = 0.002  # what sensor and amplifier give at rest
STOPPED_DEVIATION = 0.05  # small against the step from running to rest


class ArgumentsError(ValueError):
    """The recording asked for cannot be made."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One life of the machine; `onset_row` and `faulty_channel` are None where it is healthy."""

    values: Floats
    """Readings in volts, shape (rows, 4), positive and finite; read-only."""
    onset_row: int | None
    """First row of the fault, from 0; the damage is still zero there."""
    faulty_channel: int | None
    """Column of `values` with the fault, from 0: channel 0 is `sensor1` in the file."""


def make(seed: int, rows: int, healthy: bool = False) -> Recording:
    """Make the recording of this seed: `rows` readings of four channels, in volts.

    With `healthy` there is neither fault nor stop, and the rows are those of the faulty recording
    of the same seed and length up to its onset. Raises ArgumentsError for a negative seed, or rows
    outside MIN_ROWS to MAX_ROWS.
    """
    if seed < 0:
        raise ArgumentsError(f"seed must not be negative, not {seed}")
    if not MIN_ROWS <= rows <= MAX_ROWS:
        raise ArgumentsError(f"rows must be {MIN_ROWS} to {MAX_ROWS}, not {rows}")
    rng = np.random.default_rng(seed)
    base_v = rng.uniform(*BASE_V, CHANNELS)
    values = _healthy_v(rng, rows, base_v)
    if healthy:
        return Recording(_frozen(values), onset_row=None, faulty_channel=None)
    faulty_channel = int(rng.integers(CHANNELS))
    onset_row = int(rows * rng.uniform(*ONSET_SHARE))
    damage_v = _damage_v(rng, rows, onset_row, float(base_v[faulty_channel]))
    felt_v = damage_v[:, np.newaxis] * _coupling(rng, faulty_channel)
    values = np.sqrt(values**2 + felt_v**2)  # independent vibrations: their energies add
    values[-STOPPED_ROWS:] = _stopped_v(rng)
    return Recording(_frozen(values), onset_row, faulty_channel)


def csv_lines(recording: Recording) -> Iterator[str]:
    """Give the file's lines `id,sensor1,sensor2,sensor3,sensor4`: no header, ids from 0, volts."""
    for row_id, row in enumerate(recording.values):
        yield ",".join([str(row_id), *(repr(float(value)) for value in row)]) + "\n"


def write_csv(recording: Recording, path: Path) -> None:
    """Write the recording to `path`, replacing what is there; raises OSError."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(csv_lines(recording))


def _healthy_v(rng: np.random.Generator, rows: int, base_v: Floats) -> Floats:
    """Readings of the healthy machine in volts, shape (rows, 4); `base_v` has shape (4,)."""
    load = _drift(rng, rows, LOAD_TIME_CONSTANT_ROWS, LOAD_DEVIATION)
    load_gain = rng.uniform(*LOAD_GAIN, CHANNELS)
    own = np.column_stack(
        [_drift(rng, rows, OWN_TIME_CONSTANT_ROWS, OWN_DEVIATION) for _ in range(CHANNELS)]
    )
    exponent = load_gain * load[:, np.newaxis] + own + _run_in(rng, rows)
    noise_deviation = rng.uniform(*NOISE_DEVIATION, CHANNELS)
    noise = 1.0 + noise_deviation * rng.standard_normal((rows, CHANNELS))
    healthy_v: Floats = base_v * np.exp(exponent) * noise * _spikes(rng, rows)
    return healthy_v


def _drift(
    rng: np.random.Generator, rows: int, time_constant_rows: Range, deviation: Range
) -> Floats:
    """One stationary Ornstein-Uhlenbeck path of mean 0, seen at each row, shape (rows,)."""
    kept = math.exp(-1.0 / rng.uniform(*time_constant_rows))
    kicks = rng.uniform(*deviation) * rng.standard_normal(rows)
    kicks[1:] *= math.sqrt(1.0 - kept**2)  # the first kick is the stationary start
    path = np.empty(rows)
    level = 0.0
    for row, kick in enumerate(kicks.tolist()):
        level = kept * level + kick
        path[row] = level
    return path


def _run_in(rng: np.random.Generator, rows: int) -> Floats:
    """Settling of the new bearings: an exponential decay, shape (rows, 4)."""
    start = rng.uniform(*RUN_IN, CHANNELS)
    time_constant_rows = rng.uniform(*RUN_IN_TIME_CONSTANT_ROWS, CHANNELS)
    run_in: Floats = start * np.exp(-np.arange(rows)[:, np.newaxis] / time_constant_rows)
    return run_in


def _spikes(rng: np.random.Generator, rows: int) -> Floats:
    """Factor on each reading, shape (rows, 4): 1, but for a few rows, each on one channel."""
    count = int(rng.integers(int(MAX_SPIKE_SHARE * rows), endpoint=True))
    factor = np.ones((rows, CHANNELS))
    spike_rows = rng.choice(rows, count, replace=False)
    factor[spike_rows, rng.integers(CHANNELS, size=count)] += rng.uniform(*SPIKE, count)
    return factor


def _damage_v(rng: np.random.Generator, rows: int, onset_row: int, base_v: float) -> Floats:
    """Vibration of the fault in volts, shape (rows,): zero up to the onset, with a healing dip."""
    last_running_row = rows - STOPPED_ROWS - 1
    progress = (np.arange(rows) - onset_row) / (last_running_row - onset_row)
    progress = np.clip(progress, 0.0, 1.0)
    growth = rng.uniform(*DAMAGE_GROWTH)
    damage_v = base_v * rng.uniform(*DAMAGE_SCALE) * (np.exp(growth * progress) - 1.0)
    depth = rng.uniform(*HEALING_DEPTH)
    from_centre = (progress - rng.uniform(*HEALING_CENTRE)) / HEALING_WIDTH
    healed_v: Floats = damage_v * (1.0 - depth * np.exp(-0.5 * from_centre**2))
    return healed_v


def _coupling(rng: np.random.Generator, faulty_channel: int) -> Floats:
    """Share of the damage that each channel feels, shape (4,): all of it on the faulty one."""
    distance = np.abs(np.arange(CHANNELS) - faulty_channel)
    coupling = rng.uniform(*COUPLING, CHANNELS) / np.maximum(distance, 1)
    coupling[faulty_channel] = 1.0
    return coupling


def _stopped_v(rng: np.random.Generator) -> Floats:
    """Readings at rest in volts, shape (STOPPED_ROWS, 4)."""
    noise = STOPPED_DEVIATION * rng.standard_normal((STOPPED_ROWS, CHANNELS))
    stopped_v: Floats = STOPPED_V * (1.0 + noise)
    return stopped_v


def _frozen(values: Floats) -> Floats:
    """Round `values` so that every CPU gives the same file, and make them read-only."""
    rounded = np.round(values, DECIMALS)
    rounded.flags.writeable = False
    return rounded


class _OneLineParser(argparse.ArgumentParser):
    """Argparse, with an error of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        description="Make a synthetic run-to-failure recording of four bearings as a CSV.",
        allow_abbrev=False,
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="default: %(default)s")
    parser.add_argument(
        "--rows",
        type=int,
        default=DEFAULT_ROWS,
        help=f"10-minute readings, {MIN_ROWS} to {MAX_ROWS}; default: %(default)s",
    )
    parser.add_argument("--healthy", action="store_true", help="without fault and stop")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=DEFAULT_OUT,
        help="file to write, replaced if it exists; default: sensors.csv beside this script",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code, or exit 2 where the arguments are wrong."""
    parser = _parser()
    args = parser.parse_args(arguments)
    out: Path = args.out
    try:
        recording = make(args.seed, args.rows, args.healthy)
    except ArgumentsError as error:
        parser.error(str(error))
    try:
        write_csv(recording, out)
    except OSError as error:
        print(
            f"{parser.prog}: error: cannot write {out}: {error.strerror or error}", file=sys.stderr
        )
        return 1
    fault = "healthy"
    if recording.faulty_channel is not None:
        fault = f"fault on sensor{recording.faulty_channel + 1} from row {recording.onset_row}"
    try:
        print(f"{out}: {args.rows} rows, seed {args.seed}, {fault}", flush=True)
    except OSError as error:
        print(f"{parser.prog}: cannot write the output: {error.strerror}", file=sys.stderr)
        # The interpreter's end would try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
