#!/usr/bin/env python3
"""Make the models in this directory as their libraries export them, and what the libraries predict.

The tests read the files, and need none of these libraries. To make them again, from the root:

    python3 -m venv /tmp/models
    /tmp/models/bin/pip install scikit-learn skl2onnx torch onnxscript keras onnxruntime
    /tmp/models/bin/python tests/broker/models/make_models.py

They learn from dataset/sensors.csv, which is synthetic. expected.json has for each model the
options of the predictor `onnx`, and what the library itself predicts for each row of that file.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM

Rows = NDArray[np.float32]
Flags = NDArray[np.bool_]
Case = tuple[str, dict[str, object], Flags]

HERE = Path(__file__).parent
SENSORS = HERE.parents[2] / "dataset" / "sensors.csv"

# The fault begins at row 518; from row 700 on it can be seen; from 980 on the machine stands still.
HEALTHY = slice(0, 500)
WORN = slice(700, 980)

WINDOW = 8
"""Rows that the autoencoder of torch takes at a time."""

SEED = 7

# Such as the oldest onnxruntime that is supported can read.
OPSET = {"": 17, "ai.onnx.ml": 3}
TORCH_OPSET = 18


class Autoencoder(torch.nn.Module):
    """Gives back its rows, as far as two numbers can carry them."""

    def __init__(self, healthy: Rows, window: int) -> None:
        super().__init__()
        self.mean = torch.nn.Buffer(torch.tensor(healthy.mean(axis=0)))
        self.spread = torch.nn.Buffer(torch.tensor(healthy.std(axis=0)))
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(window * 4, 2),
            torch.nn.Tanh(),
            torch.nn.Linear(2, window * 4),
            torch.nn.Unflatten(1, (window, 4)),
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers((rows - self.mean) / self.spread) * self.spread + self.mean


class Error(torch.nn.Module):
    """An autoencoder, and how far what it gives back is from the rows: the score."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        difference = (self.autoencoder(rows) - rows) / self.autoencoder.spread
        return difference.square().mean(dim=(1, 2))


class Distance(keras.layers.Layer):
    """The mean square difference of two rows."""

    def call(self, given: object, wanted: object) -> object:
        return keras.ops.mean(keras.ops.square(given - wanted), axis=-1, keepdims=True)


def main() -> None:
    rows = np.loadtxt(SENSORS, delimiter=",", usecols=range(1, 5)).astype(np.float32)
    expected = {
        name: {"options": options, "answers": "".join(str(int(each)) for each in answers)}
        for make in (outliers, classifiers, torch_autoencoder, keras_autoencoder)
        for name, options, answers in make(rows)
    }
    write_refused(rows)
    text = json.dumps(expected, indent=1)
    (HERE / "expected.json").write_text(text + "\n")


def outliers(rows: Rows) -> Iterator[Case]:
    """What scikit-learn offers where no fault was ever recorded: low scores are outliers."""
    below = {"output": "scores", "alarm": "below", "threshold": 0.0}
    for name, model in (
        (
            "isolation_forest",
            IsolationForest(n_estimators=10, max_samples=32, contamination=0.01, random_state=SEED),
        ),
        ("one_class_svm", OneClassSVM(nu=0.02)),
        ("scaled_one_class_svm", make_pipeline(StandardScaler(), OneClassSVM(nu=0.02))),
    ):
        model.fit(rows[HEALTHY])
        save(name, model, rows)
        yield name, below, model.predict(rows) == -1


