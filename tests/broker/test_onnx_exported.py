"""Models as their libraries export them; models/make_models.py makes them."""

import json
from pathlib import Path

import pytest
from support.onnx_alarm import refusal

from broker.model import Sample
from broker.predictors import explains
from broker.predictors.load import load
from quartet.channels import as_float32
from quartet.recording import Recording

MODELS = Path(__file__).parent / "models"
EXPORTED = json.loads((MODELS / "expected.json").read_text())


def exported(name: str, **options: object) -> dict[str, object]:
    return (
        EXPORTED.get(name, {}).get("options", {}) | options | {"path": str(MODELS / name) + ".onnx"}
    )


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_model_answers_as_its_own_library_does(name: str) -> None:
    box = load("onnx", exported(name)).make()
    with Recording(MODELS.parents[2] / "dataset" / "sensors.csv") as table:
        got = [box.predict(Sample(n, as_float32(row.values))) for n, row in enumerate(table)]
    wanted = EXPORTED[name]["answers"]
    assert "".join(str(int(answer)) for answer in got) == wanted
    assert {*wanted} == {"0", "1"}


LABEL = '"label" (int64 [?, 1]), a label: cannot be used'
SCORES = '"scores" (float [?, 1]), a score: set alarm and threshold'
BY_CLASS = '"output_probability", a probability for each class: set label and alarm'
SWAPPED = ["worn", "healthy"]
WRITTEN = ["healthy", "worn"]


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        (
            "isolation_forest",
            {"output": None},
            f"the model has 2 outputs: set output to one. Outputs of the model: {LABEL}; {SCORES}",
        ),
        (
            "isolation_forest",
            {"output": "label"},
            f'"label" is not a score. Outputs of the model: {LABEL}; {SCORES}',
        ),
        ("isolation_forest", {"alarm": None}, "alarm: missing"),
        ("one_class_svm", {"threshold": None}, "threshold: missing"),
        ("one_class_svm", {"label": -1}, "for a score, leave label out"),
        ("forest_classifier", {"output": None}, BY_CLASS),
        ("forest_classifier", {"output": "output_label"}, '"output_label" is not a score'),
        (
            "forest_classifier",
            {"label": None},
            'label: "output_probability" has the classes 0, 1: set label to one of them',
        ),
        ("forest_classifier", {"label": "1"}, "has the classes 0, 1: not '1'"),
        ("forest_classifier", {"alarm": None}, 'set "above" if high values of probability of 1'),
        ("forest_classifier", {"classes": [0, 1]}, "names its own: leave classes out"),
        (
            "scaled_classifier",
            {"label": "faulty"},
            "has the classes 'healthy', 'worn': not 'faulty'",
        ),
        (
            "scaled_classifier",
            {"threshold": 50},
            "threshold of a probability must be above 0 and at most 1",
        ),
        (
            "scaled_classifier",
            {"threshold": 0},
            "threshold of a probability must be above 0 and at most 1",
        ),
        ("classifier_array", {"label": None, "classes": None}, "gives 2 numbers, not one score"),
        (
            "classifier_array",
            {"classes": None},
            'classes: "probabilities" has numbers without labels',
        ),
        (
            "classifier_array",
            {"classes": ["a", "b", "healthy"]},
            "gives 2 numbers, and 3 classes are named",
        ),
        ("classifier_array", {"classes": SWAPPED}, "the model answers 'healthy', but by classes"),
        (
            "support_vectors",
            {"output": "probabilities", "classes": WRITTEN, "label": "worn"},
            "probabilities are 0 to 1",
        ),
        (
            "torch_reconstruction",
            {"window": 8},
            "of an autoencoder, export the error (docs/models.md)",
        ),
    ],
)
def test_an_exported_model_is_refused_where_its_alarm_could_be_turned_round(
    name: str, options: dict[str, object], reason: str
) -> None:
    assert reason in refusal(**exported(name, **options))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one_class_svm", "alarm: scores is -"),
        ("scaled_classifier", "alarm: probability of worn is 1 (alarm from 0.5)"),
        ("classifier_array", "alarm: probability of healthy is 0 (alarm below 0.2)"),
    ],
)
def test_an_alarm_names_its_output_or_its_class(name: str, said: str) -> None:
    box = load("onnx", exported(name)).make()
    assert box.predict(Sample(0, (0.35, 0.16, 0.11, 0.07))) is True
    assert explains(box)
    assert str(box.explain()).startswith(said)
