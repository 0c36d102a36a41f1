"""A model in an ONNX file as the predictor: small models, made here."""

import os
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.onnx_alarm import ABOVE, refusal, row

from broker.config import PredictorSettings
from broker.model import Sample
from broker.predictors import explains, is_stateful
from broker.predictors.load import load
from broker.predictors.onnx import Onnx
from quartet.channels import Values

many = settings(derandomize=True, deadline=None, max_examples=60)

NAN = float("nan")
FAILED = NAN, NAN, NAN, NAN

Shape = Sequence[int | str]

MEAN = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)]
MANY = [helper.make_node("Identity", ["x"], ["y"])]
ROOT = [
    helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
    helper.make_node("Sqrt", ["m"], ["y"]),  # of a negative mean: NaN
]
SUM_OF_TWO = [
    helper.make_node("Add", ["x", "z"], ["s"]),
    helper.make_node("ReduceMean", ["s"], ["y"], keepdims=0),
]


def model(
    path: Path,
    shape: Shape,
    nodes: Sequence[onnx.NodeProto] = MEAN,
    *,
    inputs: Sequence[str] = "x",
    kind: int = TensorProto.FLOAT,
) -> str:
    """Save a model; its path."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    # Such as any onnxruntime that is supported can read.
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of models that are made once."""
    folder = tmp_path_factory.mktemp("models")
    model(folder / "row.onnx", [1, 4])
    model(folder / "three.onnx", ["batch", 3, 4])
    model(folder / "root.onnx", [1, 1, 4], ROOT)
    return folder


def answers(box: Onnx, rows: Sequence[Values]) -> list[bool]:
    return [box.predict(Sample(0, each)) for each in rows]


# What is asked of a model


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ([1, 1, 4], 1),
        ([1, 4], 1),
        ([1, 3, 4], 3),
        ([1, 12], 3),
        (["batch", 3, 4], 3),
        (["batch", "time", 4], 3),
        (["batch", "numbers"], 3),
    ],
)
def test_a_model_scores_the_latest_rows_in_either_shape(
    shape: Shape, window: int, tmp_path: Path
) -> None:
    box = Onnx(model(tmp_path / "m.onnx", shape), window=window, threshold=2.0, alarm="above")
    values = [0.0, 1.0, 5.0, 0.0, 3.0, 2.0, 0.5, 9.0]
    wanted = [
        number >= window and sum(values[number - window : number]) / window >= 2.0
        for number in range(1, len(values) + 1)
    ]
    assert True in wanted
    assert answers(box, [row(value) for value in values]) == wanted


def test_rows_go_in_oldest_first_and_channels_in_their_order(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8], [10.0**-n for n in range(8)])
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weights),
        helper.make_node("Mul", ["x", "w"], ["p"]),
        helper.make_node("ReduceSum", ["p"], ["y"], keepdims=0),
    ]
    path = model(tmp_path / "m.onnx", [1, 8], nodes)
    rows = [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)]
    for threshold, reached in ((1.2345, True), (1.2346, False)):
        assert answers(Onnx(path, window=2, threshold=threshold, alarm="above"), rows) == [
            False,
            reached,
        ]


@pytest.mark.parametrize(("warm_up", "first"), [(0, 3), (1, 3), (2, 3), (3, 4), (10, 11)])
def test_the_rows_of_the_warm_up_and_those_before_the_window_is_full_are_false(
    warm_up: int, first: int, folder: Path
) -> None:
    box = Onnx(str(folder / "three.onnx"), window=3, threshold=0.0, warm_up=warm_up, alarm="above")
    assert answers(box, [row(1.0)] * 20).index(True) + 1 == first


def test_a_score_at_the_threshold_is_true_and_so_is_one_that_is_no_number(folder: Path) -> None:
    box = Onnx(str(folder / "root.onnx"), threshold=2.0, alarm="above")
    assert answers(box, [row(3.9), row(4.0), row(-1.0), row(0.0)]) == [False, True, True, False]
    assert answers(box, [row(-1.0)]) == [True]
    assert box.explain() == "alarm: y is nan (alarm from 2)"