def classifiers(rows: Rows) -> Iterator[Case]:
    """What learned from healthy and worn rows, with texts and with numbers for labels."""
    known = np.concatenate([rows[HEALTHY], rows[WORN]])
    is_worn = np.repeat([False, True], [500, 280])
    words = np.where(is_worn, "worn", "healthy")

    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=SEED)
    forest.fit(known, is_worn.astype(int))
    save("forest_classifier", forest, rows)
    options = {"output": "output_probability", "label": 1, "alarm": "above"}
    yield "forest_classifier", options, forest.predict_proba(rows)[:, 1] >= 0.5

    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(known, words)
    worn = scaled.predict_proba(rows)[:, list(scaled.classes_).index("worn")]
    save("scaled_classifier", scaled, rows)
    options = {"output": "output_probability", "label": "worn", "alarm": "above"}
    yield "scaled_classifier", options, worn >= 0.5

    save("classifier_array", scaled, rows, zipmap=False)
    options = {
        "output": "probabilities",
        "classes": scaled.classes_.tolist(),
        "label": "healthy",
        "alarm": "below",
        "threshold": 0.2,
    }
    yield "classifier_array", options, 1 - worn < 0.2

    save("classifier_columns", scaled, rows, zipmap="columns")
    options = {"output": "sworn", "alarm": "above", "threshold": 0.9}
    yield "classifier_columns", options, worn >= 0.9


def torch_autoencoder(rows: Rows) -> Iterator[Case]:
    """An autoencoder of windows, exported with its error, as docs/models.md advises."""
    torch.manual_seed(SEED)
    healthy = torch.tensor(windows(rows[HEALTHY]))
    model = Error(Autoencoder(rows[HEALTHY], WINDOW))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        model(healthy).mean().backward()
        optimizer.step()
    model.eval()
    export("torch_autoencoder", model, "error")
    export("torch_reconstruction", model.autoencoder, "reconstruction")
    with torch.no_grad():
        highest = model(healthy).max().item()
        errors = model(torch.tensor(windows(rows))).numpy()
    threshold = round(1.2 * highest, 3)
    options = {"window": WINDOW, "alarm": "above", "threshold": threshold}
    not_yet = np.zeros(WINDOW - 1, bool)
    yield "torch_autoencoder", options, np.concatenate([not_yet, errors >= threshold])


def keras_autoencoder(rows: Rows) -> Iterator[Case]:
    """An autoencoder of single rows with its scaler and its error inside."""
    keras.utils.set_random_seed(SEED)
    given = keras.Input((4,), name="rows")
    scaler = keras.layers.Normalization()
    scaler.adapt(rows[HEALTHY])
    scaled = scaler(given)
    hidden = keras.layers.Dense(2, activation="tanh")(scaled)
    error = Distance(name="error")(keras.layers.Dense(4)(hidden), scaled)
    model = keras.Model(given, error)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mean_absolute_error")
    nothing = np.zeros((500, 1), np.float32)
    model.fit(rows[HEALTHY], nothing, epochs=60, verbose=0)
    path = HERE / "keras_autoencoder.onnx"
    model.export(path, format="onnx", verbose=False, opset_version=TORCH_OPSET)
    strip(path)
    errors = model.predict(rows, verbose=0)[:, 0]
    threshold = round(1.2 * float(errors[HEALTHY].max()), 3)
    yield "keras_autoencoder", {"alarm": "above", "threshold": threshold}, errors >= threshold


def write_refused(rows: Rows) -> None:
    """A classifier whose "probabilities" are none, and whose signs are the wrong way round."""
    known = np.concatenate([rows[HEALTHY], rows[WORN]])
    svc = SVC().fit(known, np.repeat(["healthy", "worn"], [500, 280]))
    save("support_vectors", svc, rows, zipmap=False)


def save(name: str, model: BaseEstimator, rows: Rows, **options: object) -> None:
    exported = to_onnx(
        model, rows[:1], target_opset=OPSET, options={id(model): options} if options else None
    )
    (HERE / f"{name}.onnx").write_bytes(exported.SerializeToString())


def export(name: str, model: torch.nn.Module, output: str) -> None:
    path = HERE / f"{name}.onnx"
    torch.onnx.export(
        model,
        (torch.zeros(1, WINDOW, 4),),
        path,
        input_names=["rows"],
        output_names=[output],
        opset_version=TORCH_OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    strip(path)


def strip(path: Path) -> None:
    """Leave out where in a source each node comes from: paths of a machine, and most bytes."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, path)


def windows(rows: Rows) -> Rows:
    """Each row with those before it, oldest first; from the first that has enough of them."""
    return np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0).transpose(0, 2, 1).copy()


if __name__ == "__main__":
    main()
