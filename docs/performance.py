"""Fills the tables of docs/performance.md and draws its plots, from the figures of `make bench`.

    python docs/performance.py FOLDER

FOLDER has what the benches wrote with --json, a file each. A table whose file is not there stays as
it is. Between two marks, what stands in the page is replaced.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure as Plot

from bench.figures import read
from docs import performance_chip
from docs.tables import Figures, Rows, shown, table

DOCS = Path(__file__).parent
PAGE = DOCS / "performance.md"

_FULL, _MEMORY, _TLS = "+store+chart", "broker", "+TLS"
_ECHO, _PLAIN = "C++ echo", "plain(1100)"
_SUBJECTS = (_MEMORY, _TLS, "+store", _FULL, "plain(10)", _PLAIN, _ECHO)
_COLUMNS = {
    "rate": "messages/s, pipelined",
    "CPU pipelined": "CPU-s, pipelined",
    "CPU paced": "CPU-s, paced",
    "p50 paced": "p50, ms",
    "p99 paced": "p99, ms",
    "memory paced": "memory, MB",
}


# What is bounded, how, by which figure, and what that is divided by. Of the broker's bench, unless
# the name of another one stands before it.
_100, _1000 = "100 streams", "1000 streams"
_CARRIED = "capacity: 10 samples/s, 1000 agents"
_BOUNDS: list[tuple[str, str, str, str]] = [
    (
        *("CPU, all on, to the C++ echo's", "at most 1.5"),
        *(f"{_100}, {_FULL}, CPU paced", f"{_100}, {_ECHO}, CPU paced"),
    ),
    (
        *("CPU, in memory, to the C++ echo's", "at most 1.2"),
        *(f"{_100}, {_MEMORY}, CPU paced", f"{_100}, {_ECHO}, CPU paced"),
    ),
    (
        *("p50, all on, to the C++ echo's", "at most 2"),
        *(f"{_100}, {_FULL}, p50 paced", f"{_100}, {_ECHO}, p50 paced"),
    ),
    (
        *("p99, all on, to plain(1100)'s", "at most 1"),
        *(f"{_100}, {_FULL}, p99 paced", f"{_100}, {_PLAIN}, p99 paced"),
    ),
    (
        *("rate of one stream, all on, to plain(1100)'s", "at least 3"),
        *(f"1 streams, {_FULL}, rate", f"1 streams, {_PLAIN}, rate"),
    ),
    (
        *("rate of 100 streams, all on, to plain(1100)'s", "at least 4"),
        *(f"{_100}, {_FULL}, rate", f"{_100}, {_PLAIN}, rate"),
    ),
    (
        *("CPU by TLS, in memory, to that without", "at most 1.3"),
        *(f"{_100}, {_TLS}, CPU paced", f"{_100}, {_MEMORY}, CPU paced"),
    ),
    ("memory, all on, MB", "at most 40", f"{_100}, {_FULL}, memory paced", ""),
    ("memory, records in memory, MB", "at most 40", f"{_100}, {_MEMORY}, memory paced", ""),
    (
        "1000 agents at once, all on, all answered, s",
        "at most 2",
        f"{_1000}, {_FULL}, all opened",
        "",
    ),
    ("1000 agents with 10 samples/s, all on, p99, ms", "at most 50", f"{_CARRIED}, p99", ""),
    *(
        (f"agent at {rate}/s, {what}", must, f"agent: {rate}/s, agent, {name}", "")
        for rate in (10, 100)
        for what, must, name in (
            (
                "CPU to a plain client's",
                "at most 1.4",
                "CPU to the plain client's",
            ),
            ("wake-ups a sample", "at most 8", "wake-ups"),
            ("memory, MB", "at most 45", "memory"),
        )
    ),
    (
        *("agent, from its start to its first answer, s", "at most 1"),
        *("agent: from the start to the first answer", ""),
    ),
]


def main() -> int:
    """Rewrite the page and its plots; 1 where a file is not what a bench writes."""
    parser = argparse.ArgumentParser(description="Fill docs/performance.md from figures.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    page = PAGE.read_text()
    for name, make in SECTIONS.items():
        path = folder / f"{name.partition('-')[0]}.json"
        if not path.exists():
            print(f"{name}: no {path.name}: its table stays")
            continue
        try:
            text = make(figures_of(path), path)
        except (KeyError, ValueError) as error:
            print(f"{path}: not what its bench writes: {error!r}", file=sys.stderr)
            return 1
        page = replaced(page, name, text)
    PAGE.write_text(page)
    return 0


def figures_of(path: Path) -> Figures:
    """The figures of a file by their names."""
    return {each.name: each for each in read(path)}


def replaced(page: str, name: str, text: str) -> str:
    """The page with other text between the marks of a name. ValueError where it has none."""
    mark = f"<!-- figures: {name} -->"
    parts = page.split(mark)
    if len(parts) != 3:
        raise ValueError(f"{mark} must stand twice in the page")
    return f"{parts[0]}{mark}\n{text}\n{mark}{parts[2]}"


# The sections: text between two marks, by the file that it is from


def bounds(found: Figures, path: Path) -> str:
    """What must be reached, and what was: of the broker, and of other benches beside its file."""
    known = dict(found)
    for bench in ("agent", "capacity"):
        if (other := path.with_name(f"{bench}.json")).exists():
            known |= {f"{bench}: {name}": figure for name, figure in figures_of(other).items()}
    rows: Rows = []
    for what, must, name, divisor in _BOUNDS:
        figure, by = known.get(name), known.get(divisor)
        reached = shown(figure, by) if by or not divisor else "-"
        rows.append([what, must, reached])
    return table(["figure", "must", "reached"], rows)


def broker(found: Figures, path: Path) -> str:
    """A table for each number of streams, and a plot."""
    streams = sorted({int(name.split()[0]) for name in found})
    parts = [taken_on(path)]
    for number in streams:
        rows = [
            [
                subject,
                *(shown(found.get(f"{number} streams, {subject}, {name}")) for name in _COLUMNS),
            ]
            for subject in _SUBJECTS
            if f"{number} streams, {subject}, rate" in found
        ]
        head = f"{number} stream{'s' if number > 1 else ''}"
        parts.append(table([head, *_COLUMNS.values()], rows))
    plot = Plot(figsize=(8, 3), layout="constrained")
    cpu, rate = plot.subplots(1, 2)
    names = [each for each in _SUBJECTS if f"100 streams, {each}, rate" in found]
    for axes, name, title in (
        (cpu, "CPU paced", "CPU-s for 100,000 messages, 100 x 20/s"),
        (rate, "rate", "messages/s, 100 streams, pipelined"),
    ):
        axes.barh(names, [found[f"100 streams, {each}, {name}"].value for each in names])
        axes.invert_yaxis()
        axes.set_title(title, fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
    return "\n\n".join([*parts, drawn(plot, "broker", "CPU and rate of each server")])


def capacity(found: Figures, path: Path) -> str:
    """How many agents are carried at each rate, and a plot of what they cost."""
    plot = Plot(figsize=(8, 3), layout="constrained")
    cores, late = plot.subplots(1, 2, sharex=True)
    rows: Rows = []
    for rate, sizes in sizes_by_rate(found).items():
        rows.append(carried_row(rate, sizes, found))
        at = {size: f"{rate} samples/s, {size} agents" for size in sizes}
        for axes, name in ((cores, "broker's processor"), (late, "p99")):
            values = [found.get(f"{at[size]}, {name}") for size in sizes]
            known = [(size, each.value) for size, each in zip(sizes, values, strict=True) if each]
            axes.plot(*zip(*known, strict=True), marker="o", label=f"{rate} samples/s")
    for axes, title in (
        (cores, "processor of the broker, cores"),
        (late, "p99 of the answers, ms"),
    ):
        axes.set_title(title, fontsize="medium")
        axes.set_xscale("log")
        axes.set_xlabel("agents")
        axes.spines[["top", "right"]].set_visible(False)
    late.set_yscale("log")
    cores.legend(frameon=False)
    head = ["each agent sends", "agents carried", "cores", "p99, ms", "memory, MB"]
    picture = drawn(plot, "capacity", "processor time and p99 by the number of agents")
    return "\n\n".join([taken_on(path), table(head, rows), picture])


def carried_row(rate: str, sizes: Sequence[int], found: Figures) -> list[str]:
    """The largest number of agents that was carried at a rate, and what it took."""
    at = f"{rate} samples/s"
    most = max((size for size in sizes if found[f"{at}, {size} agents, carried"].value), default=0)
    names = [f"{at}, {most} agents, {name}" for name in ("broker's processor", "p99", "memory")]
    more = " or more" if most == max(sizes) else ""
    return [at, f"{most}{more}", *(shown(found.get(name)) for name in names)]


def sizes_by_rate(found: Figures) -> dict[str, list[int]]:
    """The numbers of agents that were tried, by rate."""
    sizes: dict[str, list[int]] = {}
    for name in found:
        if match := re.fullmatch(r"(\S+) samples/s, (\d+) agents, carried", name):
            sizes.setdefault(match[1], []).append(int(match[2]))
    return sizes


def profile(found: Figures, path: Path) -> str:
    """A row for each module of the broker."""
    whole = sum(each.value for each in found.values())
    rows = [
        [f"`{n}`" if " " not in n else n, f"{f.value:.1f}", f"{f.value / whole:.0%}"]
        for n, f in found.items()
    ]
    return "\n\n".join([taken_on(path), table(["module", "us a sample", "share"], rows)])


def every(found: Figures, path: Path) -> str:
    """All figures of a bench, a row each."""
    rows = [
        [each.name, shown(each), each.unit, "-" if each.ratio is None else f"{each.ratio:.2f}"]
        for each in found.values()
    ]
    return "\n\n".join([taken_on(path), table(["figure", "value (spread)", "unit", "ratio"], rows)])


def chip(found: Figures, path: Path) -> str:
    """What performance_chip makes of the figures."""
    return "\n\n".join([taken_on(path), *performance_chip.parts(found)])


def taken_on(path: Path) -> str:
    """What the figures of a file were taken on."""
    machine = json.loads(path.read_text())["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores; {machine['system']}; "
        f"Python {machine['python']}."
    )


def drawn(plot: Plot, name: str, words: str) -> str:
    """Save a plot; the line that shows it."""
    file = f"performance-{name}.svg"
    # No date and no random names: the same figures make the same file.
    with rc_context({"svg.hashsalt": name}):
        plot.savefig(DOCS / file, metadata={"Date": None})
    return f"![{words}]({file})"


SECTIONS: dict[str, Callable[[Figures, Path], str]] = {
    "broker-bounds": bounds,
    "broker": broker,
    "capacity": capacity,
    "profile": profile,
    "agent": every,
    "spool": every,
    "drain": every,
    "processes": every,
    "fleet": every,
    "console": every,
    "chip": chip,
}


if __name__ == "__main__":
    sys.exit(main())
