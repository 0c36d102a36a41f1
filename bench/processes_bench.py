"""One broker process and two, on one machine with one database: how many samples they answer."""

import argparse
import contextlib
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench import figures, servers
from bench.child import Child, ChildError
from bench.load import Report
from bench.servers import Servers
from bench.usage import cpu_s

_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "parity")
# Longer than any load takes by its own deadlines.
_LOAD_S = 120.0
_NUMBERS = (1, 2)
# Share of a core that others may use before the figures are called noisy.
_NOISE = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: pipelined, over all processes together."""

    rounds: int
    streams: int
    messages: int


_FULL = Plan(rounds=3, streams=100, messages=100_000)
_QUICK = Plan(rounds=1, streams=4, messages=2_000)


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of processes, once. Processor time is for 100,000 samples."""

    rate_hz: float
    brokers_cpu_s: float
    database_cpu_s: float
    load_cpu_s: float
    others: float  # cores


def measure(number: int, plan: Plan, database: Servers) -> Cell:
    """All processes under load at the same time. ChildError."""
    with contextlib.ExitStack() as stack:
        brokers = [
            stack.enter_context(Child(*_BROKER, "--store", database.url)) for _ in range(number)
        ]
        addresses = [broker.address() for broker in brokers]
        before_s = database.cpu_s(), sum(cpu_s(broker.pid) for broker in brokers)
        loads = [
            stack.enter_context(
                Child(
                    *("bench.load", "--broker", address, "--pid", str(broker.pid)),
                    *("--streams", str(plan.streams // number)),
                    *("--messages", str(plan.messages // number)),
                )
            )
            for broker, address in zip(brokers, addresses, strict=True)
        ]
        reports = [Report(**json.loads(load.finish(_LOAD_S))) for load in loads]
        after_s = database.cpu_s(), sum(cpu_s(broker.pid) for broker in brokers)
    return _cell(reports, [after - before for before, after in zip(before_s, after_s, strict=True)])


def _cell(reports: Sequence[Report], used_s: Sequence[float]) -> Cell:
    """The load that ends last counts: the others' brokers may be idle by then."""
    answered = sum(report.answered for report in reports)
    elapsed_s = max(report.elapsed_s for report in reports)
    if not answered:
        raise ChildError("no sample was answered")
    load_s = sum(report.load_cpu_s for report in reports)
    # What each load counts as others' are the other loads, brokers and the database as well.
    machine_s = max(
        report.server_cpu_s + report.load_cpu_s + report.others_cpu_s for report in reports
    )
    per = 100_000 / answered
    return Cell(
        answered / elapsed_s,
        used_s[1] * per,
        used_s[0] * per,
        load_s * per,
        max(0.0, machine_s - sum(used_s) - load_s) / elapsed_s,
    )


def table(cells: dict[int, list[Cell]]) -> str:
    """A row for each number of processes; medians of the rounds."""
    lines = [
        f"{'':<10}{'':>12}{'':>8}{'CPU-s for 100k':>30}{'busy cores:':>13}\n"
        f"{'processes':<10}{'samples/s':>12}{'ratio':>8}"
        f"{'brokers':>10}{'database':>10}{'load':>10}{'others':>13}"
    ]
    one_hz = statistics.median(cell.rate_hz for cell in cells[_NUMBERS[0]])
    for number, of in cells.items():
        rate_hz = statistics.median(cell.rate_hz for cell in of)
        brokers_s = statistics.median(cell.brokers_cpu_s for cell in of)
        database_s = statistics.median(cell.database_cpu_s for cell in of)
        load_s = statistics.median(cell.load_cpu_s for cell in of)
        others = statistics.median(cell.others for cell in of)
        lines.append(
            f"{number:<10}{rate_hz:>12.0f}{rate_hz / one_hz:>8.2f}"
            f"{brokers_s:>10.1f}{database_s:>10.1f}{load_s:>10.1f}{others:>13.0%}"
        )
    most = max(cell.others for of in cells.values() for cell in of)
    if most > _NOISE:
        lines.append(f"Others used up to {most:.0%} of a core: repeat this on a quiet machine.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the table; 1 if a process failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="does it run at all: some seconds")
    figures.add_argument(parser)
    given = parser.parse_args(arguments)
    plan = _QUICK if given.quick else _FULL
    if not servers.is_there():
        print("processes_bench: PostgreSQL is not installed: nothing is measured")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cells: dict[int, list[Cell]] = {number: [] for number in _NUMBERS}
    try:
        with servers.running(confirmed=False) as database:
            for _ in range(plan.rounds):
                for number, of in cells.items():
                    of.append(measure(number, plan, database))
    except ChildError as error:
        print(f"processes_bench: {error}", file=sys.stderr)
        return 1
    print(table(cells))
    figures.write(given.json, "processes", measured(cells))
    return 0


def measured(cells: dict[int, list[Cell]]) -> list[figures.Figure]:
    """For --json: each number of processes, with ratios to one."""
    found = []
    one = cells[_NUMBERS[0]]
    for number, of in cells.items():
        for name, unit, field in (
            ("rate", "samples/s", "rate_hz"),
            ("CPU of the brokers", "s per 100,000", "brokers_cpu_s"),
            ("CPU of the database", "s per 100,000", "database_cpu_s"),
        ):
            rounds, plain = ([getattr(cell, field) for cell in each] for each in (of, one))
            found += figures.figure(f"{number} processes, {name}", unit, rounds, plain)
    return found


if __name__ == "__main__":
    sys.exit(main())
