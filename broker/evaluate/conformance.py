"""What the broker asks of a black box, tried."""

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from broker.errors import EvaluationError
from broker.evaluate.replay import Evaluation, replay
from broker.model import Sample
from broker.predictors import BlackBox, Predictor, explains, is_stateful, measures
from broker.records import MAX_SNAPSHOT_BYTES
from quartet.channels import FLOAT32_MAX, Values, as_float32
from quartet.clock import Clock
from quartet.foreign import described, shown
from quartet.plural import counted
from quartet.recording import Recording

# More than any warm-up of a few hundred rows, and a change behind it that may be noticed.
_ROWS = 900
_CHANGE_AT = 700

# Where a snapshot is taken: early, around, and late; and in the change.
_CUTS = (0, 1, 2, 50, 299, 300, 301, 600, 720)

_RECORDING = "recording"

# The broker gives a stream so long at a time on its event loop.
_SLICE_US = 5000.0


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing went."""

    name: str
    outcome: Literal["passed", "failed", "skipped", "warning"]
    detail: str


@dataclass(frozen=True, slots=True)
class _Told:
    """All that a black box tells of a sample."""

    answer: bool
    said: str | None
    numbers: list[str]


class _FailedError(Exception):
    """What a black box does that it must not."""


class _SkippedError(Exception):
    """What cannot be tried on it, and need not be."""


class _DoubtfulError(Exception):
    """What it may do, and seldom does on purpose."""


def check(
    black_box: BlackBox, *, threads: int, slice_us: float = _SLICE_US, clock: Clock = time
) -> Iterator[Finding]:
    """Try all in turn; `threads` as configured: without any, a sample may take `slice_us`."""
    checks: list[tuple[str, Callable[[BlackBox], str]]] = [
        ("answers", _answers),
        ("time per sample", lambda black_box: _time(black_box, threads, slice_us, clock)),
        ("order", _order),
        ("purity", _purity),
        ("snapshot", _snapshot),
        ("failed readings", _failed_readings),
        ("constant input", _constant_input),
        ("huge input", _huge_input),
    ]
    for name, run in checks:
        try:
            detail = run(black_box)
        except _FailedError as error:
            yield Finding(name, "failed", str(error))
        except _SkippedError as error:
            yield Finding(name, "skipped", str(error))
        except _DoubtfulError as error:
            yield Finding(name, "warning", str(error))
        except (Exception, SystemExit) as error:  # it is a stranger's code
            yield Finding(name, "failed", f"raised {described(error)}")
        else:
            yield Finding(name, "passed", detail)


def check_recording(black_box: BlackBox, name: str, recording: Recording) -> Finding:
    """Whether it leaves a healthy machine alone, more or less; TableError for another file.

    The latter half counts by itself, too: in the first one a warm-up may hide what is to come.
    """
    evaluation = Evaluation(str(recording.path), name)
    try:
        replay(evaluation, recording, black_box, lambda _: None, lambda _: None, with_numbers=False)
    except EvaluationError as error:
        return Finding(_RECORDING, "failed", str(error))
    rows, true = len(evaluation.answers), evaluation.answers.count(1)
    late = evaluation.answers.count(1, rows // 2)
    told = f"True for {true} of {counted(rows, 'sample')} of {shown(recording.path)}"
    if 2 * true > rows or 2 * late > rows - rows // 2:
        return Finding(
            _RECORDING,
            "failed",
            f"{told}, {late} of them in its latter half: an alarm most of the time. Is its alarm"
            " the wrong way round, or did it learn from another machine?",
        )
    if not evaluation.is_warm:
        return Finding(_RECORDING, "warning", f"{told}: it was still learning at the end")
    return Finding(_RECORDING, "passed", told)


def _rows(seed: int) -> list[Values]:
    """Rows of a machine of no particular kind: noise that resembles itself, then a step."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    drift = [0.0] * 4
    rows = []
    for row in range(_ROWS):
        drift = [0.95 * each + 0.3 * chance.gauss(0, 1) for each in drift]
        change = 60.0 if row >= _CHANGE_AT else 0.0
        rows.append(
            as_float32(
                (
                    1.5 + 0.01 * (drift[0] + chance.gauss(0, 1) + change),
                    0.08 + 0.001 * (drift[1] + chance.gauss(0, 1)),
                    20.0 + 0.1 * (drift[2] + chance.gauss(0, 1)),
                    -3.0 + 0.05 * (drift[3] + chance.gauss(0, 1)),
                )
            )
        )
    return rows


def _answers(black_box: BlackBox) -> str:
    answers = _feed(black_box.make(), _rows(1))
    true = sum(told.answer for told in answers)
    if true in (0, len(answers)):
        raise _DoubtfulError(
            f"predicted {bool(true)} for all samples of the built-in test, so the checks below say"
            " little"
        )
    return f"{counted(len(answers), 'sample')}, {true} of them True"


def _order(black_box: BlackBox) -> str:
    ids = [*range(100), *range(250, 300), *range(400), 2**31 - 1, *range(100)]
    rows = itertools.cycle(_rows(1))
    _feed(black_box.make(), [next(rows) for _ in ids], ids)
    return "ids that jump ahead, and start at 0 again in a new session, are accepted"