def test_an_alarm_and_its_end_are_told_once(folder: Path) -> None:
    box = Onnx(str(folder / "row.onnx"), **ABOVE)
    news = []
    for value in (0.0, 1.0, 1.0, 0.25, 0.25):
        answers(box, [row(value)])
        news.append(box.explain())
    alarm = "alarm: y is 1 (alarm from 0.5)"
    assert news == [None, alarm, None, "alarm is over", None]
    assert explains(box)


# Rows that are no measurement


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("bad", [NAN, float("inf"), float("-inf")])
def test_failed_rows_repeat_the_answer_and_are_true_from_the_third_on(
    last: bool, bad: float, folder: Path
) -> None:
    box = Onnx(str(folder / "three.onnx"), window=3, **ABOVE)
    answers(box, [row(float(last))] * 5)
    news = []
    for number in range(1, 6):
        assert answers(box, [(1.0, bad, 1.0, bad)]) == [last or number >= 3]
        news.append(box.explain())
    assert news == [None, None, "sensor2, sensor4: no value, 3 rows in a row", None, None]


def test_failed_rows_are_no_part_of_the_window_and_of_the_warm_up(folder: Path) -> None:
    box, other = (Onnx(str(folder / "three.onnx"), window=3, warm_up=6, **ABOVE) for _ in range(2))
    rows = [row(value) for value in (0.0, 2.0, 0.0, 1.0, 0.1, 0.2, 1.0, 1.0, 0.0, 0.1)]
    got = []
    for each in rows:
        got += answers(box, [each])
        answers(box, [FAILED])
    assert got == answers(other, rows)


def test_a_sensor_that_fails_from_the_first_row_on_is_told(folder: Path) -> None:
    box = Onnx(str(folder / "three.onnx"), window=3, **ABOVE)
    assert answers(box, [FAILED] * 4) == [False, False, True, True]
    assert answers(box, [row(1.0)] * 3) == [False, False, True]


# State

some_rows = st.lists(
    st.sampled_from([row(0.0), row(0.3), row(0.6), row(2.0), FAILED]), min_size=1, max_size=25
)


@many
@given(some_rows, st.integers(0, 25), st.integers(0, 8))
def test_a_restored_box_goes_on_as_if_nothing_had_happened(
    folder: Path, rows: list[Values], cut: int, warm_up: int
) -> None:
    one, other = (
        Onnx(str(folder / "three.onnx"), 3, 0.5, warm_up, alarm="above") for _ in range(2)
    )
    answers(one, rows[:cut])
    assert is_stateful(one)
    other.restore(one.snapshot())
    for each in rows[cut:]:
        assert answers(one, [each]) == answers(other, [each])
        assert one.explain() == other.explain()
        assert one.snapshot() == other.snapshot()


def test_a_snapshot_does_not_grow_while_a_sensor_is_dead(folder: Path) -> None:
    box = Onnx(str(folder / "three.onnx"), window=3, **ABOVE)
    answers(box, [row(float(n)) for n in range(10)] + [FAILED] * 50)
    head, window = box.snapshot()[:10], box.snapshot()[10:]
    assert struct.unpack("<QBB", head) == (10, 3, 1)
    assert array("f", window).tolist() == [7.0] * 4 + [8.0] * 4 + [9.0] * 4


# As a broker makes it


def test_another_model_is_another_black_box_and_the_same_one_is_not(tmp_path: Path) -> None:
    one = load("onnx", ABOVE | {"path": model(tmp_path / "one.onnx", [1, 4])})
    assert one.make().predict(Sample(0, row(1.0))) is True
    assert load("onnx", ABOVE | {"path": str(tmp_path / "one.onnx")}).digest == one.digest
    os.replace(model(tmp_path / "two.onnx", [1, 1, 4]), tmp_path / "one.onnx")  # noqa: PTH105
    assert load("onnx", ABOVE | {"path": str(tmp_path / "one.onnx")}).digest != one.digest


