"""Finds a black box by its name, and tries it before the broker starts."""

import ast
import functools
import hashlib
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Mapping
from importlib.util import resolve_name
from pathlib import Path
from typing import cast

from broker.errors import PredictorError
from broker.model import Sample
from broker.predictors import BlackBox, Predictor
from broker.predictors.options import check_options
from quartet.foreign import described, shown

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

    A module is looked for in the working directory, among what is installed and, after that, in
    `predictors` of the directory where systemd keeps a service's configuration.

    One instance is made, asked for a prediction and thrown away; PredictorError,
    with the reason, for a black box that does not come so far.
    """
    kind = _find(name)
    if not (callable(kind) and callable(getattr(kind, "predict", None))):
        raise PredictorError(f"predictor {name}: is not a class with a method predict(sample)")
    check_options(name, kind, options)
    make = functools.partial(cast("type[Predictor]", kind), **options)
    try:
        prediction = make().predict(_TRIAL)
    except PredictorError as error:  # of a built-in one: its text is for a person
        raise PredictorError(f"predictor {name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise PredictorError(
            f"predictor {name}: failed on a trial with {_TRIAL.values}: {described(error)}"
        ) from error
    # Also numpy's own booleans, which are no bool.
    if type(prediction).__name__ not in ("bool", "bool_"):
        raise PredictorError(
            f"predictor {name}: predict() returned {shown(repr(prediction))}, not a bool"
        )
    return BlackBox(make, _digest(name, kind, options))


def _find(name: str) -> object:
    try:
        return _load(name)
    except PredictorError:
        raise
    except (Exception, SystemExit) as error:
        raise PredictorError(f"predictor {name}: cannot be imported: {described(error)}") from error


def _load(name: str) -> object:
    if ":" in name:
        if not all(name.split(":")):
            raise PredictorError(f"predictor {name}: cannot be imported: expected module:Class")
        # A person tries a file in the working directory, which a console script does not search.
        sys.path.insert(0, str(Path.cwd()))
        if directory := os.environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0]:
            sys.path.append(str(Path(directory, "predictors")))
        return pkgutil.resolve_name(name)
    if name in BUILT_IN:
        return pkgutil.resolve_name(BUILT_IN[name])
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs 1.6 MB

    installed = entry_points(group=ENTRY_POINTS)
    if name not in installed.names:
        known = ", ".join(sorted({*BUILT_IN, *installed.names}))
        raise PredictorError(f"predictor {name}: is not known; use {known}, or module:Class")
    return installed[name].load()


def _digest(name: str, kind: object, options: Mapping[str, object]) -> str:
    """Tell a black box by its code, its options and its model.

    Its code by its name and the number of its algorithm, where its author gives one; else by its
    source: that of its module, and of what that imports of its own top-level package. What else
    it imports or reads from files is not seen. An inherited number tells nothing of what the
    class itself adds.
    """
    digest = hashlib.sha256()
    algorithm = getattr(kind, "__dict__", {}).get("algorithm")
    if algorithm is None:
        sources: dict[str, bytes] = {}
        _add_sources(getattr(kind, "__module__", ""), sources)
        for _, source in sorted(sources.items()):
            digest.update(hashlib.sha256(source).digest())
        told = [getattr(kind, "__qualname__", ""), options]
    elif isinstance(algorithm, int | str) and not isinstance(algorithm, bool):
        told = [name, {"algorithm": algorithm}, options]
    else:
        raise PredictorError(
            f"predictor {name}: algorithm must be an int or a str, got {shown(repr(algorithm))}"
        )
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    if inspect.ismethod(model := getattr(kind, "model", None)):
        try:
            digest.update(model(**options))
        except (Exception, SystemExit) as error:
            raise PredictorError(f"predictor {name}: model(): {described(error)}") from error
    return digest.hexdigest()[:_DIGEST_DIGITS]


def _add_sources(name: str, sources: dict[str, bytes]) -> None:
    """Take the source of a module, and of each one that it imports of its top-level package."""
    module = sys.modules.get(name)
    file = Path(getattr(module, "__file__", None) or "")
    if module is None or name in sources or file.suffix != ".py":
        return
    sources[name] = file.read_bytes()
    for node in ast.walk(ast.parse(sources[name])):
        used: list[str] = []
        if isinstance(node, ast.Import):
            used = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), module.__package__)
            used = [base, *(f"{base}.{each.name}" for each in node.names)]
        for each in used:
            if each.partition(".")[0] == name.partition(".")[0]:
                _add_sources(each, sources)
