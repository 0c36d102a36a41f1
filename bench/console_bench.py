"""What the console costs the broker, and how fast its pages are; prints two tables."""

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser

from bench import figures, page, usage, visitors
from bench.child import Child, ChildError
from bench.load import Report

# Share of a core that others may use in a run that counts. Chosen before any run was looked at.
_NOISE = 0.15
_DATASET = Path(__file__).parents[1] / "dataset" / "sensors.csv"
# Longer than any load, and than the reading of a month of history.
_LOAD_S = 300.0
_HISTORY_S = 1800.0
_AGENTS = 5
# What a page of the fleet shows at once on a laptop.
_IN_SIGHT = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    fleets: tuple[int, ...]
    days: float


_FULL = Plan(rounds=5, seconds=20.0, fleets=(40, 1000), days=30.0)
_QUICK = Plan(rounds=1, seconds=3.0, fleets=(12,), days=0.2)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One figure of one run, and the share of a core that others used meanwhile."""

    figures: tuple[float, ...]
    others: float

    @property
    def counts(self) -> bool:
        """Whether nobody else was busy."""
        return self.others <= _NOISE


# The column of a table that has one; and the units that rows and columns end with. The figures
# without are shares of a core.
_ONLY = "figure"
_UNITS = ("ms", "MB", "s", "kB/s")


class Table:
    """Prints each run as it ends, and the medians of those that count."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._runs: dict[str, list[Run]] = {}

    def add(self, what: str, run: Run) -> None:
        """Keep a run, and tell about it."""
        self._runs.setdefault(what, []).append(run)
        verdict = "" if run.counts else ": thrown away"
        told = ", ".join(f"{each:.4g}" for each in run.figures)
        print(f"{what}: {told}; others used {run.others:.0%} of a core{verdict}", file=sys.stderr)

    def medians(self, what: str) -> list[float] | None:
        """Of a row; None where no run counts."""
        kept = [run.figures for run in self._runs.get(what, ()) if run.counts]
        return [statistics.median(each) for each in zip(*kept, strict=True)] if kept else None

    def measured(self) -> list[figures.Figure]:
        """For --json: each column of each row, of the runs that count."""
        found = []
        for what, runs in self._runs.items():
            kept = [run.figures for run in runs if run.counts]
            for name, column in zip(self._names, zip(*kept, strict=True), strict=False):
                words = f"{what}, {name}".removesuffix(f", {_ONLY}").split()
                unit = words.pop() if words[-1] in _UNITS else "cores"
                found += figures.figure(" ".join(words).rstrip(","), unit, column)
        return found

    def __str__(self) -> str:
        lines = [f"{'':<34}{'runs':>6}" + "".join(f"{name:>14}" for name in self._names)]
        for what, runs in self._runs.items():
            kept = sum(run.counts for run in runs)
            cells = "".join(f"{each:>14.4g}" for each in self.medians(what) or ())
            lines.append(f"{what:<34}{f'{kept}/{len(runs)}':>6}{cells or '   all thrown away'}")
        return "\n".join(lines)


