"""Replays a CSV through a black box, as a line would."""

import statistics
import time
import traceback
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from broker.errors import EvaluationError
from broker.model import Sample
from broker.predictors import (
    BlackBox,
    Predictor,
    explains,
    is_stateful,
    measures,
    one_line,
)
from quartet.channels import CHANNELS, as_float32
from quartet.clock import Clock
from quartet.foreign import described
from quartet.table import TableReader

# True so often in a row is no accident any more.
SUSTAINED_ROWS = 10

# A black box that explains each answer would fill the memory.
_MOST_EXPLANATIONS = 1000


@dataclass(slots=True)
class Evaluation:
    """What a black box has said to the rows of a file. Rows count from 0, as ids do."""

    path: Path
    predictor: str
    answers: bytearray = field(default_factory=bytearray)
    """0 or 1 for each row."""
    took_ns: "array[int]" = field(default_factory=lambda: array("q"))
    explanations: list[tuple[int, str]] = field(default_factory=list)
    is_warm: bool = True
    """Whether it has numbers to go by, if it goes by numbers."""
    state_bytes: int | None = None
    """Of its snapshot after the last row; None where it gives none."""

    @property
    def first_sustained(self) -> int | None:
        """The row of the first True that is followed by so many more; None: there is none."""
        row = self.answers.find(bytes([1]) * SUSTAINED_ROWS)
        return None if row < 0 else row

    def share_true(self, first: int, end: int) -> float | None:
        """Of the rows from first up to end, without it; None where there are none."""
        return self.answers.count(1, first, end) / (end - first) if end > first else None

    def took_us(self) -> tuple[float, float]:
        """The median and the 99th percentile of the time that a sample took."""
        if len(self.took_ns) < 2:
            return (self.took_ns[0] / 1e3,) * 2
        return (
            statistics.median(self.took_ns) / 1e3,
            statistics.quantiles(self.took_ns, n=100, method="inclusive")[-1] / 1e3,
        )


Numbers = Mapping[str, tuple[float, float]]
Watch = Callable[[Sample, bool, Numbers], None]
"""Sees each row with its answer, and the numbers behind it where they are wanted."""


def replay(
    evaluation: Evaluation,
    black_box: BlackBox,
    watch: Watch,
    progress: Callable[[float], None],
    *,
    with_numbers: bool,
    clock: Clock = time,
) -> None:
    """Fill an evaluation from its file; `progress` hears the share of it that was read.

    TableError for a file that is no table of samples, EvaluationError for a black box that
    raises; all rows before have been watched.
    """
    with _named(evaluation, "cannot be made"):
        predictor = black_box.make()
    explain = predictor.explain if explains(predictor) else None
    with TableReader(evaluation.path) as table:
        for row, values in enumerate(table):
            sample = Sample(row, as_float32(values))
            with _named(evaluation, f"row {row}"):
                begin_ns = clock.monotonic_ns()
                answer = predictor.predict(sample)
                evaluation.took_ns.append(clock.monotonic_ns() - begin_ns)
                if answer is None:
                    raise TypeError("predict() returned None")
                said = explain() if explain else None
                numbers = _numbers(predictor) if with_numbers else {}
            evaluation.answers.append(bool(answer))
            if said is not None and len(evaluation.explanations) < _MOST_EXPLANATIONS:
                evaluation.explanations.append((row, one_line(str(said))))
            watch(sample, bool(answer), numbers)
            progress(table.share_read)
    with _named(evaluation, "at the end"):
        evaluation.is_warm = not measures(predictor) or bool(predictor.statistics())
        if is_stateful(predictor):
            evaluation.state_bytes = len(predictor.snapshot())


class Traces:
    """What a plot shows: the values, and the numbers behind the answers."""

    def __init__(self) -> None:
        self.values = [array("f") for _ in range(CHANNELS)]
        self.statistics: dict[str, tuple[array[float], array[float], array[float]]] = {}
        """By name: rows, values, limits."""

    def watch(self, sample: Sample, _: bool, numbers: Numbers) -> None:
        """Take a row down."""
        for trace, value in zip(self.values, sample.values, strict=True):
            trace.append(value)
        for name, (value, limit) in numbers.items():
            rows, values, limits = self.statistics.setdefault(
                name, (array("d"), array("d"), array("d"))
            )
            rows.append(sample.id)
            values.append(value)
            limits.append(limit)


def _numbers(predictor: Predictor) -> Numbers:
    told = predictor.statistics() if measures(predictor) else {}
    return {name: (float(value), float(limit)) for name, (value, limit) in told.items()}


@contextmanager
def _named(evaluation: Evaluation, where: str) -> Iterator[None]:
    """Turn what a black box raises into an EvaluationError that says where."""
    try:
        yield
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise EvaluationError(
            f"{evaluation.path}: {where}: predictor {evaluation.predictor} raised"
            f" {described(error)} ({Path(last.filename).name}, line {last.lineno})"
        ) from error
