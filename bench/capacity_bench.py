"""What one machine carries: more and more agents at 1, 10 and 100 samples/s, all on; one table."""

import argparse
import dataclasses
import json
import resource
import signal
import sys
import tempfile
from pathlib import Path

from bench import figures
from bench.child import Child, ChildError
from bench.figures import Figure
from bench.load import Report

_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "chart", "--store")
# What makes a fleet too large: answers that are missing, or later than this.
_MOST_P99_MS = 50.0
_LEAST_ANSWERED = 0.999
# Longer than any load takes by its own deadlines.
_LOAD_S = 200.0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How many agents are tried at each rate, and for how long."""

    agents: dict[float, tuple[int, ...]]
    seconds: float


_FULL = Plan(
    {
        1: (500, 1000, 2000, 4000, 8000),
        10: (100, 200, 500, 1000, 2000),
        100: (10, 20, 50, 100, 200),
    },
    seconds=6.0,
)
_QUICK = Plan({10: (100, 500)}, seconds=2.0)


def measure(rate_hz: float, agents: int, seconds: float) -> Report:
    """That many agents at a broker that stores, judges and starts with nothing.

    Raises:
        ChildError: the broker or the load failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        store, config = f"{folder}/broker.db", Path(folder, "broker.toml")
        # More agents than a broker serves unless it is told to.
        config.write_text(f"[limits]\nstreams = {2 * agents}\nnew_lines_per_minute = 0\n", "utf-8")
        with Child(*_BROKER, store, "--config", str(config)) as broker:
            return _loaded(broker, rate_hz, agents, seconds)


def _loaded(broker: Child, rate_hz: float, agents: int, seconds: float) -> Report:
    target = ("--broker", broker.address(), "--pid", str(broker.pid))
    load = ("--streams", str(agents), "--rate", str(rate_hz), "--seconds", str(seconds))
    # A baseline is computed once for an agent: of few it would fall into the run.
    warm_up = () if rate_hz >= 100 else ("--warm-up", "0")
    with Child("bench.load", *target, *load, "--predictor", "chart", *warm_up) as child:
        return Report(**json.loads(child.finish(_LOAD_S)))


def is_carried(report: Report) -> bool:
    """Whether all agents were served in time."""
    answered = report.answered >= report.sent * _LEAST_ANSWERED
    in_time = report.p99_ms is not None and report.p99_ms <= _MOST_P99_MS
    return report.served == report.opened and answered and in_time


def row(rate_hz: float, agents: int, report: Report) -> str:
    """A line of the table."""
    core, load, others = (
        used / report.elapsed_s if report.elapsed_s else float("nan")
        for used in (report.server_cpu_s, report.load_cpu_s, report.others_cpu_s)
    )
    return (
        f"{rate_hz:>8g}{agents:>8}{report.answered / max(1, report.sent):>10.0%}"
        f"{report.p50_ms or 0:>9.2f}{report.p99_ms or 0:>9.2f}{core:>8.0%}"
        f"{report.server_rss_mb:>8.0f}{load:>8.0%}{others:>8.0%}"
        f"{'' if is_carried(report) else '   too many':>11}"
    )


_HEAD = (
    f"{'rate/s':>8}{'agents':>8}{'answered':>10}{'p50 ms':>9}{'p99 ms':>9}{'broker':>8}"
    f"{'RSS MB':>8}{'load':>8}{'others':>8}"
)


def measured(rate_hz: float, agents: int, report: Report) -> list[Figure]:
    """For --json."""
    name = f"{rate_hz:g} samples/s, {agents} agents"
    core = report.server_cpu_s / report.elapsed_s if report.elapsed_s else None
    return [
        *figures.figure(f"{name}, broker's processor", "cores", [core]),
        *figures.figure(f"{name}, p99", "ms", [report.p99_ms]),
        *figures.figure(f"{name}, memory", "MB", [report.server_rss_mb]),
        *figures.figure(f"{name}, carried", "of 1", [float(is_carried(report))]),
    ]


def main() -> int:
    """Measure each rate until the agents are too many; 1 if a process failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two sizes of one rate")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    plan = _QUICK if arguments.quick else _FULL
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor for each agent
    found: list[Figure] = []
    print(_HEAD)
    try:
        for rate_hz, sizes in plan.agents.items():
            for agents in sizes:
                report = measure(rate_hz, agents, plan.seconds)
                print(row(rate_hz, agents, report), flush=True)
                found += measured(rate_hz, agents, report)
                if not is_carried(report):
                    break
    except ChildError as error:
        print(f"capacity_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    figures.write(arguments.json, "capacity", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
