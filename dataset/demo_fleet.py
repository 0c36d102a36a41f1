#!/usr/bin/env python3
"""Five simulated machines, their broker, and its console, until Ctrl-C. `make demo-fleet` runs it.

Everything lies in a temporary directory, which goes with the demo.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from dataset.make_dataset import DEFAULT_OUT, make

# An hour and more until a file begins again.
ROWS = 36_000
# Longer than a start takes on a busy machine.
START_S = 60.0
# In good order; what takes longer is killed.
STOP_S = 10.0
# Offline is who sends nothing for 30 s.
THERE_S, AWAY_S = 45.0, 60.0
LOOK_EVERY_S = 0.2
SIGNALS = signal.SIGHUP, signal.SIGINT, signal.SIGTERM


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


class DemoError(Exception):
    """What a person must know. The demo ends."""


@dataclass(slots=True)
class Process:
    """A process of ours, with what it prints in a file."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    running: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it, again too. Ctrl-C does not reach it: it is ended in its turn."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, "-m", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.log.parent)},
                start_new_session=True,
            )

    def ask_to_end(self) -> None:
        """Return at once."""
        if self.running and self.running.poll() is None:
            self.running.terminate()

    def end(self) -> None:
        """Return when it has ended."""
        self.ask_to_end()
        if self.running:
            try:
                self.running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.running.kill()
                self.running.wait()
        self.running = None

    def check(self) -> None:
        """Raise DemoError if it has ended by itself."""
        if self.running and (status := self.running.poll()) is not None:
            said = self.log.read_text(errors="replace").splitlines()[-5:]
            raise DemoError("\n  ".join([f"{self.name} has ended with status {status}:", *said]))

    def said(self, pattern: str) -> str:
        """The first group of what it prints, once it has. Raises DemoError."""
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found[1]
            self.check()
            time.sleep(0.05)
        raise DemoError(f"{self.name} does not answer after {START_S:.0f} s")


@contextmanager
def started(name: str, home: Path, *arguments: str) -> Iterator[Process]:
    """A process that ends when it is left."""
    process = Process(name, arguments, home / f"{name.replace(' ', '-')}.log")
    process.start()
    try:
        yield process
    finally:
        process.end()


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


def run(home: Path, stack: ExitStack) -> NoReturn:
    """Start all, say where to look, and watch until a signal or a DemoError ends it."""
    store = str(home / "broker.db")
    broker = stack.enter_context(
        started("broker", home, "broker", "run", "--store", store, "--listen", "127.0.0.1:0")
    )
    address = broker.said(r"listening on (127\.0\.0\.1:\d+)")
    console = stack.enter_context(
        started("console", home, "broker", "console", "--store", store, "--listen", "127.0.0.1:0")
    )
    agents = {}
    for machine in MACHINES:
        recording = str(recorded(machine, home))
        run = "agent", "run", "--simulate", recording, "--loop", "--rate", str(machine.rate_hz)
        who = "--agent-id", machine.agent_id, "--broker", address
        name = f"agent {machine.agent_id}"
        agents[machine] = stack.enter_context(started(name, home, *run, *who))
    for agent in agents.values():
        stack.callback(agent.ask_to_end)  # all at once, before each is waited for
    print(
        f"\nThe console: {console.said(r'(http://127[.]0[.]0[.]1:[0-9]+/)')}\n\n{WHAT}", flush=True
    )
    turn_s = dict.fromkeys((each for each in MACHINES if each.goes_away), time.monotonic())
    while True:
        for process in (broker, console, *agents.values()):
            process.check()
        for machine, since_s in turn_s.items():
            agent = agents[machine]
            if time.monotonic() - since_s >= (THERE_S if agent.running else AWAY_S):
                agent.end() if agent.running else agent.start()
                turn_s[machine] = time.monotonic()
        time.sleep(LOOK_EVERY_S)


WHAT = """\
  press-1, press-2, pump-3   healthy
  press-4                    a bearing fails: an alarm after half a minute, again and again
  furnace-5                  goes away for a minute, and comes back, again and again

Each learns for some 30 seconds what is normal. Ctrl-C ends all of it."""


def interrupt(*_: object) -> NoReturn:
    """End the demo; a second signal does not disturb that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """0 after Ctrl-C or SIGTERM; 1 when a process has ended by itself."""
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="quartet-demo-") as home, ExitStack() as stack:
            run(Path(home), stack)
    except KeyboardInterrupt:
        print("\nended")
        return 0
    except DemoError as error:
        print(f"demo-fleet: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
