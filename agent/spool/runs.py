"""Sets of ids as runs: the first and last id of each, rising, apart from each other."""

from collections.abc import Iterable

Runs = list[tuple[int, int]]

# More than a person reads; the count before them tells all.
_MOST_SHOWN = 8


def gather(ids: Iterable[int]) -> Runs:
    """The runs of rising ids."""
    runs: Runs = []
    for id_ in ids:
        if runs and runs[-1][1] == id_ - 1:
            runs[-1] = runs[-1][0], id_
        else:
            runs.append((id_, id_))
    return runs


def union(*sets: Iterable[tuple[int, int]]) -> Runs:
    """What is in any of them."""
    runs: Runs = []
    for first, last in sorted(run for each in sets for run in each):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = runs[-1][0], max(last, runs[-1][1])
        else:
            runs.append((first, last))
    return runs


def minus(runs: Runs, without: Runs) -> Runs:
    """What is in the first and not in the second."""
    left: Runs = []
    for first, last in runs:
        for gone_first, gone_last in without:
            if gone_last < first or gone_first > last:
                continue
            if gone_first > first:
                left.append((first, gone_first - 1))
            first = gone_last + 1  # noqa: PLW2901 - what is left of the run
        if first <= last:
            left.append((first, last))
    return left


def common(runs: Runs, others: Runs) -> Runs:
    """What is in both."""
    return minus(runs, minus(runs, others))


def size(runs: Runs) -> int:
    """How many ids."""
    return sum(last - first + 1 for first, last in runs)


def shown(runs: Runs) -> str:
    """The ids, for a person: 0..99, 105, and how many runs more."""
    parts = [str(first) if first == last else f"{first}..{last}" for first, last in runs]
    more = len(parts) - _MOST_SHOWN
    return ", ".join(parts[:_MOST_SHOWN]) + (f" and {more} runs more" if more > 0 else "")
