"""The default black box, row by row."""

import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.rows import FAILED, LEVEL, NAN, at, float32, moved, noise, told, warm

from broker.errors import PredictorError
from broker.predictors import explains, is_stateful, measures
from broker.predictors.chart.charts import Chart
from broker.predictors.load import load
from quartet.channels import Values

many = settings(derandomize=True, deadline=None, max_examples=40)
few = settings(derandomize=True, deadline=None, max_examples=15)

INF = float("inf")

channels = st.integers(0, 3)


def unbroken(state: bytes) -> bytes:
    """A snapshot as if no row had failed, and with 0 as the id of the latest."""
    return state[:1] + bytes(9) + state[10:]


# Warm-up


def test_the_first_300_rows_are_false_and_then_there_is_a_baseline() -> None:
    answers = told(Chart(), list(noise(301)))
    assert answers[:299] == [(False, None)] * 299
    assert answers[299] == (False, "baseline learned, after 300 rows")
    assert answers[300] == (False, None)


@few
@given(st.floats(5, 150), st.floats(-200, 200), channels)
def test_a_level_that_still_moves_is_waited_for_within_bounds(
    rows: float, spreads: float, channel: int
) -> None:
    run_in = [
        moved(row, channel, spreads * math.exp(-number / rows))
        for number, row in enumerate(noise(480))
    ]
    answers = told(Chart(), run_in)
    news = [(number, text) for number, (_, text) in enumerate(answers, 1) if text]
    learned_at, text = news[0]
    assert learned_at in range(300, 481, 30)
    assert text.startswith(f"baseline learned, after {learned_at} rows")
    assert not any(answer for answer, _ in answers[:learned_at])
    assert (", though the level of" in text) <= (learned_at == 480)


@few
@given(st.sets(channels, min_size=1).map(sorted))
def test_a_warm_up_that_never_settles_ends_and_names_what_still_moves(which: list[int]) -> None:
    ramp: list[Values] = []
    for number, row in enumerate(noise(600)):
        for channel in which:
            row = moved(row, channel, number / 10)  # noqa: PLW2901
        ramp.append(row)
    answers = told(Chart(), ramp)
    names = ", ".join(f"sensor{channel + 1}" for channel in which)
    assert answers[479] == (
        False,
        f"baseline learned, after 480 rows, though the level of {names} still moves",
    )
    assert [text for _, text in answers[:479]] == [None] * 479


# What happens to a line

segments = st.lists(
    st.tuples(st.sampled_from(["noise", "step", "shift", "failed", "spike"]), st.integers(1, 60)),
    min_size=1,
    max_size=6,
)


def acted(script: list[tuple[str, int]], rows: list[Values]) -> list[Values]:
    """The rows as the script has them, in their order; those that it does not reach are noise."""
    number = 0
    for kind, count in script:
        for place in range(number, min(number + count, len(rows))):
            if kind == "failed":
                rows[place] = FAILED
            elif kind in {"step", "shift"}:  # an alarm, and what only stretches the limits
                rows[place] = moved(rows[place], 1, 9.0 if kind == "step" else 2.5)
        if kind == "spike" and number < len(rows):
            rows[number] = at(rows[number], 2, 1e30)
        number += count
    return rows


