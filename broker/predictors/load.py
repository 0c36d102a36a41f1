"""Finds a black box by its name, and tries it before the broker starts."""

import functools
import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import cast

from broker.errors import PredictorError
from broker.model import Sample
from broker.predictors import BlackBox, Predictor

ENTRY_POINTS = "quartet.predictors"

BUILT_IN = {
    "chart": "broker.predictors.chart.charts:Chart",
    "limits": "broker.predictors.limits:Limits",
    "onnx": "broker.predictors.onnx:Onnx",
    "parity": "broker.predictors.parity:Parity",
}

# 64 bits: nobody makes them collide by accident, and a person can compare them.
_DIGEST_DIGITS = 16

_TRIAL = Sample(0, (0.0, 0.0, 0.0, 0.0))


def load(name: str, options: Mapping[str, object]) -> BlackBox:
    """Find a built-in, an entry point or a `module:Class`.

    One instance is made, asked for a prediction and thrown away; PredictorError,
    with the reason, for a black box that does not come so far.
    """
    kind = _find(name)
    if not (callable(kind) and callable(getattr(kind, "predict", None))):
        raise PredictorError(f"predictor {name}: is no class with a method predict(sample)")
    make = functools.partial(cast("type[Predictor]", kind), **options)
    try:
        prediction = make().predict(_TRIAL)
    except (Exception, SystemExit) as error:
        raise PredictorError(
            f"predictor {name}: failed on a trial with {_TRIAL.values}: {_reason(error)}"
        ) from error
    # Also numpy's own booleans, which are no bool.
    if type(prediction).__name__ not in ("bool", "bool_"):
        raise PredictorError(f"predictor {name}: predict() returned {prediction!r}, not a bool")
    return BlackBox(make, _digest(name, kind, options))


def _find(name: str) -> object:
    try:
        return _entry_point(name).load()
    except PredictorError:
        raise
    except (Exception, SystemExit) as error:
        raise PredictorError(f"predictor {name}: cannot be imported: {_reason(error)}") from error


def _entry_point(name: str) -> EntryPoint:
    if ":" in name:
        if not all(name.split(":")):
            raise PredictorError(f"predictor {name}: cannot be imported: expected module:Class")
        # A person tries a file in the working directory, which a console script does not search.
        sys.path.insert(0, str(Path.cwd()))
        return EntryPoint(name, name, ENTRY_POINTS)
    if name in BUILT_IN:
        return EntryPoint(name, BUILT_IN[name], ENTRY_POINTS)
    installed = entry_points(group=ENTRY_POINTS)
    if name not in installed.names:
        known = ", ".join(sorted({*BUILT_IN, *installed.names}))
        raise PredictorError(
            f"predictor {name}: is not known; known are {known}, or give module:Class"
        )
    return installed[name]


def _digest(name: str, kind: object, options: Mapping[str, object]) -> str:
    """Tell a black box by its source, its name, its options and its model.

    The source is that of its module and, if that is part of a package, of those beside it. What
    else it imports or reads from files is not seen.
    """
    module = sys.modules.get(getattr(kind, "__module__", ""))
    digest = hashlib.sha256()
    for source in _sources(module):
        digest.update(source.read_bytes())
    told = [getattr(kind, "__qualname__", ""), options]
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    if model := getattr(kind, "model", None):
        try:
            digest.update(model(**options))
        except (Exception, SystemExit) as error:
            raise PredictorError(f"predictor {name}: model(): {_reason(error)}") from error
    return digest.hexdigest()[:_DIGEST_DIGITS]


def _sources(module: ModuleType | None) -> list[Path]:
    file = Path(getattr(module, "__file__", None) or "")
    if module and module.__package__:
        return sorted(file.parent.glob("*.py"))
    return [file] if file.is_file() else []


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
