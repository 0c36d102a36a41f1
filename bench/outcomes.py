"""What a predictor makes of a recording, in figures."""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.recordings import Recording
from broker.model import Sample
from broker.predictors import Predictor, explains

Bools = NDArray[np.bool_]
Job = TypeVar("Job")
Result = TypeVar("Result")

# Rows in a row that make an alarm a sustained one.
_SUSTAINED_ROWS = 10

# A change that lasts is an alarm for 300 rows, and for some more where it overshot at first.
SETTLED_AFTER_ROWS = 450

# By then `chart` has learned, whatever its warm-up held.
_LEARNED_AFTER_ROWS = 500

# Rows become a list of Python floats in groups of this size, as such lists are large.
_BLOCK_ROWS = 50_000

# How an explanation says that a change was accepted, followed, or taken back.
_TOLD = re.compile("settled|steady|follow|drift|former level|return")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one predictor made of one recording; None: it does not tell, or there is nothing."""

    alarmed: bool
    """True in any row between the change and what is worse."""
    delay: int | None
    """Rows from the change to the first True."""
    true: float
    """Share of the rows from 450 after the change on, up to what is worse."""
    alarms: int
    """From False to True, up to what is worse."""
    told: bool | None
    """From the change on, an explanation says that it settled, or is a return."""
    new: bool | None
    """An alarm began after what is worse."""
    after: int | None
    """Rows from what is worse to that; to the end, where there is none."""
    last: bool
    """True in the last row."""
    spread: float | None
    """The learned spread to that of the undisturbed recording, in the channel with the most."""


def delay_rows(answers: list[bool], onset: int) -> int | None:
    """Rows from the onset to the first row from which on enough are True; None: there is none."""
    in_a_row = 0
    for row, answer in enumerate(answers[onset:], start=1):
        in_a_row = in_a_row + 1 if answer else 0
        if in_a_row == _SUSTAINED_ROWS:
            return row - _SUSTAINED_ROWS
    return None


def judge(make: Callable[[], Predictor], recording: Recording) -> Outcome:
    """Show a recording to a fresh predictor, row by row."""
    changed, worse = recording.changed, recording.worse
    answers, told = _shown(make(), recording)
    rows = len(answers)
    until = rows if worse is None else worse
    settled = (recording.settles or changed) + SETTLED_AFTER_ROWS
    begins = np.flatnonzero(np.diff(answers, prepend=False) & answers)
    first = np.flatnonzero(answers[changed:until])
    new = begins[begins >= until]
    return Outcome(
        alarmed=bool(len(first)),
        delay=int(first[0]) if len(first) else None,
        true=float(np.mean(answers[settled:until])),
        alarms=int(np.sum(begins < until)),
        told=None if told is None else any(changed <= row < until for row in told),
        new=None if worse is None else bool(len(new)),
        after=None if worse is None else int(new[0] if len(new) else rows) - worse,
        last=bool(answers[-1]),
        spread=_spread_ratio(make, recording),
    )


def _shown(predictor: Predictor, recording: Recording) -> tuple[Bools, list[int] | None]:
    """The answers, and the rows whose explanation tells an end; None: nothing is explained."""
    answers = np.empty(len(recording.values), dtype=np.bool_)
    if not explains(predictor):
        for row, sample in enumerate(_samples(recording)):
            answers[row] = predictor.predict(sample)
        return answers, None
    told = []
    for row, sample in enumerate(_samples(recording)):
        answers[row] = predictor.predict(sample)
        if (text := predictor.explain()) and _TOLD.search(text):
            told.append(row)
    return answers, told


def _spread_ratio(make: Callable[[], Predictor], recording: Recording) -> float | None:
    """By what `chart` tells as its `spread`."""
    undisturbed = recording.undisturbed
    if undisturbed is None:
        return None
    spreads = []
    for values in (recording.values, undisturbed):
        predictor = make()
        _shown(predictor, Recording(values[:_LEARNED_AFTER_ROWS]))
        spreads.append(getattr(predictor, "spread", None))
    disturbed, usual = spreads
    if disturbed is None or usual is None:
        return None
    return float(max(one / other for one, other in zip(disturbed, usual, strict=True)))


def _samples(recording: Recording) -> Iterator[Sample]:
    """As the wire carries them."""
    row, id_ = 0, 0
    jump_row, jump_id = recording.jump or (-1, 0)
    values = recording.values.astype(np.float32)
    for begins in range(0, len(values), _BLOCK_ROWS):
        for a, b, c, d in values[begins : begins + _BLOCK_ROWS].tolist():
            if row == jump_row:
                id_ = jump_id
            yield Sample(id_, (a, b, c, d))
            row, id_ = row + 1, id_ + 1


def on_all_processors(function: Callable[[Job], Result], jobs: list[Job]) -> list[Result]:
    """Share the jobs out."""
    with multiprocessing.Pool(os.cpu_count(), _ignore_interrupts) as pool:
        return pool.map(function, jobs, chunksize=1)


def _ignore_interrupts() -> None:
    """Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