@many
@given(segments, segments)
def test_charts_know_nothing_of_each_other_and_of_ids(
    one: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    scripts = [
        acted([("noise", 300), *script], list(noise(420, seed=seed)))
        for seed, script in enumerate((one, other))
    ]
    alone = [told(Chart(), rows) for rows in scripts]
    first, second = Chart(), Chart()
    together = [
        (told(first, [left], 7 * number), told(second, [right], -number))
        for number, (left, right) in enumerate(zip(*scripts, strict=True))
    ]
    assert [answer for (answer,), _ in together] == alone[0]
    assert [answer for _, (answer,) in together] == alone[1]


@pytest.mark.parametrize(
    "state", [b"", b"\2" * 11, warm().snapshot()[:-1], b"\1" + warm().snapshot()[1:]]
)
def test_what_is_no_snapshot_is_refused(state: bytes) -> None:
    with pytest.raises(struct.error):
        Chart().restore(state)


# Rows that are no measurement

failures = st.tuples(st.sampled_from([NAN, INF, -INF]), st.sets(channels, min_size=1).map(sorted))


@many
@given(
    script=st.lists(failures, min_size=1, max_size=9),
    before=st.integers(0, 420),
    alarmed=st.booleans(),
)
@example(script=[(NAN, [0])] * 3, before=299, alarmed=False)
def test_failed_rows_repeat_the_answer_are_true_from_the_third_on_and_touch_nothing_else(
    script: list[tuple[float, list[int]]], before: int, alarmed: bool
) -> None:
    chart = Chart()
    rows = list(noise(before))
    if alarmed:
        rows[400:] = [moved(row, 0, 9.0) for row in rows[400:]]
    *_, last = False, *(answer for answer, _ in told(chart, rows))
    state = chart.snapshot()
    for number, (value, which) in enumerate(script, 1):
        row: Values = LEVEL
        for channel in which:
            row = at(row, channel, value)
        ((answer, text),) = told(chart, [row])
        assert answer is (number >= 3 or last)
        names = ", ".join(f"sensor{channel + 1}" for channel in which)
        assert text == (f"{names}: no value, 3 rows in a row" if number == 3 else None)
        assert unbroken(chart.snapshot()) == unbroken(state)
    other = Chart()
    other.restore(unbroken(state))
    rest = list(noise(100, seed=5))
    (_, text), *later = told(chart, rest)
    (_, besides), *expected = told(other, rest)
    again = "all sensors have values again" if len(script) >= 3 else None
    assert text == ("; ".join(filter(None, (again, besides))) or None)
    assert later == expected


def test_a_sensor_that_is_dead_for_years_does_not_outgrow_a_snapshot() -> None:
    chart = warm()
    for failed in range(1, 5):
        told(chart, [FAILED])
        assert struct.unpack_from("<B", chart.snapshot(), 1) == (min(failed, 3),)


@many
@given(st.tuples(*[st.integers(-30, 30)] * 4), segments)
def test_the_unit_of_a_channel_does_not_matter(
    powers: tuple[int, ...], script: list[tuple[str, int]]
) -> None:
    rows = acted([("noise", 305), *script], list(noise(400)))
    scaled = [float32([math.ldexp(v, n) for v, n in zip(row, powers, strict=True)]) for row in rows]
    assert told(Chart(), scaled) == told(Chart(), rows)


# As a broker makes it


@pytest.mark.parametrize("name", ["t2_limit", "mewma_limit"])
@pytest.mark.parametrize("limit", [0, -1.0, NAN, "20", [20.0], None, True])
def test_a_limit_that_is_no_positive_number_is_refused_by_its_name(
    name: str, limit: object
) -> None:
    with pytest.raises(PredictorError) as raised:
        load("chart", {name: limit})
    assert f"{name} must be a number above 0, got {limit!r}" in str(raised.value)


def test_an_unknown_option_is_refused_by_its_name() -> None:
    with pytest.raises(PredictorError, match="limit: unknown option; did you mean 't2_limit'"):
        load("chart", {"limit": 3.0})


def test_smaller_limits_alarm_earlier() -> None:
    step = [moved(row, 1, 9.0) for row in noise(30, seed=4)]
    counts = []
    for options in ({}, {"t2_limit": 5.0, "mewma_limit": 5.0}, {"t2_limit": 1e6}):
        chart = load("chart", options).make()
        assert isinstance(chart, Chart)
        told(chart, list(noise(350)))
        counts.append(sum(answer for answer, _ in told(chart, step)))
    assert counts[1] >= counts[0] > counts[2]


def test_a_chart_tells_its_state_its_reasons_and_its_numbers() -> None:
    chart = Chart()
    assert is_stateful(chart)
    assert explains(chart)
    assert measures(chart)
    assert chart.statistics() == {}
