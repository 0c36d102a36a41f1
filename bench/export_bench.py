"""`broker export` beside csv.writer on the same rows in memory; prints one table."""

import argparse
import asyncio
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import figures
from bench.machine import DIGEST, KEEPING
from broker.export.cells import iso
from broker.export.formats import Format
from broker.model import Answer, Sample
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch
from quartet.channels import Values, as_float32
from wire.metadata import StreamHeader

_AGENT = "press-1"
_PERIOD_NS = 10**8
_BEGIN_NS = 1_700_000_000 * 10**9

# Samples of one commit: the arrival of each has the same time.
_BATCH = 500

# An ADS1115 at gain 1, in volts.
_STEP_V = 125e-6


def main() -> int:
    """Measure both in turn, and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one small round")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    counts, rounds = ((1000, 10_000), 1) if arguments.quick else ((100_000, 1_000_000), 3)
    found: list[figures.Figure] = []
    for kind, values in (("a converter's values", _converted), ("any float32", _any)):
        print(f"{kind}: {'':14}{'rows':>10}{'CPU s':>9}{'ratio':>7}{'peak MB':>9}")
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                store = Path(folder, "broker.db")
                asyncio.run(_fill(store, values(count)))
                found += _measure(kind, store, [*values(count)], rounds)
    figures.write(arguments.json, "export", found)
    return 0


def _measure(kind: str, store: Path, values: list[Values], rounds: int) -> Iterator[figures.Figure]:
    """All formats over one store."""
    out = store.with_name("out")
    plain: list[float] = []
    ours: dict[Format, list[tuple[float, float]]] = {each: [] for each in Format}
    for _ in range(rounds):
        plain.append(_plain_s(out, values))
        for each in Format:
            ours[each].append(_export(store, out, each))
    count = len(values)
    print(f"  {'csv.writer':34}{count:>10}{median(plain):9.2f}")
    for each, used in ours.items():
        cpu_s, peak_mb = zip(*used, strict=True)
        ratio = median(cpu_s) / median(plain)
        line = f"{count:>10}{median(cpu_s):9.2f}{ratio:7.2f}{median(peak_mb):9.0f}"
        print(f"  {each:34}{line}", flush=True)
        yield from figures.figure(f"{kind}, {count} rows, {each}, CPU", "s", cpu_s, plain)
        yield from figures.figure(f"{kind}, {count} rows, {each}, peak", "MB", peak_mb)


# Says its own peak: what the kernel says of a child includes what its parent had.
_CHILD = """
import os, sys
from bench.usage import resident_mb
from broker.__main__ import main
code = main(sys.argv[1:])
print(resident_mb(os.getpid(), "VmHWM"))
sys.exit(code)
"""


def _export(store: Path, out: Path, format_: Format) -> tuple[float, float]:
    """CPU in s and peak of memory in MB of one command, with its start."""
    what = ["export", _AGENT, str(out), "--overwrite", "--store", str(store), "--format", format_]
    began = os.times()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *what], capture_output=True, check=True, text=True
    )
    ended = os.times()
    used_s = ended.children_user + ended.children_system
    return used_s - began.children_user - began.children_system, float(done.stdout)


def _plain_s(out: Path, values: list[Values]) -> float:
    """CPU of csv.writer for rows that are text and numbers already."""
    rows = [
        (iso(_taken_ns(id_)), _SESSION, id_, *four, 0, iso(_taken_ns(id_)), "")
        for id_, four in enumerate(values)
    ]
    began_s = time.process_time()
    with out.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return time.process_time() - began_s


_SESSION = "0123456789abcdef" * 2


def _taken_ns(id_: int) -> int:
    return _BEGIN_NS + id_ * _PERIOD_NS


async def _fill(store: Path, values: Iterator[Values]) -> None:
    header = StreamHeader(_AGENT, _SESSION, 0, _BEGIN_NS, _PERIOD_NS)
    with SqliteRecorder(store, DIGEST, KEEPING) as recorder:
        claim = await recorder.claim(header, "127.0.0.1:1")
        samples: list[Sample] = []
        for id_, four in enumerate(values):
            samples.append(Sample(id_, four))
            if len(samples) == _BATCH:
                answers = [Answer(each.id, prediction=False) for each in samples]
                await recorder.record(Batch(claim, samples, answers))
                samples = []
        recorder.release(claim)


def _converted(count: int) -> Iterator[Values]:
    chance = random.Random(1)  # noqa: S311
    for _ in range(count):
        yield as_float32(round(chance.gauss(1.65, 0.1) / _STEP_V) * _STEP_V for _ in range(4))


def _any(count: int) -> Iterator[Values]:
    chance = random.Random(2)  # noqa: S311
    for _ in range(count):
        yield as_float32(chance.gauss(1.65, 0.1) for _ in range(4))


if __name__ == "__main__":
    sys.exit(main())
