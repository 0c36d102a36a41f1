"""Replays a recording through a black box, as a line would."""

import statistics
import time
import traceback
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from broker.elapsed import with_time
from broker.errors import EvaluationError
from broker.evaluate.durations import Durations
from broker.evaluate.judgement import Judgement, judge
from broker.model import Sample
from broker.predictors import (
    BlackBox,
    Predictor,
    explains,
    is_stateful,
    learns,
    measures,
    one_line,
)
from quartet.channels import CHANNELS, Values, as_float32
from quartet.clock import Clock
from quartet.errors import TableError
from quartet.foreign import described
from quartet.recording import Recording, Row

# True so often in a row is no accident any more.
SUSTAINED_ROWS = 10

# To ask how far a file was read takes longer than to read a row.
_ROWS_A_LOOK = 100

# Times of rows that tell how far these lie apart: the middle interval spans no outage.
_TIMES = 21

# A black box that explains each answer would fill the memory.
_MOST_EXPLANATIONS = 1000


@dataclass(slots=True)
class Evaluation:
    """What a black box has said to the rows of a file. Rows count from 0, as ids do."""

    source: str
    """What the rows are from: a file's path, or what else a person calls it."""
    predictor: str
    answers: bytearray = field(default_factory=bytearray)
    """0 or 1 for each row."""
    took: Durations = field(default_factory=Durations)
    """By row."""
    explanations: list[tuple[int, str]] = field(default_factory=list)
    learning_rows: int = 0
    """The rows of its learning phase, if it tells them and its numbers are wanted."""
    is_warm: bool = True
    """Whether it has numbers to go by, if it goes by numbers."""
    state_bytes: int | None = None
    """Of its snapshot after the last row; None where it gives none."""
    truth: bytearray | None = None
    """0 or 1 for each row, where a person knows; None: nobody does."""
    times_ns: "array[int] | None" = None
    """Of each row, in Unix ns; None: the recording has none."""
    problem: str = ""
    """Why it ends before the file does; empty: it does not."""

    def know(self, is_fault: bool, at_ns: int | None) -> None:
        """Take the truth about the latest row, and its time."""
        if self.truth is None:
            self.truth, self.times_ns = bytearray(), array("q")
        self.truth.append(is_fault)
        if at_ns is None:
            self.times_ns = None
        elif self.times_ns is not None:
            self.times_ns.append(at_ns)

    @property
    def judgement(self) -> Judgement | None:
        """The answers beside the truth."""
        return None if self.truth is None else judge(self.answers, self.truth, self.times_ns)

    @property
    def first_sustained(self) -> int | None:
        """The row of the first True that is followed by so many more; None: there is none."""
        row = self.answers.find(bytes([1]) * SUSTAINED_ROWS)
        return None if row < 0 else row

    def share_true(self, first: int, end: int) -> float | None:
        """Of the rows from first up to end, without it; None where there are none."""
        return self.answers.count(1, first, end) / (end - first) if end > first else None


Numbers = Mapping[str, tuple[float, float]]
"""The values that an answer rests upon, each with its limit, by name."""


class Told(NamedTuple):
    """A row, and what a black box has said to it."""

    sample: Sample
    at_ns: int | None
    """When it was taken, by the recording, in Unix ns."""
    answer: bool
    numbers: Numbers
    """None, unless they are wanted."""


Truth = Callable[[int, Row], bool]
"""Whether a row, counted from 0, is faulty. ValueError where that cannot be said."""


def replay(
    evaluation: Evaluation,
    recording: Recording,
    black_box: BlackBox,
    watch: Callable[[Told], None],
    progress: Callable[[float], None],
    *,
    truth: Truth | None = None,
    with_numbers: bool = False,
    clock: Clock = time,
) -> None:
    """Fill an evaluation from a recording; `progress` hears the share of it that was read.

    TableError for a row that is none, or whose truth cannot be said; EvaluationError for a black
    box that raises. All rows before have been watched.
    """
    asked = Asked(evaluation, black_box, with_numbers=with_numbers, clock=clock)
    for number, row in enumerate(recording):
        is_fault = _look_up(truth, evaluation, number, row) if truth else None
        watch(asked.about(row.values, row.at_ns))
        if is_fault is not None:
            evaluation.know(is_fault, row.at_ns)
        if number % _ROWS_A_LOOK == 0:
            progress(recording.share_read)
    asked.close()


def _look_up(truth: Truth, evaluation: Evaluation, number: int, row: Row) -> bool:
    try:
        return truth(number, row)
    except ValueError as error:
        raise TableError(f"{evaluation.source}: line {row.line}: {error}") from error


class Asked:
    """A black box that is asked about one row after the other, and what it says is kept."""

    def __init__(
        self,
        evaluation: Evaluation,
        black_box: BlackBox,
        *,
        with_numbers: bool,
        clock: Clock = time,
    ) -> None:
        """Make one. EvaluationError for a black box that raises, as of all methods."""
        self._evaluation = evaluation
        self._with_numbers = with_numbers
        self._clock = clock
        with _named(evaluation, "cannot be made"):
            predictor = self._predictor = black_box.make()
            learning = predictor.learning if with_numbers and learns(predictor) else None
            self._learning = learning if learning and learning() else None
        self._explain = predictor.explain if explains(predictor) else None
        self._times_ns: deque[int] = deque(maxlen=_TIMES)

    def about(self, values: Values, at_ns: int | None = None) -> Told:
        """The next row, its answer, and the numbers behind it where wanted."""
        evaluation, predictor = self._evaluation, self._predictor
        sample = Sample(len(evaluation.answers), as_float32(values))
        with _named(evaluation, f"row {sample.id}"):
            begin_ns = self._clock.monotonic_ns()
            answer = predictor.predict(sample)
            evaluation.took.add(self._clock.monotonic_ns() - begin_ns)
            if answer is None:
                raise TypeError("predict() returned None")
            said = self._explain() if self._explain else None
            numbers = _numbers(predictor) if self._with_numbers else {}
            if self._learning:
                evaluation.learning_rows += 1
                self._learning = self._learning if self._learning() else None
        evaluation.answers.append(bool(answer))
        if at_ns is not None:
            self._times_ns.append(at_ns)
        if said is not None and len(evaluation.explanations) < _MOST_EXPLANATIONS:
            text = with_time(str(said), self._period_ns())
            evaluation.explanations.append((sample.id, one_line(text)))
        return Told(sample, at_ns, bool(answer), numbers)

    def _period_ns(self) -> float:
        """Between the latest rows; 0 where they have no times."""
        apart = [later - earlier for earlier, later in pairwise(self._times_ns)]
        return statistics.median(apart) if apart else 0.0

    def close(self) -> None:
        """Look at the black box after the last row."""
        evaluation, predictor = self._evaluation, self._predictor
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
        self.times_ns = array("q")
        self.has_times = True
        """Whether each row has a time, and none falls back."""

    def watch(self, told: Told) -> None:
        """Take a row down."""
        for trace, value in zip(self.values, told.sample.values, strict=True):
            trace.append(value)
        latest_ns = self.times_ns[-1] if self.times_ns else told.at_ns
        self.has_times &= told.at_ns is not None and told.at_ns >= (latest_ns or 0)
        self.times_ns.append(told.at_ns or 0)
        for name, (value, limit) in told.numbers.items():
            rows, values, limits = self.statistics.setdefault(
                name, (array("d"), array("d"), array("d"))
            )
            rows.append(told.sample.id)
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
            f"{evaluation.source}: {where}: predictor {evaluation.predictor} raised"
            f" {described(error)} ({Path(last.filename).name}, line {last.lineno})"
        ) from error
