"""An evaluation of arrays, as a notebook has them. Needs numpy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from broker.evaluate.replay import Asked, Evaluation
from broker.predictors.load import load
from quartet.channels import CHANNELS


class Statistic(NamedTuple):
    """A number behind the answers, with its limit: float64 of shape (rows,), NaN for no number."""

    values: NDArray[np.float64]
    limits: NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """What a predictor said to each row."""

    answers: NDArray[np.bool_]
    """Of shape (rows,)."""
    statistics: dict[str, Statistic]
    """By name; none of a predictor that tells no numbers."""
    explanations: list[tuple[int, str]]
    """Row and text, at most 1000."""
    has_learned: bool
    """False: the learning phase did not end, and all answers are False."""


def evaluate(
    data: Any,
    predictor: str = "chart",
    *,
    columns: Sequence[Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Ask a predictor about each row of an array, a DataFrame or a list of rows.

    `data` has the shape (rows, 1 to 4); a channel that is missing is 0. Of a DataFrame (pandas,
    polars, or another with `columns` and `[name]`) `columns` chooses the sensors by name, of an
    array by number from 0. `options` are those of `[predictor.options]`.

    ValueError for data that do not fit; PredictorError for a predictor that cannot be loaded,
    EvaluationError for one that raises.
    """
    rows = _rows(data, columns)
    evaluation = Evaluation("data", predictor)
    asked = Asked(evaluation, load(predictor, dict(options or {})), with_numbers=True)
    statistics: dict[str, Statistic] = {}
    for row, values in enumerate(rows.tolist()):
        for name, (value, limit) in asked.about(values).numbers.items():
            if name not in statistics:
                statistics[name] = Statistic(*np.full((2, len(rows)), np.nan))
            statistics[name].values[row], statistics[name].limits[row] = value, limit
    asked.close()
    return Result(
        np.frombuffer(bytes(evaluation.answers), dtype=np.bool_),
        statistics,
        evaluation.explanations,
        evaluation.is_warm,
    )


def _rows(data: Any, columns: Sequence[Any] | None) -> NDArray[np.float64]:
    """The data as four channels. float64: the values of the wire are rounded from these."""
    table = _table(data, columns)
    if table.ndim != 2 or not 1 <= table.shape[1] <= CHANNELS:
        shape = " x ".join(map(str, table.shape)) or "a single value"
        raise ValueError(
            f"data: expected rows of 1 to {CHANNELS} values, got {shape}; columns=[...] chooses"
        )
    missing = CHANNELS - table.shape[1]
    return np.pad(table, ((0, 0), (0, missing)))


def _table(data: Any, columns: Sequence[Any] | None) -> NDArray[np.float64]:
    if hasattr(data, "columns"):
        return _of_frame(data, data.columns if columns is None else columns)
    table = _numbers(data, "data")
    try:
        return table if columns is None else table[:, list(columns)]
    except IndexError as error:
        raise ValueError(f"columns: {error}") from error


def _of_frame(data: Any, names: Iterable[Any]) -> NDArray[np.float64]:
    chosen, known = list(names), list(data.columns)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"no column {unknown[0]!r}; there are {', '.join(map(repr, known))}")
    if len(chosen) > CHANNELS:
        raise ValueError(
            f"{len(chosen)} columns ({', '.join(map(repr, chosen))}), and a sample has"
            f" {CHANNELS} values; columns=[...] chooses"
        )
    return np.stack([_numbers(data[name], f"column {name!r}") for name in chosen], axis=1)


def _numbers(data: Any, name: str) -> NDArray[np.float64]:
    """As float64. Times and flags could be converted as well, and are no sensor's."""
    try:
        array = np.asarray(data)
        if array.dtype.kind in "iufO":
            return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers only: {error}") from error
    raise ValueError(f"{name}: expected numbers only, got {array.dtype}; columns=[...] chooses")
