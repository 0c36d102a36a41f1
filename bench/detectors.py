"""Detectors that one might take in place of the black box `chart`, each made into a black box."""

import functools
import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from river import anomaly, base, compose, drift, preprocessing

from broker.model import Sample
from quartet.channels import Values

# What `chart` takes, where no level moves: learned from, and answered False.
WARM_UP_ROWS = 300

# The counter of `chart`: that many hot rows are an alarm, that many more cold than hot its end.
_ALARM_AT, _ALARM_ENDS_AFTER = 4, 12

# A drift is a moment, an alarm is a time: twice what counts as sustained.
_HELD_ROWS = 20

_CHANNELS = ("sensor1", "sensor2", "sensor3", "sensor4")
# River's examples have it; any other would do.
_SEED = 42


class Detector(Protocol):
    """Tells hot rows from cold ones."""

    def hot(self, values: Values, warm: bool) -> bool:
        """Whether a row is unlike those before; heeded, once it is warm. Learns from the row."""
        ...


class Answering:
    """A detector as a black box: False in the warm-up, then True where it is hot."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._seen = 0

    def predict(self, sample: Sample) -> bool:
        self._seen += 1
        warm = self._seen > WARM_UP_ROWS
        return self._detector.hot(sample.values, warm) and warm


class Counting(Answering):
    """The same behind the counter of `chart`: no single row begins or ends an alarm."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector)
        self._count = 0
        self._alarm = False

    def predict(self, sample: Sample) -> bool:
        if super().predict(sample):
            self._count = min(self._count + 1, _ALARM_ENDS_AFTER)
            if not self._alarm and self._count >= _ALARM_AT:
                self._alarm, self._count = True, _ALARM_ENDS_AFTER
        else:
            self._count = max(self._count - 1, 0)
            self._alarm = self._alarm and self._count > 0
        return self._alarm


class ZScore:
    """Hot: a channel is more than `limit` standard deviations off its mean in the warm-up."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._rows: list[Values] = []
        self._learned: list[tuple[float, float]] = []

    def hot(self, values: Values, warm: bool) -> bool:
        if not warm:
            self._rows.append(values)
            return False
        if not self._learned:
            columns = zip(*self._rows, strict=True)
            self._learned = [(statistics.fmean(each), statistics.stdev(each)) for each in columns]
        return any(
            abs(value - mean) > self._limit * deviation
            for value, (mean, deviation) in zip(values, self._learned, strict=True)
        )


class Gaussian:
    """River's GaussianScorer for each channel; `protected`: a hot value is not learned."""

    def __init__(self, threshold: float, protected: bool) -> None:
        self._threshold = threshold
        self._protected = protected
        self._scorers = [anomaly.GaussianScorer() for _ in _CHANNELS]

    def hot(self, values: Values, warm: bool) -> bool:
        any_hot = False
        for scorer, value in zip(self._scorers, values, strict=True):
            hot = warm and scorer.score_one(None, value) > self._threshold
            if not (hot and self._protected):
                scorer.learn_one(None, value)
            any_hot = any_hot or hot
        return any_hot


class HalfSpaceTrees:
    """River's HalfSpaceTrees behind its MinMaxScaler, in its QuantileFilter.

    `learns` from "all" rows, from "cold" ones (the filter's protection), or in the "warm-up" only.
    """

    def __init__(self, q: float, window_rows: int, learns: str) -> None:
        trees = anomaly.HalfSpaceTrees(window_size=window_rows, seed=_SEED)
        self._filter = anomaly.QuantileFilter(trees, q, protect_anomaly_detector=learns != "all")
        self._model = compose.Pipeline(preprocessing.MinMaxScaler(), self._filter)
        self._learns = learns

    def hot(self, values: Values, warm: bool) -> bool:
        row = dict(zip(_CHANNELS, values, strict=True))
        hot = bool(self._filter.classify(self._model.score_one(row)))
        if not warm or self._learns != "warm-up":
            self._model.learn_one(row)
        return hot


class Drift:
    """One of river's drift detectors for each channel; hot: some rows from a drift on.

    It sees what river's StandardScaler makes of a channel by its warm-up, and begins after that.
    """

    def __init__(self, kind: Callable[..., base.DriftDetector], **options: float) -> None:
        self._drifts = [kind(**options) for _ in _CHANNELS]
        self._scaler = preprocessing.StandardScaler()
        self._left = 0

    def hot(self, values: Values, warm: bool) -> bool:
        row = dict(zip(_CHANNELS, values, strict=True))
        if not warm:
            self._scaler.learn_one(row)
            return False
        self._left -= 1
        scaled = self._scaler.transform_one(row)
        for channel, each in zip(_CHANNELS, self._drifts, strict=True):
            each.update(scaled[channel])
            if each.drift_detected:
                self._left = _HELD_ROWS
        return self._left > 0


_PAGE_HINKLEY = functools.partial(Drift, drift.PageHinkley)
_ADWIN = functools.partial(Drift, drift.ADWIN)


@dataclass(frozen=True, slots=True)
class Form:
    """A detector with its options."""

    answers: Callable[[Detector], Answering]
    kind: Callable[..., Detector]
    options: Mapping[str, object]

    def __call__(self) -> Answering:
        """Give a fresh black box."""
        return self.answers(self.kind(**self.options))

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.options.items())


def _forms(
    answers: Callable[[Detector], Answering],
    kind: Callable[..., Detector],
    **choices: tuple[object, ...],
) -> list[Form]:
    """Every combination."""
    rows = itertools.product(*choices.values())
    return [Form(answers, kind, dict(zip(choices, row, strict=True))) for row in rows]


# Tried: river's defaults and what its examples use, and what turned out to do better.
FORMS = {
    "z-score, counted": _forms(Counting, ZScore, limit=(3, 4, 5, 6)),
    "GaussianScorer": _forms(
        Counting, Gaussian, threshold=(0.995, 0.9973, 0.9999, 0.999999), protected=(False, True)
    ),
    "PageHinkley": _forms(
        Answering, _PAGE_HINKLEY, delta=(0.005, 1, 2, 3), threshold=(25, 50, 100, 200)
    ),
    "ADWIN": _forms(Answering, _ADWIN, delta=(2e-3, 1e-10, 1e-20, 1e-30, 1e-60), clock=(1, 32)),
    "HalfSpaceTrees": _forms(
        Counting,
        HalfSpaceTrees,
        q=(0.95, 0.99),
        window_rows=(50, 100, 150, 250),
        learns=("all", "cold", "warm-up"),
    ),
}

# The best of each, by `python -m bench.detection --choose`.
CHOSEN = {
    "z-score, counted": Form(Counting, ZScore, {"limit": 5}),
    "GaussianScorer": Form(Counting, Gaussian, {"threshold": 0.9999, "protected": True}),
    "PageHinkley": Form(Answering, _PAGE_HINKLEY, {"delta": 2, "threshold": 50}),
    "ADWIN": Form(Answering, _ADWIN, {"delta": 1e-30, "clock": 1}),
    "HalfSpaceTrees": Form(
        Counting, HalfSpaceTrees, {"q": 0.95, "window_rows": 100, "learns": "warm-up"}
    ),
}
