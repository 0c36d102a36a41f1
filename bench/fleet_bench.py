"""The shared recorder beside the file's, and brokers that die: how soon the next one answers."""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import figures, servers
from bench.child import Child, ChildError
from bench.load import Fleet
from bench.servers import Servers
from bench.stream import StreamError
from bench.traffic import Traffic
from bench.usage import Others
from broker.model import Answer, Sample
from broker.recorder import Recorder
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch, Claim
from wire.metadata import StreamHeader

_VALUES = (0.0625, 0.075, 0.056, 0.044)
_S_NS = 10**9
_PACE_HZ = 20.0
# What the agents of a machine send that drain their spools: half a window of 512, some times.
_AT_ONCE = 64
# Agents that come to the first broker at once: that is not what is measured.
_GROUP = 20
# No machine that works takes longer until all agents are answered again, however busy.
_PATIENCE_S = 120.0
_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "parity")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    lines: int
    seconds: float  # paced
    batches: int  # pipelined, on each line
    agents: int  # of the broker that dies


_FULL = Plan(rounds=3, lines=100, seconds=5.0, batches=20, agents=1000)
_QUICK = Plan(rounds=1, lines=5, seconds=0.5, batches=2, agents=20)


@dataclass(frozen=True, slots=True)
class Cell:
    """One recorder, once."""

    p50_ms: float
    p99_ms: float
    paced_cpu_s: float  # of this process, for 100,000 samples
    paced_server_cpu_s: float
    rate_hz: float  # pipelined
    cpu_s: float
    server_cpu_s: float


def _header(agent: str) -> StreamHeader:
    period_ns = round(_S_NS / _PACE_HZ)
    return StreamHeader(agent, f"{1:032x}", 0, time.time_ns(), period_ns)


def _batch(claim: Claim, first: int, count: int) -> Batch:
    ids = range(first, first + count)
    samples = [Sample(id_, _VALUES) for id_ in ids]
    return Batch(claim, samples, [Answer(id_, prediction=False) for id_ in ids])


class Meter:
    """Processor time of this process and of the servers, from its making on."""

    def __init__(self, server_cpu_s: Callable[[], float]) -> None:
        self._server_cpu_s = server_cpu_s
        self._began = time.process_time(), server_cpu_s(), time.perf_counter()

    def used(self, samples: int) -> tuple[float, float, float]:
        """Of both for 100,000 samples, and samples a second."""
        own_s, server_s, began_s = self._began
        share = 1e5 / samples
        return (
            (time.process_time() - own_s) * share,
            (self._server_cpu_s() - server_s) * share,
            samples / (time.perf_counter() - began_s),
        )


async def measure(recorder: Recorder, plan: Plan, server_cpu_s: Callable[[], float]) -> Cell:
    """Both loads on one recorder."""
    names = [f"press-{number}" for number in range(plan.lines)]
    claims = [await recorder.claim(_header(name), "127.0.0.1:4") for name in names]
    turns = round(plan.seconds * _PACE_HZ)
    waits_s: list[float] = []

    async def pace(claim: Claim, begin_s: float) -> None:
        for turn in range(turns):
            await asyncio.sleep(begin_s + turn / _PACE_HZ - time.monotonic())
            began_s = time.perf_counter()
            await recorder.record(_batch(claim, turn, 1))
            waits_s.append(time.perf_counter() - began_s)

    async def drain(claim: Claim, first: int, batches: int) -> None:
        for number in range(batches):
            await recorder.record(_batch(claim, first + number * _AT_ONCE, _AT_ONCE))

    begin_s, gap_s = time.monotonic(), 1 / _PACE_HZ / plan.lines
    meter = Meter(server_cpu_s)
    await asyncio.gather(*(pace(each, begin_s + n * gap_s) for n, each in enumerate(claims)))
    paced = meter.used(len(waits_s))
    await asyncio.gather(*(drain(each, turns, 1) for each in claims))
    first = turns + _AT_ONCE
    meter = Meter(server_cpu_s)
    await asyncio.gather(*(drain(each, first, plan.batches) for each in claims))
    drained = meter.used(plan.lines * plan.batches * _AT_ONCE)
    cuts = statistics.quantiles(waits_s, n=100)
    return Cell(cuts[49] * 1e3, cuts[98] * 1e3, *paced[:2], drained[2], *drained[:2])


