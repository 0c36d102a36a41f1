"""A model in an ONNX file as the black box."""

import functools
import math
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import PredictorError
from broker.model import Sample
from broker.predictors.failures import Failures, is_measured
from broker.predictors.scores import Label, Result, Score
from quartet.channels import CHANNELS
from quartet.distribution import to_install

if TYPE_CHECKING:
    import onnxruntime

# Its rows must fit into a snapshot of 1 MiB.
_MOST_ROWS = 10_000

# Of a probability: the class is as likely as not.
_EVEN = 0.5

# Rows seen and failed, the last answer; behind them the rows of the window.
_HEAD = struct.Struct("<QBB")


class Onnx:
    """True while the score of the latest `window` rows is on the side `alarm` of `threshold`.

    The model has one input of float32, (1, window, 4) or (1, window * 4), oldest row first. The
    score is the output named `output`, which may be left out where there is one alone: one number,
    or the probability of the class `label`. `classes` names the numbers of an output that has
    no labels of its own. With `alarm = "above"` scores of the threshold and more are True, with
    `alarm = "below"` those less than it; one that is NaN is True. The threshold of a probability is
    0.5, unless told otherwise. The first `warm_up` rows, and those before the window is full, are
    False. A row whose values are not all finite is left out, and repeats the last answer; from the
    third in a row on it is True.
    """

    def __init__(
        self,
        path: str,
        window: int = 1,
        threshold: float | None = None,
        warm_up: int = 0,
        *,
        output: str | None = None,
        alarm: str | None = None,
        label: Label | None = None,
        classes: list[Label] | None = None,
    ) -> None:
        if not (isinstance(window, int) and 1 <= window <= _MOST_ROWS):
            raise PredictorError(
                f"window must be a number of rows, 1 to {_MOST_ROWS}, got {window!r}"
            )
        if not (isinstance(warm_up, int) and warm_up >= 0):
            raise PredictorError(f"warm_up must be a number of rows, 0 or more, got {warm_up!r}")
        self._session = _session(path)
        self._numbers = window * CHANNELS
        self._begin_at = max(window, warm_up + 1)
        self._input = _input(self._session, window)
        self._score = Score(self._session.get_outputs(), output, label, classes)
        self._try()
        self._is_above = _is_above(alarm, self._score)
        self._threshold = _checked_threshold(threshold, self._score)
        self._window = array("f")
        self._seen = 0
        self._failures = Failures()
        self._answer = False
        self._news: str | None = None

    @classmethod
    def model(cls, path: str, **_: object) -> bytes:
        """The file's bytes."""
        return Path(path).read_bytes()

    def predict(self, sample: Sample) -> bool:
        """Whether the score is on the alarm's side of the threshold, or a sensor has failed."""
        self._news = None
        if not is_measured(sample.values):
            self._news = self._failures.add(sample.values)
            return self._failures.are_news or self._answer
        if self._failures.count:
            self._news = self._failures.end()
        self._window.extend(sample.values)
        del self._window[: -self._numbers]
        self._seen += 1
        if self._seen < self._begin_at:
            return False
        score = self._score.read(self._run(self._score.output, self._window))
        is_below = score < self._threshold
        answer = math.isnan(score) or is_below != self._is_above
        if answer and not self._answer:
            self._news = (
                f"alarm: {self._score} is {score:.4g}"
                f" (alarm {'from' if self._is_above else 'below'} {self._threshold:.4g})"
            )
        elif self._answer and not answer:
            self._news = "alarm is over"
        self._answer = answer
        return answer

    def explain(self) -> str | None:
        """What is new with the latest row: an alarm and its score, its end."""
        return self._news

    def learning(self) -> tuple[int, int] | None:
        """Rows seen, and rows from which on it judges; None: it does."""
        return (self._seen, self._begin_at) if self._seen < self._begin_at else None

    def snapshot(self) -> bytes:
        """The window, and what was counted."""
        return _HEAD.pack(self._seen, self._failures.count, self._answer) + self._window.tobytes()

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot."""
        self._seen, self._failures.count, answer = _HEAD.unpack_from(state)
        self._answer = bool(answer)
        self._window = array("f")
        self._window.frombytes(state[_HEAD.size :])

    def _try(self) -> None:
        """Read the score of zeros: whether it is one, and of the class that was meant."""
        zeros = [0.0] * self._numbers
        result = self._run(self._score.output, zeros)
        self._score.read(result)
        if self._score.labels:
            own = self._run(self._score.labels, zeros)
            if isinstance(own, list) and len(own) == 1:
                self._score.check_label(own[0], result)

    def _run(self, output: str, numbers: Sequence[float]) -> Result:
        import numpy as np  # noqa: PLC0415 - comes with onnxruntime

        name, shape = self._input
        given = {name: np.array(numbers, np.float32).reshape(shape)}
        (result,) = self._session.run([output], given)
        if isinstance(result, list):  # by class, a dictionary for each row
            by_class: dict[Label, float] = result[0]
            return by_class
        in_order: list[float] = np.ravel(result).tolist()
        return in_order


def _is_above(alarm: str | None, score: Score) -> bool:
    if alarm is None:
        raise PredictorError(
            f'alarm: missing: set "above" if high values of {score} call for attention,'
            ' or "below" if low ones do'
        )
    if alarm not in ("above", "below"):
        raise PredictorError(f'alarm must be "above" or "below", got {alarm!r}')
    return alarm == "above"


def _checked_threshold(threshold: float | None, score: Score) -> float:
    if threshold is None:
        if not score.is_probability:
            raise PredictorError(
                f"threshold: missing: set the value of {score} at which the alarm begins"
            )
        return _EVEN
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise PredictorError(f"threshold must be a number, got {threshold!r}")
    if not math.isfinite(threshold):
        raise PredictorError(f"threshold must be a finite number, got {threshold!r}")
    if score.is_probability and not 0 < threshold <= 1:
        raise PredictorError(
            f"threshold of a probability must be above 0 and at most 1, got {threshold!r}"
        )
    return threshold


@functools.cache
def _session(path: str) -> "onnxruntime.InferenceSession":
    """Load a model; once, however many lines it serves."""
    try:
        import onnxruntime  # noqa: PLC0415 - optional, and 60 MB
    except ImportError:
        raise ValueError(f"onnxruntime is missing: {to_install('onnx')}") from None
    if not Path(path).is_file():
        raise PredictorError(f"path: there is no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # lines are what is parallel
    options.log_severity_level = 3  # what it raises is enough
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _input(session: "onnxruntime.InferenceSession", window: int) -> tuple[str, tuple[int, ...]]:
    """The input's name, and the shape that it is given."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        told = ", ".join(f"{each.name}: {each.type}" for each in inputs)
        raise PredictorError(f"the model must have one input, of float32; it has {told}")
    wanted = inputs[0].shape
    for shape in ((1, window, CHANNELS), (1, window * CHANNELS)):
        sizes = zip(wanted, shape, strict=False)
        if len(wanted) == len(shape) and all(
            size == dimension for dimension, size in sizes if isinstance(dimension, int)
        ):
            return inputs[0].name, shape
    raise PredictorError(
        f"the model's input has the shape {wanted}; for window = {window} it must be"
        f" [1, {window}, {CHANNELS}] or [1, {window * CHANNELS}], where 1 may be any name"
    )
