"""Alarms as runs of True answers."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.feed.alarms import Run, Tail
from broker.recorder.reader import Strip

many = settings(derandomize=True, deadline=None, max_examples=300)

S_NS = 10**9

Answer = tuple[int, bool, str | None]
"""When its sample was taken, in ns; the answer; what was said of it."""


def alarms(answers: Sequence[Answer], cuts: Sequence[int] = ()) -> list[Run]:
    """All alarms of a line, whose answers come in parts."""
    tail, found = Tail(), {}
    edges = [0, *sorted(cuts), len(answers)]
    for begin, end in itertools.pairwise(edges):
        part = answers[begin:end]
        at_ns, predictions, _ = zip(*part, strict=True) if part else ((), (), ())
        said = [(number, text) for number, (*_, text) in enumerate(part) if text]
        rows = [(0.0, 0.0, 0.0, 0.0)] * len(part)
        found.update(tail.follow(Strip("a", at_ns, predictions, rows, said)))
    return [found[begun] for begun in sorted(found)]


def at(*answers: tuple[float, bool] | tuple[float, bool, str]) -> list[Answer]:
    return [(round(s * S_NS), is_true, (*more, None)[0]) for s, is_true, *more in answers]


def shown(found: Sequence[Run]) -> list[tuple[float, float | None, int, str | None]]:
    return [
        (
            run.begun_at_ns / S_NS,
            None if run.is_open else run.latest_at_ns / S_NS,
            run.samples,
            run.reason,
        )
        for run in found
    ]


# Steps of time: a period, a pause, a night, a clock that is set back.
steps = st.sampled_from([100, 100, 100, 5_000, 11_000, 100_000, 3_600_000, -50, -3_600_000])
answers = st.lists(
    st.tuples(steps, st.booleans(), st.none() | st.sampled_from(["one", "two"])), max_size=40
)


@many
@given(answers, st.lists(st.integers(0, 40), max_size=8))
def test_parts_of_any_size_give_the_same_alarms(
    steps: list[tuple[int, bool, str | None]], cuts: list[int]
) -> None:
    now_ns, script = 10**18, []
    for step_ms, is_true, text in steps:
        now_ns += step_ms * 10**6
        script.append((now_ns, is_true, text))
    assert shown(alarms(script, cuts)) == shown(alarms(script))
    assert sum(run.is_open for run in alarms(script)) == bool(script and script[-1][1])
    # None is left out, and none counted twice, unless a clock was set back to a beginning.
    begun = [run.begun_at_ns for run in alarms(script)]
    if all(step > 0 for step, *_ in steps):
        assert sum(run.samples for run in alarms(script)) == sum(each[1] for each in script)
        assert begun == sorted(begun)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], []),
        ([(0, False), (1, False)], []),
        ([(0, False), (1, True), (2, True), (3, False)], [(1, 2, 2, None)]),
        # Until the next False it is open.
        ([(0, True)], [(0, None, 1, None)]),
        # Soon again: the same. Ten seconds later: another.
        ([(0, True), (0.1, False), (9.9, True), (10, False)], [(0, 9.9, 2, None)]),
        (
            [(0, True), (0.1, False), (10.0, True), (10.1, False)],
            [(0, 0, 1, None), (10, 10, 1, None)],
        ),
        # A line with a long period is given three of them.
        (
            [(0, False), (100, True), (200, False), (300, True), (400, False)],
            [(100, 300, 2, None)],
        ),
        (
            [(0, False), (100, True), (200, False), (300, False), (400, True), (500, False)],
            [(100, 100, 1, None), (400, 400, 1, None)],
        ),
        # A night without samples is no period.
        (
            [(0, True), (0.1, False), (0.2, False), (30_000, True), (30_000.1, False)],
            [(0, 0, 1, None), (30_000, 30_000, 1, None)],
        ),
        # Without a False between them it is one run, however long nothing came.
        ([(0, True), (30_000, True), (30_001, False)], [(0, 30_000, 2, None)]),
        # The first explanation in it, also a few rows later; none of a False answer.
        (
            [
                *((0, False, "calm"), (1, True), (2, True, "T2"), (3, True, "T4")),
                *((4, False, "over"), (5, True, "again"), (6, False)),
            ],
            [(1, 5, 4, "T2")],
        ),
        ([(0, True), (1, False, "over")], [(0, 0, 1, None)]),
        # The clock is set back amid it: another alarm, at another time.
        (
            [(5000, True), (1000, True), (1001, False)],
            [(1000, 1000, 1, None), (5000, 5000, 1, None)],
        ),
    ],
)
def test_an_alarm_is_a_run_and_what_follows_soon(
    answers: list[tuple[float, bool]], expected: list[tuple[float, float | None, int, str | None]]
) -> None:
    assert shown(alarms(at(*answers))) == expected
