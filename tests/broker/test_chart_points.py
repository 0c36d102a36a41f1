"""Charts whose points are means of several rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import FAILED, LEVEL, at, moved, noise, told

from broker.errors import PredictorError
from broker.predictors.chart.charts import Chart
from broker.predictors.load import load

many = settings(derandomize=True, deadline=None, max_examples=20)


@pytest.mark.parametrize("average", [2, 5])
def test_a_point_is_the_mean_of_so_many_rows_and_the_answer_holds_until_the_next(
    average: int,
) -> None:
    rows = list(noise(400))
    rows[350:370] = [moved(row, 0, 9.0) for row in rows[350:370]]
    one, many_rows = Chart(), Chart(average=average)
    expected = told(one, rows)
    got = told(many_rows, [row for row in rows for _ in range(average)])
    assert got[average - 1 :: average] == [
        (answer, text and text.replace("300 rows", f"{300 * average} rows"))
        for answer, text in expected
    ]
    for between in range(average - 1):
        before = [(False, None), *((answer, None) for answer, _ in expected)]
        assert got[between::average] == before[:-1]
    assert many_rows.statistics() == one.statistics()


def test_rows_that_differ_are_averaged() -> None:
    chart = Chart(average=4)
    answers = told(chart, list(noise(4 * 301)))
    assert answers[1199] == (False, "baseline learned, after 1200 rows")
    # 4 spreads of a row, which T2 lets pass, are 8 of a mean of four.
    shifted = [moved(row, 2, 4.0) for row in noise(4 * 40, seed=3)]
    assert next(text for _, text in told(chart, shifted) if text).startswith("alarm: ")


@many
@given(st.integers(0, 1000), st.integers(2, 5), st.booleans())
def test_a_chart_goes_on_from_within_a_point(cut: int, average: int, failed: bool) -> None:
    rows = list(noise(1100))
    if failed:
        rows[max(0, cut - 2) : cut + 1] = [FAILED] * 3
    one, other = Chart(average=average), Chart(average=average)
    told(one, rows[:cut])
    other.restore(one.snapshot())
    assert told(one, rows[cut:]) == told(other, rows[cut:])
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize("average", [0, -1, 1.5, True, "1", 10**9])
def test_an_average_that_is_none_is_refused(average: object) -> None:
    with pytest.raises(PredictorError, match=r"average must be a whole number from 1 to "):
        load("chart", {"average": average})


@pytest.mark.parametrize("glitch", [1000.0, -5.0, 1.01])
def test_a_glitch_in_the_warm_up_of_a_constant_channel_does_not_blind_it(glitch: float) -> None:
    rows = [at(row, 0, LEVEL[0]) for row in noise(400)]
    rows[150] = at(rows[150], 0, glitch)
    chart = Chart()
    assert not any(answer for answer, _ in told(chart, rows))
    stepped = [at(row, 0, 1.5) for row in rows[:10]]
    assert told(chart, stepped)[-1] == (True, None)
