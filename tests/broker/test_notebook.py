import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker.errors import EvaluationError, PredictorError
from broker.evaluate import evaluate
from broker.evaluate.replay import Evaluation, replay
from broker.predictors.load import load
from quartet.channels import as_float32
from quartet.recording import Recording


class Frame:
    """What frames of all libraries have in common, and we use."""

    def __init__(self, **columns: Any) -> None:
        self._columns = columns

    @property
    def columns(self) -> list[str]:
        return [*self._columns]

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]


def test_an_array_gets_the_answers_of_the_same_file(dataset: Path) -> None:
    rows = np.loadtxt(dataset, delimiter=",", usecols=(1, 2, 3, 4))
    result = evaluate(rows)
    of_file = Evaluation("the same", "chart")
    with Recording(dataset) as recording:
        replay(of_file, recording, load("chart", {}), lambda _: None, lambda _: None)
    assert result.answers.dtype == np.bool_
    assert result.answers.tobytes() == bytes(of_file.answers)
    assert result.explanations == of_file.explanations
    assert result.has_learned


def test_statistics_are_arrays_with_nan_where_there_is_no_number(dataset: Path) -> None:
    rows = np.loadtxt(dataset, delimiter=",", usecols=(1, 2, 3, 4))
    result = evaluate(rows)
    assert result.statistics
    for values, limits in result.statistics.values():
        assert values.shape == limits.shape == (len(rows),)
        assert np.isnan(values[0])
        assert np.isfinite(values[-1])
        assert limits[-1] > 0
    assert not evaluate(rows, "limits").statistics


def test_a_learning_phase_that_did_not_end_is_told() -> None:
    assert not evaluate(np.ones((10, 4))).has_learned


def test_a_frame_is_read_by_its_names_and_a_missing_channel_is_zero(workplace: Path) -> None:
    (workplace / "seen.py").write_text(
        "class Seen:\n"
        "    def predict(self, sample):\n"
        "        self.values = sample.values\n"
        "        return True\n"
        "    def explain(self):\n"
        "        return repr(self.values)\n"
    )
    frame = Frame(time=["now"], b=[2.0], a=np.array([1.0]))
    result = evaluate(frame, "seen:Seen", columns=["a", "b"])
    assert result.explanations == [(0, "(1.0, 2.0, 0.0, 0.0)")]
    assert evaluate([[5, 6]], "seen:Seen").explanations == [(0, "(5.0, 6.0, 0.0, 0.0)")]
    chosen = evaluate(np.array([[1.0, 2.0, 3.0, 4.0, 0.1]]), "seen:Seen", columns=[4, 0])
    assert chosen.explanations == [(0, repr(as_float32((0.1, 1.0, 0.0, 0.0))))]


def test_options_go_to_the_predictor() -> None:
    with pytest.raises(PredictorError, match="unknown option"):
        evaluate([[1, 2, 3, 4]], options={"nonsense": 1})


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        ([1.0, 2.0], None, "expected rows of 1 to 4 values, got 2"),
        (np.zeros((3, 5)), None, "got 3 x 5; columns="),
        (1.0, None, "got a single value"),
        ([["x"]], None, "expected numbers only"),
        (np.zeros((3, 2)), [7], "index 7 is out of bounds"),
        (Frame(a=[1], b=[2]), ["c"], "no column 'c'; there are 'a', 'b'"),
        (Frame(a=["x"]), None, "column 'a': expected numbers only"),
        (Frame(a=np.array(["2026-01-01"], "datetime64[s]"), b=[1]), None, "column 'a': expected"),
        (Frame(a=[True]), None, "column 'a': expected numbers only, got bool"),
        (Frame(a=[1], b=[1], c=[1], d=[1], e=[1]), None, r"5 columns .* a sample has 4"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_words(data: Any, columns: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(data, columns=columns)


def test_a_predictor_that_raises_is_named_with_its_row(workplace: Path) -> None:
    (workplace / "bad.py").write_text(
        "class Bad:\n"
        "    def predict(self, sample):\n"
        "        return 1 / (sample.values[0] - 7) > 0\n"
    )
    with pytest.raises(EvaluationError, match=r"data: row 1: .* ZeroDivisionError"):
        evaluate([[1.0], [7.0]], "bad:Bad")


def test_nan_and_infinity_reach_the_predictor() -> None:
    assert len(evaluate([[math.nan, math.inf, 0, 0]] * 3).answers) == 3


def test_the_command_line_needs_no_numpy() -> None:
    code = (
        "import sys, broker.evaluate.commands; assert 'numpy' not in sys.modules;"
        " import broker.evaluate;"
        " sys.modules['numpy'] = None;"
        " broker.evaluate.evaluate"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "numpy is missing: pip install 'numpy" in run.stderr.splitlines()[-1]