def main() -> int:
    """Measure all; 1 if a process failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of some seconds")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    plan = _QUICK if arguments.quick else _FULL
    try:
        found = _beside(plan).measured()
        if page.is_there():
            found += asyncio.run(_pages(plan)).measured()
        else:
            print("\npages are left out: no chromium here: apt-get install chromium")
    except ChildError as error:
        print(f"console_bench: {error}", file=sys.stderr)
        return 1
    figures.write(arguments.json, "console", found)
    return 0


# The broker alone, and beside a console with visitors


def _beside(plan: Plan) -> Table:
    table = Table("p50 ms", "p99 ms", "broker CPU")
    for _ in range(plan.rounds):
        for what, visited in (("broker alone", False), ("beside a visited console", True)):
            with ExitStack() as stack:
                table.add(what, _probe(stack, plan, visited=visited))
    print(
        f"{_AGENTS} agents at 10 rows/s and a probe at 20; console with {visitors.STREAMS} streams"
    )
    print(table)
    alone, beside = table.medians("broker alone"), table.medians("beside a visited console")
    if alone and beside:
        print(
            f"p99 is {beside[1] / alone[1]:.2f} times, CPU {beside[2] / alone[2]:.2f} times alone"
        )
    return table


def _probe(stack: ExitStack, plan: Plan, *, visited: bool) -> Run:
    """What one client meets at a broker that has other clients."""
    store = f"{stack.enter_context(tempfile.TemporaryDirectory())}/broker.db"
    broker = stack.enter_context(
        Child(
            *("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "parity"),
            *("--store", store),
        )
    )
    address = broker.address()
    for number in range(_AGENTS):
        who = ("--agent-id", f"press-{number + 1}", "--broker", address)
        stack.enter_context(Child("agent", "run", "--simulate", str(_DATASET), "--loop", *who))
    if visited:
        console = stack.enter_context(_console(store))
        stack.enter_context(Child("bench.visitors", console.said(_URL), "--agent", "press-1"))
    time.sleep(plan.seconds / 4)  # starts are no part of it
    others = usage.Others()
    before_s = usage.cpu_s(broker.pid)
    target = ("--broker", address, "--pid", str(broker.pid))
    probe = ("bench.load", *target, "--streams", "1", "--seconds", str(plan.seconds))
    report = Report(**json.loads(stack.enter_context(Child(*probe)).finish(_LOAD_S)))
    used = (usage.cpu_s(broker.pid) - before_s) / report.elapsed_s
    return Run((report.p50_ms or 0.0, report.p99_ms or 0.0, used), others.share())


_URL = "broker console: "


def _console(store: str) -> Child:
    return Child("broker", "console", "--store", store, "--listen", "127.0.0.1:0")


# Pages


async def _pages(plan: Plan) -> Table:
    table = Table(_ONLY)
    async with page.browser() as chromium:
        for agents in plan.fleets:
            with _fleet(agents) as (fleet, console, url):
                name = f"fleet of {agents}"
                others = usage.Others()
                before_s = usage.cpu_s(console.pid)
                await asyncio.sleep(plan.seconds)
                share = (usage.cpu_s(console.pid) - before_s) / plan.seconds
                table.add(f"{name}: console's CPU, no page", Run((share,), others.share()))
                load_ms, noise = await page.load_ms(chromium, url, page.FLEET_DRAWN)
                table.add(f"{name}: load, ms", Run((load_ms,), noise))
                others = usage.Others()
                cpu, heap_mb = await page.page_cpu(chromium, url, page.FLEET_DRAWN, plan.seconds)
                noise = others.share()
                table.add(f"{name}: page's CPU", Run((cpu,), noise))
                table.add(f"{name}: page's heap, MB", Run((heap_mb,), noise))
                watch = ",".join(f"press-{number + 1}" for number in range(_IN_SIGHT))
                others = usage.Others()
                sent = visitors.stream_kb_s(urlsplit(url).netloc, watch, plan.seconds)
                table.add(f"{name}: stream, kB/s", Run((sent,), others.share()))
                others = usage.Others()
                red_ms = await page.red_ms(chromium, url, fleet.tell)
                noise = others.share()
                table.add(f"{name}: fault to red, ms", Run((red_ms,), noise))
                rss_mb = usage.resident_mb(console.pid)
                table.add(f"{name}: console's RSS, MB", Run((rss_mb,), noise))
        await _month(chromium, plan, table)
    print(f"\n{table}")
    return table


async def _month(chromium: Browser, plan: Plan, table: Table) -> None:
    with tempfile.TemporaryDirectory() as home:
        store = f"{home}/broker.db"
        feeding = ("bench.history", store, "--days", str(plan.days))
        with Child(*feeding) as feeder:
            feeder.finish(_HISTORY_S)
        with _console(store) as console:
            url = console.said(_URL)
            others = usage.Others()
            begin_s = time.monotonic()
            _wait_until_read(url)
            name = f"{plan.days:g} days at 10 rows/s"
            read_s = time.monotonic() - begin_s
            table.add(f"{name}: read in, s", Run((read_s,), others.share()))
            agent = f"{url}agent/press-1"
            load_ms, noise = await page.load_ms(chromium, f"{agent}?range=all", page.CHARTS_DRAWN)
            table.add(f"{name}: load, ms", Run((load_ms,), noise))
            shown_ms, noise = await page.whole_range_ms(chromium, agent, page.HIGHEST_DRAWN)
            table.add(f"{name}: whole range, ms", Run((shown_ms,), noise))


def _wait_until_read(url: str) -> None:
    """Return when the console has all of the history."""
    now_ms = time.time_ns() // 1_000_000
    asked = f"{url}api/agent/press-1/history?from={now_ms - 1000}&to={now_ms}&px=1"
    deadline_s = time.monotonic() + _HISTORY_S
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - it is http
            if not any("being read" in each for each in json.load(answer)["remarks"]):
                return
        time.sleep(0.2)
    raise ChildError("the console does not come to an end with the history")


@contextmanager
def _fleet(agents: int) -> Iterator[tuple[Child, Child, str]]:
    """A number of agents that each sample once a second, and their console."""
    with tempfile.TemporaryDirectory() as home:
        store = f"{home}/broker.db"
        with Child("bench.fleet", store, "--agents", str(agents)) as fleet:
            fleet.said("recording ")
            with _console(store) as console:
                yield fleet, console, console.said(_URL)


if __name__ == "__main__":
    sys.exit(main())
