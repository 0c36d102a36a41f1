"""Two revisions side by side: what became slower or larger from REV to the working tree.

REV is checked out into a temporary directory. Its product is measured by the benches of the working
tree, in pairs that take turns, so that what disturbs the machine disturbs both.
"""

import argparse
import contextlib
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.figures import Figure, read

_REPOSITORY = Path(__file__).parents[1]
# Those that start the product as processes: the others use parts that REV may not have.
_BENCHES = {
    "broker": ("bench.broker_bench", "--quick", "--own"),
    "agent": ("bench.agent_bench", "--quick"),
}
# How much worse is named.
_WORSE = 1.1
# Rows of the same code in both revisions: what they differ by is noise.
_SAME_CODE = ("plain", "null")


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A figure in both revisions, by the pairs in which it was measured."""

    name: str
    unit: str
    before: float
    after: float
    factors: Sequence[float]
    """Of each pair: by how much the working tree is worse; below 1 it is better."""

    @property
    def factor(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.factors)

    @property
    def is_same_code(self) -> bool:
        """Whether no revision of ours can have changed it."""
        return any(each in self.name for each in _SAME_CODE)

    @property
    def is_worse(self) -> bool:
        """Whether it is in the median by what is named, and in each pair at all."""
        return not self.is_same_code and self.factor >= _WORSE and min(self.factors) > 1


Measured = Mapping[str, Figure]


def changes(pairs: Sequence[tuple[Measured, Measured]]) -> list[Change]:
    """What REV and the working tree have in common, in the order of the benches."""
    found = []
    for name, first in pairs[0][0].items():
        both = [
            (before[name], after[name])
            for before, after in pairs
            if name in before and name in after
        ]
        values = [(before.value, after.value) for before, after in both]
        if len(both) < len(pairs) or any(min(each) <= 0 for each in values):
            continue
        factors = [b / a if first.more_is_better else a / b for b, a in values]
        middle = [statistics.median(each) for each in zip(*values, strict=True)]
        found.append(Change(name, first.unit, middle[0], middle[1], factors))
    return found


def table(found: Sequence[Change]) -> str:
    """A row for each figure, and the verdict."""
    width = max((len(each.name) for each in found), default=0)
    lines = [f"{'':{width}}{'REV':>12}{'now':>12}  {'unit':16}{'worse by':>9}{'pairs':>18}"]
    for each in found:
        spread = f"{min(each.factors) - 1:+.0%} to {max(each.factors) - 1:+.0%}"
        lines.append(
            f"{each.name:{width}}{each.before:12.4g}{each.after:12.4g}  {each.unit:16}"
            f"{each.factor - 1:>+9.0%}{spread:>18}"
        )
    if noise := [abs(each.factor - 1) for each in found if each.is_same_code]:
        lines.append(f"Noise: rows of the same code differ by up to {max(noise):.0%}.")
    worse = [each.name for each in found if each.is_worse]
    if worse:
        lines.append(f"10 % worse or more, in each pair: {'; '.join(worse)}")
    else:
        lines.append("Nothing became 10 % worse in each pair.")
    return "\n".join(lines)


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A revision's files, with the benches of the working tree. CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        git = ("git", "-C", str(_REPOSITORY), "worktree")
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            shutil.rmtree(tree / "bench", ignore_errors=True)
            shutil.copytree(_REPOSITORY / "bench", tree / "bench")
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def measure(tree: Path, benches: Sequence[str]) -> dict[str, Figure]:
    """All figures of a tree, by bench and name. CalledProcessError."""
    found = {}
    path = os.pathsep.join(map(str, (tree, tree / "proto")))
    with tempfile.TemporaryDirectory() as folder:
        for bench in benches:
            file = Path(folder, f"{bench}.json")
            command = [sys.executable, "-m", *_BENCHES[bench], "--json", str(file)]
            subprocess.run(
                command, cwd=tree, env={**os.environ, "PYTHONPATH": path}, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            found.update({f"{bench}: {each.name}": each for each in read(file)})
    return found


def main() -> int:
    """Measure, and print the table; 1 if something became worse or did not run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", metavar="REV")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=sorted(_BENCHES), action="append")
    arguments = parser.parse_args()
    benches = arguments.only or [*_BENCHES]
    pairs = []
    try:
        with checked_out(arguments.revision) as tree:
            for number in range(arguments.pairs):
                print(f"pair {number + 1} of {arguments.pairs}", file=sys.stderr)
                # The other one first, each time.
                order = (tree, _REPOSITORY) if number % 2 == 0 else (_REPOSITORY, tree)
                of = {each: measure(each, benches) for each in order}
                pairs.append((of[tree], of[_REPOSITORY]))
    except subprocess.CalledProcessError as error:
        print(f"compare: failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    found = changes(pairs)
    print(table(found))
    return 1 if any(each.is_worse for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
