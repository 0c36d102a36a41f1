"""Machines that the demos simulate, with the names and units of their sensors."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dataset.make_dataset import DEFAULT_OUT, make

# An hour and more until a file begins again.
ROWS = 36_000


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a column is called, and how its values follow from those of the data set."""

    name: str
    zero: float
    gain: float


@dataclass(frozen=True, slots=True)
class Machine:
    """One agent and the recording that it replays."""

    agent_id: str
    seed: int | None
    """None: the shipped recording, with its fault."""
    rate_hz: int
    sensors: tuple[Sensor, ...]
    goes_away: bool = False


def _bearings(unit: str, gain: float) -> tuple[Sensor, ...]:
    places = "drive end", "fan end", "gear in", "gear out"
    return tuple(Sensor(f"{place} ({unit})", 0.0, gain) for place in places)


_PUMP = (
    Sensor("pressure (bar)", 2.0, 20.0),
    Sensor("flow (l/min)", 30.0, 150.0),
    Sensor("oil (°C)", 35.0, 120.0),
    Sensor("motor (A)", 4.0, 30.0),
)
_FURNACE = (
    Sensor("zone 1 (°C)", 400.0, 800.0),
    Sensor("zone 2 (°C)", 420.0, 800.0),
    Sensor("gas (mbar)", 15.0, 60.0),
    Sensor("fan (rpm)", 900.0, 4000.0),
)

# Seeds whose healthy machine raises no alarm, also where its file begins again.
MACHINES = (
    Machine("press-1", 1, 10, _bearings("g", 10.0)),
    Machine("press-2", 4, 10, _bearings("mm/s", 25.0)),
    Machine("pump-3", 5, 10, _PUMP),
    Machine("press-4", None, 20, _bearings("g", 10.0)),
    Machine("furnace-5", 5, 10, _FURNACE, goes_away=True),
)


def recorded(machine: Machine, home: Path) -> Path:
    """A recording of this machine, with the names and units of its sensors."""
    if machine.seed is None:
        lines = DEFAULT_OUT.read_text("ascii").splitlines()
        rows: Iterable[Iterable[float]] = ([*map(float, line.split(",")[1:])] for line in lines)
    else:
        rows = make(machine.seed, ROWS, healthy=True).values.tolist()
    path = home / f"{machine.agent_id}.csv"
    with path.open("w", encoding="utf-8") as file:
        print(*(sensor.name for sensor in machine.sensors), sep=",", file=file)
        for row in rows:
            values = (s.zero + s.gain * v for s, v in zip(machine.sensors, row, strict=True))
            print(*(f"{value:.6g}" for value in values), sep=",", file=file)
    return path
