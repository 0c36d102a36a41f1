"""The broker's throughput and latency beside plain servers'; prints one table."""

import argparse
import dataclasses
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import checksums, figures
from bench.child import Child, ChildError
from bench.compiled import CompileError, build
from bench.figures import Figure
from bench.load import Report
from bench.tls import configured

# Share of a core that others may use before the figures are called noisy: on the two cores of a
# small machine this much still leaves server and load one each, or nearly.
_NOISE = 0.25
# Longer than any load takes by its own deadlines.
_LOAD_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A server to be measured."""

    name: str
    command: tuple[str, ...]
    haste: int = 1  # times as many messages as the others get, so that the run is no blink
    stores: bool = False  # whether it gets a file of its own, by --store
    predictor: str = "parity"
    by_tls: bool = False
    program: Path | None = None  # where it is not a module of Python


_REFERENCE = Subject("plain(1100)", ("bench.plain_server", "--threads", "1100"))
_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor")
_SUBJECTS = (
    Subject("broker", (*_BROKER, "parity")),
    Subject("+TLS", (*_BROKER, "parity"), by_tls=True),
    Subject("+store", (*_BROKER, "parity"), stores=True),
    Subject("+store+chart", (*_BROKER, "chart"), stores=True, predictor="chart"),
    Subject("plain(10)", ("bench.plain_server", "--threads", "10")),
    _REFERENCE,
    Subject("null", ("bench.null_server",), haste=20),
)
# What a quick run leaves out: what few threads and the load itself can do changes rarely.
_LONG_ALONE = ("plain(10)", "null")
_ECHO = Path(__file__).with_name("echo.cc")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    streams: tuple[int, ...]
    messages: int  # in all, pipelined
    seconds: float  # paced


_FULL = Plan(rounds=3, streams=(1, 10, 100, 1000), messages=40_000, seconds=4.0)
# More streams than the small pool has threads: the one case that must not hang.
_QUICK = Plan(rounds=1, streams=(100,), messages=20_000, seconds=2.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One subject with one number of streams, once."""

    pipelined: Report
    paced: Report


def measure(subject: Subject, streams: int, plan: Plan) -> Cell:
    """Both loads, each on a fresh server.

    Raises:
        ChildError: the server or the load failed.
    """
    messages = plan.messages * subject.haste
    return Cell(
        _load(subject, streams, "--messages", str(messages)),
        _load(subject, streams, "--seconds", str(plan.seconds)),
    )


def _load(subject: Subject, streams: int, *mode: str) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        command = subject.command
        if subject.stores:
            command = (*command, "--store", f"{folder}/broker.db")
        if subject.by_tls:
            config, authority = configured(Path(folder))
            command = (*command, "--config", str(config))
            mode = (*mode, "--ca", str(authority))
        program = str(subject.program)
        with Child(*command, program=(program,)) if subject.program else Child(*command) as server:
            target = ("--broker", server.address(), "--pid", str(server.pid))
            kind = ("--streams", str(streams), "--predictor", subject.predictor)
            with Child("bench.load", *target, *kind, *mode) as load:
                return Report(**json.loads(load.finish(_LOAD_S)))


def table(cells: dict[tuple[int, Subject], list[Cell]]) -> str:
    """A row for each subject and number of streams; medians of the rounds."""
    lines = [_HEAD]
    for (streams, subject), of in cells.items():
        if not of:
            lines.append(f"{subject.name:<13}{streams:>7}  failed, see above")
            continue
        reference = cells[streams, _REFERENCE]
        ratio = _rate_hz(of) / _rate_hz(reference) if reference else float("nan")
        lines.append(
            f"{subject.name:<13}{streams:>7}{_served(of):>15}"
            f"{_rate_hz(of):>12.0f}{ratio:>8.2f}{_cpu_s(cell.pipelined for cell in of):>9.1f}"
            f"{_paced(of)}"
            f"{_median(cell.pipelined.server_rss_mb for cell in of):>8.0f}"
            f"{_share(of, 'load_cpu_s'):>7.0%}{_share(of, 'others_cpu_s'):>8.0%}"
        )
    noise = max((_share(of, "others_cpu_s") for of in cells.values() if of), default=0.0)
    if noise > _NOISE:
        lines.append(f"Others used up to {noise:.0%} of a core: repeat this on a quiet machine.")
    return "\n".join(lines)


_HEAD = (
    f"{'':<20}{'streams':>15}{'pipelined':>12}{'to':>8}{'CPU-s':>9}"
    f"{'20/s a stream:':>20}{'CPU-s':>16}{'RSS':>8}{'busy cores':>15}\n"
    f"{'server':<13}{'streams':>7}{'served':>15}{'messages/s':>12}{'plain':>8}{'/100k':>9}"
    f"{'answered':>10}{'p50 ms':>9}{'p99 ms':>9}{'/100k':>8}{'MB':>8}{'load':>7}{'others':>8}"
)


