"""A model in an ONNX file as the black box."""

import functools
import math
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from broker.model import Sample
from broker.predictors.failures import Failures, is_measured
from quartet.channels import CHANNELS
from quartet.distribution import to_install

if TYPE_CHECKING:
    import onnxruntime

# Its rows must fit into a snapshot of 1 MiB.
_MOST_ROWS = 10_000

# Rows seen and failed, the last answer; behind them the rows of the window.
_HEAD = struct.Struct("<QBB")


class Onnx:
    """True while the score of the latest `window` rows is at least `threshold`.

    The model has one input of float32, (1, window, 4) or (1, window * 4), oldest row first, and
    its first output is one number, the score; one that is NaN counts as above the threshold. The
    first `warm_up` rows, and those before the window is full, are False. A row whose values are
    not all finite is left out, and repeats the last answer; from the third in a row on it is True.
    """

    def __init__(
        self, path: str, window: int = 1, threshold: float = 0.5, warm_up: int = 0
    ) -> None:
        if not (isinstance(window, int) and 1 <= window <= _MOST_ROWS):
            raise ValueError(f"window must be a number of rows, 1 to {_MOST_ROWS}, got {window!r}")
        if not (isinstance(warm_up, int) and warm_up >= 0):
            raise ValueError(f"warm_up must be a number of rows, 0 or more, got {warm_up!r}")
        if not isinstance(threshold, int | float) or math.isnan(threshold):
            raise ValueError(f"threshold must be a number, got {threshold!r}")
        self._session = _session(path)
        self._threshold = threshold
        self._numbers = window * CHANNELS
        self._begin_at = max(window, warm_up + 1)
        self._input = _input(self._session, window)
        self._window = array("f")
        self._seen = 0
        self._failures = Failures()
        self._answer = False
        self._news: str | None = None
        self._score([0.0] * self._numbers)

    @classmethod
    def model(cls, path: str, **_: object) -> bytes:
        """The file's bytes."""
        return Path(path).read_bytes()

    def predict(self, sample: Sample) -> bool:
        """Whether the score is at least the threshold, or a sensor has failed."""
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
        score = self._score(self._window)
        answer = not score < self._threshold
        if answer and not self._answer:
            self._news = f"alarm: the score is {score:.4g}, its threshold {self._threshold:.4g}"
        elif self._answer and not answer:
            self._news = "alarm is over"
        self._answer = answer
        return answer

    def explain(self) -> str | None:
        """What is new with the latest row: an alarm and its score, its end."""
        return self._news

    def snapshot(self) -> bytes:
        """The window, and what was counted."""
        return _HEAD.pack(self._seen, self._failures.count, self._answer) + self._window.tobytes()

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot."""
        self._seen, self._failures.count, answer = _HEAD.unpack_from(state)
        self._answer = bool(answer)
        self._window = array("f")
        self._window.frombytes(state[_HEAD.size :])

    def _score(self, numbers: Sequence[float]) -> float:
        import numpy as np  # noqa: PLC0415 - comes with onnxruntime

        name, shape = self._input
        first, *_ = self._session.run(None, {name: np.array(numbers, np.float32).reshape(shape)})
        scores = np.ravel(first)
        if scores.size != 1:
            raise ValueError(f"the model's first output has {scores.size} numbers, not one score")
        return float(scores[0])


@functools.cache
def _session(path: str) -> "onnxruntime.InferenceSession":
    """Load a model; once, however many lines it serves."""
    try:
        import onnxruntime  # noqa: PLC0415 - optional, and 60 MB
    except ImportError:
        raise ValueError(f"onnxruntime is missing: {to_install('onnx')}") from None
    if not Path(path).is_file():
        raise ValueError(f"path: there is no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # lines are what is parallel
    options.log_severity_level = 3  # what it raises is enough
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _input(session: "onnxruntime.InferenceSession", window: int) -> tuple[str, tuple[int, ...]]:
    """The input's name, and the shape that it is given."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        told = ", ".join(f"{each.name}: {each.type}" for each in inputs)
        raise ValueError(f"the model must have one input, of float32; it has {told}")
    wanted = inputs[0].shape
    for shape in ((1, window, CHANNELS), (1, window * CHANNELS)):
        sizes = zip(wanted, shape, strict=False)
        if len(wanted) == len(shape) and all(
            size == dimension for dimension, size in sizes if isinstance(dimension, int)
        ):
            return inputs[0].name, shape
    raise ValueError(
        f"the model's input has the shape {wanted}; for window = {window} it must be"
        f" [1, {window}, {CHANNELS}] or [1, {window * CHANNELS}], where 1 may be any name"
    )