def test_it_runs_in_two_threads_unless_told_otherwise() -> None:
    assert PredictorSettings("onnx").threads_to_use == 2
    assert PredictorSettings("onnx", threads=0).threads_to_use == 0
    assert PredictorSettings("chart").threads_to_use == 0
    assert PredictorSettings("chart", threads=3).threads_to_use == 3


@pytest.mark.parametrize(
    ("make", "window", "reason"),
    [
        (lambda path: model(path, [2, 7]), 1, "shape [2, 7]; for window = 1 it must be [1, 1, 4]"),
        (lambda path: model(path, [1, 3, 4]), 4, "for window = 4 it must be [1, 4, 4] or [1, 16]"),
        (lambda path: model(path, [4]), 1, "the model's input has the shape [4]"),
        (lambda path: model(path, [2, 1, 4]), 1, "the model's input has the shape [2, 1, 4]"),
        (
            lambda path: model(path, [1, 4], SUM_OF_TWO, inputs="xz"),
            1,
            "must have one input, of float32; it has x: tensor(float), z: tensor(float)",
        ),
        (
            lambda path: model(path, [1, 4], kind=TensorProto.DOUBLE),
            1,
            "must have one input, of float32; it has x: tensor(double)",
        ),
        (
            lambda path: model(path, [1, 4], MANY),
            1,
            '"y" gives 4 numbers, not one score. Outputs of the model: "y" (float [',
        ),
        (lambda path: path.write_text("no model"), 1, "model.onnx failed:Protobuf parsing failed"),
        (Path.touch, 1, "model.onnx failed"),
        (Path.mkdir, 1, "path: there is no file "),
        (lambda _: None, 1, "path: there is no file "),
    ],
)
def test_a_file_that_is_no_such_model_is_refused_with_the_reason(
    make: Callable[[Path], object], window: int, reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "model.onnx")
    message = refusal(path=str(tmp_path / "model.onnx"), window=window)
    assert reason in message
    assert (str(tmp_path / "model.onnx") in message) or "the model" in message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 0}, "window must be a number of rows, 1 to 10000, got 0"),
        ({"window": 10_001}, "1 to 10000, got 10001"),
        ({"window": "3"}, "window must be a number of rows, 1 to 10000, got '3'"),
        ({"window": 3.0}, "1 to 10000, got 3.0"),
        ({"warm_up": -1}, "warm_up must be a number of rows, 0 or more, got -1"),
        ({"warm_up": "10"}, "0 or more, got '10'"),
        ({"threshold": "0.5"}, "threshold must be a number, got '0.5'"),
        ({"threshold": True}, "threshold must be a number, got True"),
        ({"threshold": NAN}, "threshold must be a finite number, got nan"),
        ({"threshold": None}, "threshold: missing: set the value of y at which the alarm begins"),
        ({"alarm": None}, 'alarm: missing: set "above" if high values of y call for attention'),
        ({"alarm": "Below"}, 'alarm must be "above" or "below", got \'Below\''),
        (
            {"output": "z"},
            "output: the model has no output 'z'. Outputs of the model: \"y\" (float [",
        ),
        ({"label": 1.0}, "label must be a text or a whole number, got 1.0"),
        ({"label": True}, "label must be a text or a whole number, got True"),
        ({"label": 1}, 'classes: "y" has numbers without labels: set classes to the labels'),
        ({"classes": [0, 1]}, "label: missing beside classes"),
        ({"label": 1, "classes": "01"}, "classes must be a list of labels, for example"),
        ({"label": 1, "classes": [1, 1]}, "classes must be two or more, each once, got [1, 1]"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(
    options: dict[str, object], reason: str, folder: Path
) -> None:
    # Three rows: the trial with one of them would not come as far as the threshold.
    assert reason in refusal(**{"path": str(folder / "three.onnx"), "window": 3} | options)


def test_without_its_library_the_way_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = model(tmp_path / "unseen.onnx", [1, 4])
    assert refusal(path=path).endswith(
        "onnxruntime is missing: pip install 'numpy>=2.0' 'onnxruntime>=1.20'"
    )
