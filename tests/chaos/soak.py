"""A long run without faults, as `make soak` starts it: python -m chaos.soak --minutes 30.

A broker with a full store, three agents at a steady rate. What each process holds is looked at
again and again; the verdict is that none of it grows (see chaos.flatness).
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from support.processes import let_children_be_signalled

from chaos.device import Device
from chaos.flatness import ALLOWED, Trend
from chaos.plant import Equipment, Plant
from quartet.columns import aligned

# So small that the store is full, and pruned, before the warm-up is over.
_STORE_BYTES = 1 << 20

# So many looks are enough for medians, and cost nothing beside 300 samples a second.
_MOST_LOOKS = 600

_MB = 1e6

Figures = dict[str, list[float]]


def main() -> int:
    """Run, look, tell; 0 where all is flat, 1 where something grows or fails."""
    parser = argparse.ArgumentParser(prog="chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    if sys.platform != "linux":
        print("left out: what a process holds is read from Linux's /proc")
        return 0
    let_children_be_signalled()
    home = Path(tempfile.mkdtemp(prefix="quartet-soak-"))
    equipment = Equipment("chart", mounts=False, faketime=None, max_bytes=_STORE_BYTES)
    plant = Plant(home, equipment, seed=0, tell=print)
    with plant.running():
        figures = _watch(plant, minutes * 60)
        plant.drain(len(plant.devices))
    trips = {device.agent_id: _round_trips(device) for device in plant.devices}
    grown = _told(figures, trips)
    for complaint in plant.complaints:
        print(f"- {complaint}")
    if grown or plant.complaints:
        print(f"\nFAILED: {', '.join(grown) or 'see above'}; what was left is in {home}")
        return 1
    shutil.rmtree(home)
    print(f"\nflat over {minutes:g} minutes")
    return 0


def _watch(plant: Plant, for_s: float) -> dict[str, Figures]:
    """Look at each process at even intervals."""
    found: dict[str, Figures] = {}
    begin_s = time.monotonic()
    every_s = max(1.0, for_s / _MOST_LOOKS)
    for number in range(1, round(for_s / every_s) + 1):
        plant.live(begin_s + number * every_s - time.monotonic())
        _add(found, "broker", _held(plant.broker.process.pid) | _store(plant.store))
        for device in plant.devices:
            looked = _held(device.agent.process.pid) | {"spool MB": _spool_mb(device)}
            _add(found, device.agent_id, looked)
    return found


def _add(found: dict[str, Figures], name: str, looked: Mapping[str, float]) -> None:
    for figure, value in looked.items():
        found.setdefault(name, {}).setdefault(figure, []).append(value)


def _held(pid: int) -> dict[str, float]:
    """What a process holds, by proc(5)."""
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text().splitlines()
    rss_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return {
        "RSS MB": rss_kb * 1024 / _MB,
        "descriptors": len([*(process / "fd").iterdir()]),
        "threads": len([*(process / "task").iterdir()]),
    }


def _store(path: Path) -> dict[str, float]:
    return {"store MB": _size(path) / _MB, "WAL MB": _size(Path(f"{path}-wal")) / _MB}


def _spool_mb(device: Device) -> float:
    files = (file for disk in (device.hot, device.cold) for file in disk.path.iterdir())
    return sum(map(_size, files)) / _MB


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # it went meanwhile
        return 0


def _round_trips(device: Device) -> list[float]:
    """Of each prediction, in ms, in the order of the log."""
    lines = device.logbook.read_text().splitlines()
    return [int(line.rpartition(",")[2]) / 1000 for line in lines]


def _told(figures: Mapping[str, Figures], trips: Mapping[str, list[float]]) -> list[str]:
    """Print the table; what has grown."""
    grown = []
    rows = [("process", "figure", "first third", "last third", "verdict")]
    for name, of_process in figures.items():
        for figure, values in of_process.items():
            trend = Trend.of(values)
            grows = trend.grows(ALLOWED[figure])
            if grows:
                grown.append(f"{figure} of {name} grows")
            told = "GROWS" if grows else "flat"
            rows.append((name, figure, f"{trend.first:.2f}", f"{trend.last:.2f}", told))
    for name, each in trips.items():
        third = len(each) // 3
        for percent in (50, 99):
            first, last = (_percentile(part, percent) for part in (each[:third], each[-third:]))
            row = (name, f"p{percent} ms", f"{first:.2f}", f"{last:.2f}", f"x {last / first:.2f}")
            rows.append(row)
    print("\n".join(aligned(rows, names=2)))
    return grown


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