def _purity(black_box: BlackBox) -> str:
    rows, others = _rows(1), _rows(2)
    alone = _feed(black_box.make(), rows)
    one, other = black_box.make(), black_box.make()
    beside = []
    for row, (values, strange) in enumerate(zip(rows, others, strict=True)):
        beside.append(_ask(one, Sample(row, values)))
        _ask(other, Sample(row, strange))
    if (at := _difference(alone, beside)) is not None:
        raise _FailedError(
            f"row {at} gets another answer beside another instance: instances share state, or"
            " use the time or random numbers"
        )
    return "two agents do not affect each other, and the same rows get the same answers"


def _snapshot(black_box: BlackBox) -> str:
    predictor = black_box.make()
    if not is_stateful(predictor):
        raise _SkippedError(
            "no snapshot() and restore(): after a restart, recent samples are replayed instead"
        )
    rows = _rows(1)
    answers = _feed(black_box.make(), rows)
    largest = 0
    for row, values in enumerate(rows):
        if row in _CUTS:
            state = predictor.snapshot()
            if not isinstance(state, bytes):
                raise _FailedError(f"snapshot() returned {type(state).__name__}, not bytes")
            largest = max(largest, len(state))
            again = black_box.make()
            if not is_stateful(again):
                raise _FailedError("one instance has snapshot() and restore(), another has not")
            again.restore(state)
            rest = _feed(again, rows[row:], range(row, len(rows)))
            if (at := _difference(answers[row:], rest)) is not None:
                raise _FailedError(
                    f"restored after row {row}, row {row + at} gets another answer: the"
                    " snapshot is not the whole state"
                )
        if _ask(predictor, Sample(row, values)) != answers[row]:
            raise _FailedError(f"row {row} gets another answer after a snapshot was taken")
    if largest > MAX_SNAPSHOT_BYTES:
        raise _FailedError(f"{largest} bytes, but at most {MAX_SNAPSHOT_BYTES} are allowed")
    return f"restored equals continued, after {len(_CUTS)} cuts; at most {largest} bytes"


def _failed_readings(black_box: BlackBox) -> str:
    good, nan = _rows(1), math.nan
    _feed(black_box.make(), [(nan, nan, nan, nan)] * 400)
    once: list[Values] = [(first, nan, third, fourth) for first, _, third, fourth in good[600:650]]
    _feed(black_box.make(), [*good[:600], *once, *good[650:]])
    return "NaN from the first row on, and on one channel later"


def _constant_input(black_box: BlackBox) -> str:
    for row in [(0, 0, 0, 0), (1.5, 1.5, 1.5, 1.5), (0, -3, 1.5, 1e-6)]:
        values = as_float32(row)
        predictor = black_box.make()
        _feed(predictor, [values] * 600)
        _feed(predictor, _rows(1))
    return "all zeros, all equal, and moving values after that"


def _huge_input(black_box: BlackBox) -> str:
    most, endless = FLOAT32_MAX, math.inf
    huge: list[Values] = [(most, -most, most, -most), (endless, -endless, most, 0.0)]
    predictor = black_box.make()
    _feed(predictor, [*_rows(1)[:600], *huge * 20, *_rows(1)[600:]])
    _feed(black_box.make(), huge * 300)
    return "up to the largest float32, and infinite"


def _time(black_box: BlackBox, threads: int, slice_us: float, clock: Clock) -> str:
    predictor = black_box.make()
    took_us = []
    for row, values in enumerate(_rows(1)):
        begin_ns = clock.monotonic_ns()
        predictor.predict(Sample(row, values))
        took_us.append((clock.monotonic_ns() - begin_ns) / 1e3)
    p99_us = statistics.quantiles(took_us, n=100, method="inclusive")[-1]
    told = f"median {statistics.median(took_us):.1f} us, p99 {p99_us:.1f} us"
    if p99_us > slice_us and not threads:
        raise _FailedError(f"{told}: it would delay all agents: set predictor.threads = 2 or more")
    return told


def _feed(
    predictor: Predictor, rows: Sequence[Values], ids: Iterable[int] | None = None
) -> list[_Told]:
    numbered = zip(ids or itertools.count(), rows, strict=False)
    return [_ask(predictor, Sample(number, values)) for number, values in numbered]


def _ask(predictor: Predictor, sample: Sample) -> _Told:
    try:
        answer = predictor.predict(sample)
    except (Exception, SystemExit) as error:
        raise _FailedError(
            f"raised {described(error)}, with id {sample.id} and {sample.values}"
        ) from error
    # Also numpy's own booleans, which are no bool.
    if type(answer).__name__ not in ("bool", "bool_"):
        raise _FailedError(
            f"predict() returned {shown(repr(answer))}, not a bool, for {sample.values}"
        )
    return _Told(bool(answer), *_listen(predictor, sample))


def _listen(predictor: Predictor, sample: Sample) -> tuple[str | None, list[str]]:
    """What is said and shown beside an answer, where it is offered."""
    where = f"with id {sample.id} and {sample.values}"
    try:
        said = predictor.explain() if explains(predictor) else None
        numbers = predictor.statistics() if measures(predictor) else {}
        flat = [
            repr(float(number)) for value, limit in numbers.values() for number in (value, limit)
        ]
    except (Exception, SystemExit) as error:
        raise _FailedError(
            f"explain() or statistics() raised {described(error)}, {where}"
        ) from error
    if not isinstance(said, str | None):
        raise _FailedError(
            f"explain() returned {shown(repr(said))}, neither a str nor None, {where}"
        )
    return said, flat


def _difference(some: Sequence[_Told], others: Sequence[_Told]) -> int | None:
    pairs = enumerate(zip(some, others, strict=True))
    return next((row for row, (one, other) in pairs if one != other), None)