def _paced(of: list[Cell]) -> str:
    reports = [cell.paced for cell in of]
    answered = _median(report.answered / report.sent for report in reports if report.sent)
    p50_ms = _median(report.p50_ms for report in reports if report.p50_ms is not None)
    p99_ms = _median(report.p99_ms for report in reports if report.p99_ms is not None)
    return f"{answered:>10.0%}{p50_ms:>9.2f}{p99_ms:>9.2f}{_cpu_s(reports):>8.1f}"


def _served(of: list[Cell]) -> str:
    fewest = min(of, key=lambda cell: cell.pipelined.served).pipelined
    return f"{fewest.served} of {fewest.opened}"


def _rate_hz(of: list[Cell]) -> float:
    return _median(
        cell.pipelined.answered / cell.pipelined.elapsed_s
        for cell in of
        if cell.pipelined.elapsed_s
    )


def _cpu_s(reports: Iterable[Report]) -> float:
    """Of the server, for 100,000 messages."""
    return _median(r.server_cpu_s / r.answered * 1e5 for r in reports if r.answered)


def _share(of: list[Cell], field: str) -> float:
    """Of one core, pipelined."""
    return _median(
        getattr(cell.pipelined, field) / cell.pipelined.elapsed_s
        for cell in of
        if cell.pipelined.elapsed_s
    )


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.median(known) if known else float("nan")


# Name, unit and what it is of a cell; None where the load could not tell.
_FIGURES: tuple[tuple[str, str, Callable[[Cell], float | None]], ...] = (
    ("rate", "messages/s", lambda cell: _per(cell.pipelined.answered, cell.pipelined.elapsed_s)),
    ("CPU pipelined", "s per 100,000", lambda cell: _server_cpu_s(cell.pipelined)),
    ("CPU paced", "s per 100,000", lambda cell: _server_cpu_s(cell.paced)),
    ("answered paced", "%", lambda cell: _per(cell.paced.answered * 100, cell.paced.sent)),
    ("p50 paced", "ms", lambda cell: cell.paced.p50_ms),
    ("p99 paced", "ms", lambda cell: cell.paced.p99_ms),
    ("memory pipelined", "MB", lambda cell: cell.pipelined.server_rss_mb),
    ("memory paced", "MB", lambda cell: cell.paced.server_rss_mb),
    ("all opened", "s", lambda cell: cell.paced.opening_s),
)


def measured(cells: dict[tuple[int, Subject], list[Cell]]) -> list[Figure]:
    """For --json: the figures of each row, with ratios to plain(1100)."""
    found = []
    for (streams, subject), of in cells.items():
        plain = cells[streams, _REFERENCE]
        for name, unit, value in _FIGURES:
            full = f"{streams} streams, {subject.name}, {name}"
            found += figures.figure(full, unit, map(value, of), map(value, plain))
    return found


def _per(count: float, of: float) -> float | None:
    return count / of if of else None


def _server_cpu_s(report: Report) -> float | None:
    return _per(report.server_cpu_s * 1e5, report.answered)


def main() -> int:
    """Measure all; 1 if a server or a load failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 100 streams")
    parser.add_argument("--own", action="store_true", help="the broker beside one plain server")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    plan = _QUICK if arguments.quick else _FULL
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.own:
        own = [each for each in _SUBJECTS if each.command[0] == "broker"]
        return _measure_all(plan, [*own, _REFERENCE], arguments.json)
    subjects = [each for each in _SUBJECTS if not (arguments.quick and each.name in _LONG_ALONE)]
    with tempfile.TemporaryDirectory() as folder:
        return _measure_all(plan, [*subjects, *_compiled(Path(folder))], arguments.json)


def _compiled(folder: Path) -> list[Subject]:
    """The C++ server, where it can be built."""
    print("building the C++ echo", file=sys.stderr)
    try:
        return [Subject("C++ echo", (), program=build(_ECHO, folder))]
    except CompileError as error:
        print(f"C++ echo: not measured: {error}")
        return []


def _measure_all(plan: Plan, subjects: list[Subject], json_file: Path | None) -> int:
    cells: dict[tuple[int, Subject], list[Cell]] = {
        (streams, subject): [] for streams in plan.streams for subject in subjects
    }
    failures = 0
    try:
        for number in range(plan.rounds):
            # In turn, so that noise on this machine hits each alike.
            for (streams, subject), of in cells.items():
                print(
                    f"round {number + 1} of {plan.rounds}: {subject.name}, {streams} streams",
                    file=sys.stderr,
                )
                try:
                    of.append(measure(subject, streams, plan))
                except ChildError as error:
                    failures += 1
                    print(f"broker_bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    print(table(cells))
    figures.write(json_file, "broker", measured(cells))
    print(f"Checksums: {checksums.share():.1%} of the CPU time of the store's commits.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