@contextlib.asynccontextmanager
async def _file() -> AsyncIterator[tuple[Recorder, Callable[[], float]]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        SqliteRecorder(Path(folder, "broker.db"), "d", Keeping("normal")) as recorder,
    ):
        yield recorder, lambda: 0.0


@contextlib.asynccontextmanager
async def _shared(*, confirmed: bool) -> AsyncIterator[tuple[Recorder, Callable[[], float]]]:
    # Not where nothing of it is installed.
    from broker.recorder.postgres.keeping import FleetKeeping  # noqa: PLC0415
    from broker.recorder.postgres.recorder import PostgresRecorder  # noqa: PLC0415

    with servers.running(confirmed=confirmed) as running:
        async with PostgresRecorder(running.url, "d", FleetKeeping("full")) as recorder:
            yield recorder, running.cpu_s


_Opened = contextlib.AbstractAsyncContextManager[tuple[Recorder, Callable[[], float]]]
_RECORDERS: dict[str, Callable[[], _Opened]] = {
    "file, normal": _file,
    "database": lambda: _shared(confirmed=False),
    "with standby": lambda: _shared(confirmed=True),
}


async def _once(name: str, plan: Plan) -> Cell:
    async with _RECORDERS[name]() as (recorder, server_cpu_s):
        return await measure(recorder, plan, server_cpu_s)


def table(cells: dict[str, list[Cell]]) -> str:
    """A row for each recorder; medians of the rounds."""
    lines = [
        f"{'':<14}{'paced:':>8}{'':>9}{'CPU-s/100k':>18}{'pipelined':>13}{'CPU-s/100k':>19}",
        f"{'recorder':<14}{'p50 ms':>8}{'p99 ms':>9}{'broker':>10}{'server':>8}"
        f"{'samples/s':>13}{'broker':>11}{'server':>8}",
    ]
    for name, of in cells.items():
        p50, p99, paced, paced_server, rate, cpu, server = (
            statistics.median(getattr(cell, field) for cell in of) for field in Cell.__slots__
        )
        lines.append(
            f"{name:<14}{p50:>8.1f}{p99:>9.1f}{paced:>10.1f}{paced_server:>8.1f}"
            f"{rate:>13.0f}{cpu:>11.2f}{server:>8.2f}"
        )
    reference = cells["file, normal"]
    for name in [*cells][1:]:
        pairs = [*zip(cells[name], reference, strict=True)]
        lines.append(
            f"{name}, of the file's: CPU of the broker"
            f" {_ratio(pairs, 'paced_cpu_s'):.2f} paced, {_ratio(pairs, 'cpu_s'):.2f} pipelined;"
            f" rate {_ratio(pairs, 'rate_hz'):.2f}"
        )
    return "\n".join(lines)


def _ratio(pairs: Sequence[tuple[Cell, Cell]], field: str) -> float:
    """The median of the rounds' own ratios: what disturbs a round disturbs both."""
    ratios: list[float] = [getattr(one, field) / getattr(other, field) for one, other in pairs]
    return statistics.median(ratios)


@contextlib.contextmanager
def _agents(broker: Child, count: int, traffic: Traffic) -> Iterator[Fleet]:
    host, _, port = broker.address().rpartition(":")
    metadata = [_header(f"press-{number}").to_metadata() for number in range(count)]
    place = (host, int(port)), count, traffic, metadata
    with contextlib.closing(Fleet(*place, stall_s=_PATIENCE_S, deadline_s=_PATIENCE_S)) as fleet:
        yield fleet


