"""Predictions beside the truth: which faults were found, how late, and what was a false alarm.

Counted row by row, the learning phase included. A fault that was found at one of its rows is not
counted as found at all of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Fault:
    """A run of rows that the truth calls faulty, from `first` and before `end`."""

    first: int
    end: int
    delay_rows: int | None
    """From its first row to the first True in it; None: it was missed."""
    delay_ns: int | None = None
    """The same by the recording's time, where that has one."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Rows by truth and prediction, the faults, and the runs of True outside any fault."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0
    faults: tuple[Fault, ...] = ()
    false_alarms: int = 0
    span_ns: int | None = None
    """Of the recording; None where it has no time."""

    @property
    def precision(self) -> float | None:
        """Of the rows that were True, the share that was faulty."""
        return _share(self.true_positives, self.false_positives)

    @property
    def recall(self) -> float | None:
        """Of the faulty rows, the share that was True."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        return _share(2 * self.true_positives, self.false_positives + self.false_negatives)

    @property
    def false_alarm_rate(self) -> float | None:
        """Of the rows that were not faulty, the share that was True."""
        return _share(self.false_positives, self.true_negatives)

    @property
    def found(self) -> int:
        """How many faults were noticed at all."""
        return sum(fault.delay_rows is not None for fault in self.faults)

    @property
    def median_delay_rows(self) -> float | None:
        """Of the faults that were found."""
        delays = [fault.delay_rows for fault in self.faults if fault.delay_rows is not None]
        return median(delays) if delays else None

    @property
    def false_alarms_a_day(self) -> float | None:
        """None where the recording has no time."""
        return self.false_alarms * _DAY_NS / self.span_ns if self.span_ns else None


def judge(
    answers: Sequence[int], truth: Sequence[int], times_ns: Sequence[int] | None = None
) -> Judgement:
    """Compare 0 or 1 for each row with the truth about it; times in Unix ns, where there are any.

    ValueError for different lengths.
    """
    cells = [0, 0, 0, 0]
    for answer, fault in zip(answers, truth, strict=True):
        cells[2 * bool(answer) + bool(fault)] += 1
    true_negatives, false_negatives, false_positives, true_positives = cells
    faults = tuple(_fault(answers, first, end, times_ns) for first, end in _runs(truth))
    false_alarms = sum(not any(truth[first:end]) for first, end in _runs(answers))
    return Judgement(
        true_positives,
        false_positives,
        false_negatives,
        true_negatives,
        faults,
        false_alarms,
        max(times_ns) - min(times_ns) if times_ns else None,
    )


def total(judgements: Iterable[Judgement]) -> Judgement:
    """Several recordings as one; without a span where one of them has no time."""
    all_ = list(judgements)
    spans = [each.span_ns for each in all_ if each.span_ns is not None]
    return Judgement(
        sum(each.true_positives for each in all_),
        sum(each.false_positives for each in all_),
        sum(each.false_negatives for each in all_),
        sum(each.true_negatives for each in all_),
        tuple(fault for each in all_ for fault in each.faults),
        sum(each.false_alarms for each in all_),
        sum(spans) if len(spans) == len(all_) else None,
    )


def _fault(answers: Sequence[int], first: int, end: int, times_ns: Sequence[int] | None) -> Fault:
    found = next((row for row in range(first, end) if answers[row]), None)
    if found is None:
        return Fault(first, end, None)
    return Fault(first, end, found - first, times_ns[found] - times_ns[first] if times_ns else None)


def _runs(flags: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first row of each run that is set, and the row behind it."""
    row = 0
    for is_set, run in groupby(flags, bool):
        first, row = row, row + sum(1 for _ in run)
        if is_set:
            yield first, row


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
