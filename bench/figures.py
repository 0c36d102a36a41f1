"""What a bench has measured, as JSON: for docs/performance.py, and to compare two revisions."""

import argparse
import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

# Units of which more is better; of all others, less is.
_MORE_IS_BETTER = ("/s", "%")


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One number of a bench."""

    name: str
    """Words with a comma between them: what was measured, under which load, and which figure."""
    unit: str
    value: float
    """The median of the rounds."""
    spread: tuple[float, float]
    """The smallest and the largest of the rounds."""
    ratio: float | None = None
    """To the plain implementation in the same run; None where it has no such figure. The median of
    the rounds' own ratios: what disturbs a round disturbs both.
    """

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is an improvement."""
        return self.unit.endswith(_MORE_IS_BETTER)


def figure(
    name: str, unit: str, rounds: Iterable[float | None], plain: Iterable[float | None] = ()
) -> list[Figure]:
    """The figure of some rounds, with its ratio to another one's; none where nothing is known."""
    each, others = list(rounds), list(plain)
    known = _known(each)
    if not known:
        return []
    middle = statistics.median(known)
    return [Figure(name, unit, middle, (min(known), max(known)), _ratio(each, others))]


def _ratio(rounds: Sequence[float | None], plain: Sequence[float | None]) -> float | None:
    """By rounds, if each has both; otherwise that of the medians."""
    known, others = _known(rounds), _known(plain)
    middle = statistics.median(others) if others else 0
    if not middle:
        return None
    if not len(rounds) == len(known) == len(plain) or not all(plain):
        return statistics.median(known) / middle
    return statistics.median(one / other for one, other in zip(known, others, strict=True))


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Have a bench take --json FILE."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")


def write(path: Path | None, bench: str, figures: Sequence[Figure]) -> None:
    """Write the figures of a bench, and what they were taken on; nothing without a path."""
    if path:
        text = {"bench": bench, "machine": machine(), "figures": list(map(_plain, figures))}
        path.write_text(json.dumps(text, indent=1) + "\n")


def read(path: Path) -> list[Figure]:
    """The figures of a file."""
    return [
        Figure(**{**each, "spread": tuple(each["spread"])})
        for each in json.loads(path.read_text())["figures"]
    ]


def machine() -> dict[str, str | int]:
    """What figures depend on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _plain(each: Figure) -> dict[str, object]:
    numbers = {"value": each.value, "spread": each.spread, "ratio": each.ratio}
    return {"name": each.name, "unit": each.unit, **numbers}