def takeover(running: Servers, agents: int, number: int) -> float:
    """Seconds until all agents of a broker that gets this signal have answers of another one.

    Raises:
        ChildError: a broker did not start.
        StreamError: not all are answered in time, or wrongly.
    """
    traffic = Traffic.of(3)
    with Child(*_BROKER, "--store", running.url) as one:
        with Child(*_BROKER, "--store", running.url) as two:
            two.address()
            with _agents(one, agents, traffic) as fleet:
                if len(fleet.open(_GROUP)) < agents:
                    raise StreamError("the first broker does not answer all agents")
                for stream in fleet.streams:
                    fleet.release(stream, 2)  # half a commit may be under way
                os.kill(one.pid, number)
                began_s = time.perf_counter()
            with _agents(two, agents, traffic) as fleet:
                fleet.open()
                for stream in fleet.streams:  # what it may have, and what it has not
                    fleet.release(stream, 3)
                fleet.wait(lambda: all(stream.answered == 3 for stream in fleet.streams))
                took_s: float = time.perf_counter() - began_s
                if left := sum(stream.answered < 3 for stream in fleet.streams):
                    raise StreamError(f"{left} of {agents} agents have no answer")
        os.kill(one.pid, signal.SIGKILL)
    return took_s


def main() -> int:
    """Measure all; 1 if something failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of some seconds")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    plan = _QUICK if arguments.quick else _FULL
    if not servers.is_there():
        print("fleet_bench: no PostgreSQL server is installed here: nothing is measured")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cells: dict[str, list[Cell]] = {name: [] for name in _RECORDERS}
    took_s: dict[str, list[float]] = {"killed": [], "frozen": []}
    others = Others()
    try:
        for number in range(plan.rounds):
            for name, of in cells.items():  # in turn, so that noise hits each alike
                print(f"round {number + 1} of {plan.rounds}: {name}", file=sys.stderr)
                of.append(asyncio.run(_once(name, plan)))
            for name, sent in (("killed", signal.SIGKILL), ("frozen", signal.SIGSTOP)):
                print(f"round {number + 1} of {plan.rounds}: a broker {name}", file=sys.stderr)
                with servers.running(confirmed=True) as running:
                    took_s[name].append(takeover(running, plan.agents, sent))
    except KeyboardInterrupt:
        return 130
    except (ChildError, StreamError, servers.ServerError) as error:
        print(f"fleet_bench: {error}", file=sys.stderr)
        return 1
    print(table(cells))
    for name, of_s in took_s.items():
        seconds = ", ".join(f"{each:.2f}" for each in of_s)
        print(f"{plan.agents} agents of a broker {name}: all answered by another after {seconds} s")
    print(f"Others used {others.share():.0%} of a core.")
    figures.write(arguments.json, "fleet", measured(cells, took_s))
    return 0


# Name and unit of each figure of a cell, in its order.
_FIGURES = (
    ("p50 paced", "ms"),
    ("p99 paced", "ms"),
    ("CPU of the broker paced", "s per 100,000"),
    ("CPU of the database paced", "s per 100,000"),
    ("rate", "samples/s"),
    ("CPU of the broker pipelined", "s per 100,000"),
    ("CPU of the database pipelined", "s per 100,000"),
)


def measured(cells: dict[str, list[Cell]], took_s: dict[str, list[float]]) -> list[figures.Figure]:
    """For --json, with ratios to the recorder in a file."""
    found = []
    for recorder, of in cells.items():
        for (name, unit), field in zip(_FIGURES, Cell.__slots__, strict=True):
            rounds, plain = (
                [getattr(cell, field) for cell in each] for each in (of, cells["file, normal"])
            )
            found += figures.figure(f"{recorder}, {name}", unit, rounds, plain)
    for what, of_s in took_s.items():
        found += figures.figure(f"a broker {what}, all answered by another", "s", of_s)
    return found


if __name__ == "__main__":
    sys.exit(main())
