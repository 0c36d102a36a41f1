"""The text format of Prometheus, version 0.0.4."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

Rows = Iterable[tuple[str, float]]
"""The values of a family, each with what labels() gives; empty: it has none."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

DURATIONS_S = (
    *(float(f"{step}e{decade}") for decade in range(-5, 1) for step in (1, 2.5, 5)),
    10.0,
)
"""The upper bounds of all histograms of durations, in seconds: from 10 us to 10 s."""

_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Histogram:
    """Durations in seconds, counted by the bounds DURATIONS_S. One thread at a time."""

    def __init__(self) -> None:
        self.counts = [0] * (len(DURATIONS_S) + 1)
        """By bucket; the last one is of those above all bounds."""
        self.sum_s = 0.0

    def observe(self, duration_s: float, count: int = 1) -> None:
        """Count a duration, as often as it has occurred."""
        self.counts[bisect_left(DURATIONS_S, duration_s)] += count
        self.sum_s += duration_s * count


def labels(**named: str) -> str:
    """Labels as they are written; whatever is in their values."""
    return (
        "{"
        + ",".join([f'{name}="{text.translate(_IN_LABEL)}"' for name, text in named.items()])
        + "}"
    )


def counter(name: str, meaning: str, rows: Rows) -> str:
    """A family of numbers that only rise; its name ends in _total."""
    return _family(name, "counter", meaning, rows)


def gauge(name: str, meaning: str, rows: Rows) -> str:
    """A family of numbers that rise and fall."""
    return _family(name, "gauge", meaning, rows)


def alone(value: float) -> Rows:
    """The one value of a family without labels."""
    return (("", value),)


def histogram(name: str, meaning: str, counts: Sequence[int], sum_s: float) -> str:
    """Durations by DURATIONS_S; the last of `counts` is of those above all bounds."""
    below = [*accumulate(counts)]
    bounds = [*map(_number, DURATIONS_S), "+Inf"]
    lines = [
        f'{name}_bucket{{le="{bound}"}} {count}\n'
        for bound, count in zip(bounds, below, strict=True)
    ]
    lines.append(f"{name}_sum {_number(sum_s)}\n{name}_count {below[-1]}\n")
    return _head(name, "histogram", meaning) + "".join(lines)


def _family(name: str, kind: str, meaning: str, rows: Rows) -> str:
    lines = [f"{name}{labelled} {_number(value)}\n" for labelled, value in rows]
    return _head(name, kind, meaning) + "".join(lines)


def _head(name: str, kind: str, meaning: str) -> str:
    return f"# HELP {name} {meaning.translate(_IN_HELP)}\n# TYPE {name} {kind}\n"


def _number(value: float) -> str:
    if isinstance(value, int) or math.isfinite(value):
        return str(int(value)) if isinstance(value, int) else repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
