"""The agent's spool beside a plain queue in SQLite; prints one table."""

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.config import SpoolSettings
from agent.model import Reading, Sample
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from bench import backlog, figures, usage

# A window of the agent's link.
_WINDOW = 512
# More than is kept here, and nothing goes to the disk for its age.
_SETTINGS = SpoolSettings(max_bytes=2**30, spill_after_s=3600)
_RAM = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

Figures = dict[str, float]


def measure_plain(count: int) -> Figures:
    """A queue as one writes it in an afternoon: a commit for each sample, and for each answer."""
    with tempfile.TemporaryDirectory(dir=_RAM) as directory:
        path = Path(directory, "queue.db")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as queue:
            queue.execute("PRAGMA journal_mode = wal")
            queue.execute("PRAGMA synchronous = off")
            queue.execute("CREATE TABLE samples (id INTEGER PRIMARY KEY, time, a, b, c, d)")
            began_s = time.perf_counter()
            for number in range(count):
                row = (number, *backlog.VALUES)
                queue.execute("INSERT INTO samples VALUES (NULL, ?, ?, ?, ?, ?)", row)
            appended_s = time.perf_counter()
            queue.execute("PRAGMA wal_checkpoint(truncate)")
            size = path.stat().st_size
            resumed_s = time.perf_counter()
            while rows := queue.execute("SELECT * FROM samples LIMIT ?", (_WINDOW,)).fetchall():
                for row in rows:
                    queue.execute("DELETE FROM samples WHERE id = ?", row[:1])
            drained_s = time.perf_counter()
    return {
        "append, samples/s": count / (appended_s - began_s),
        "drain, samples/s": count / (drained_s - resumed_s),
        "bytes a sample": size / count,
    }


async def measure_spool(count: int, waiting: int) -> Figures:
    """The spool with its thread: through RAM; then a start with a backlog, and its drain."""
    found = {}
    with (
        _directories() as directories,
        contextlib.closing(Spool(directories, _SETTINGS, 0)) as spool,
    ):
        began_s = time.perf_counter()
        samples: list[Sample] = []
        for number in range(count):
            spool.append(Reading(backlog.VALUES, number))
            while number + 1 - len(samples) >= _WINDOW:
                samples += await spool.read(_WINDOW)
        found["append, samples/s"] = count / (time.perf_counter() - began_s)
        for sample in samples:
            spool.settle(sample, answered=True)
    with _directories() as directories:
        found["bytes a sample"] = backlog.fill(directories.cold, waiting) / waiting
        before_mb = usage.restart_own_peak()
        began_s = time.perf_counter()
        with contextlib.closing(Spool(directories, _SETTINGS, 0)) as spool:
            taken = await spool.read(_WINDOW)
            started_s = time.perf_counter()
            spool.finish()
            while taken:
                for sample in taken:
                    spool.settle(sample, answered=True)
                taken = await spool.read(_WINDOW)
        found["start, s"] = started_s - began_s
        found["drain, samples/s"] = waiting / (time.perf_counter() - started_s)
        found["memory for it, MB"] = usage.resident_mb(os.getpid(), "VmHWM") - before_mb
    return found


@contextlib.contextmanager
def _directories() -> Iterator[Directories]:
    """A hot tier in RAM, as on a device, and a cold one on disk."""
    with tempfile.TemporaryDirectory(dir=_RAM) as hot, tempfile.TemporaryDirectory() as cold:
        yield Directories(Path(hot), Path(cold))


def main() -> int:
    """Measure both in turn, and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one small round")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    rounds, count, waiting = (1, 5_000, 20_000) if arguments.quick else (3, 50_000, 10**6)
    plain, ours = [], []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        plain.append(measure_plain(count))
        ours.append(asyncio.run(measure_spool(count, waiting)))
    print(f"{count} samples appended; {waiting} drained from disk; median of {rounds} rounds")
    print(f"{'':20}{'spool':>12}{'plain queue':>14}{'ratio':>8}")
    for name in ours[0]:
        middle = statistics.median(each[name] for each in ours)
        if name not in plain[0]:
            print(f"{name:20}{middle:12.2f}")
            continue
        other = statistics.median(each[name] for each in plain)
        print(f"{name:20}{middle:12.0f}{other:14.0f}{middle / other:8.2f}")
    figures.write(arguments.json, "spool", measured(ours, plain))
    return 0


def measured(ours: list[Figures], plain: list[Figures]) -> list[figures.Figure]:
    """For --json."""
    found = []
    for name in ours[0]:
        what, _, unit = name.rpartition(", ")
        others = [each[name] for each in plain if name in each]
        rounds = [each[name] for each in ours]
        found += figures.figure(what or unit, unit if what else "bytes", rounds, others)
    return found


if __name__ == "__main__":
    sys.exit(main())
