"""The two charts of a scale, against what their numbers are defined as."""

import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.predictors.chart import vectors
from broker.predictors.chart.baseline import Baseline
from broker.predictors.chart.control import WEIGHT, ControlCharts
from quartet.channels import CHANNELS, Values

many = settings(derandomize=True, deadline=None, max_examples=200)

FORM = 1.0, 1.5, 0.7, 1.2, 0.3, -0.2, 0.1, 0.4, -0.1, 0.2
AVERAGE_FORM = tuple(5 * each for each in FORM)
BASELINE = Baseline((1.0, -2.0, 300.0, 0.0), (0.5, 0.01, 7.0, 2.0), FORM, AVERAGE_FORM)

MOST_SPREADS = 6.0
ZERO: Values = (0.0, 0.0, 0.0, 0.0)

finite = st.floats(-1e9, 1e9)
near = st.floats(-7.0, 7.0)


def four(numbers: Iterable[float]) -> Values:
    one, two, three, four = numbers
    return one, two, three, four


def rows(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Values]:
    return st.lists(numbers, min_size=CHANNELS, max_size=CHANNELS).map(four)


def about_the_level(deviation: Values) -> Values:
    return vectors.added(BASELINE.level, vectors.scaled(deviation, BASELINE.spread))


@many
@given(st.lists(rows(near).map(about_the_level) | rows(finite), min_size=1, max_size=5))
def test_each_row_is_drawn_as_the_charts_are_defined(drawn: list[Values]) -> None:
    charts, average = ControlCharts(22.0, 18.0), ZERO
    for values in drawn:
        is_hot = charts.are_hot(BASELINE, values)
        deviation = vectors.deviation(values, BASELINE.level, BASELINE.spread)
        bounded = [max(-MOST_SPREADS, min(MOST_SPREADS, each)) for each in deviation]
        average = four(
            old + WEIGHT * (new - old) for old, new in zip(average, bounded, strict=True)
        )
        assert charts.deviation == deviation
        assert charts.bounded == four(bounded)
        assert charts.average == average
        assert charts.t2.value == vectors.quadratic(FORM, deviation)
        assert charts.mewma.value == vectors.quadratic(AVERAGE_FORM, average)
        assert is_hot is (charts.t2.value > 22.0 or charts.mewma.value > 18.0)


@pytest.mark.parametrize("just_beyond", [math.nextafter(MOST_SPREADS, 7.0), 6.5])
def test_a_deviation_counts_for_no_more_than_six_spreads(just_beyond: float) -> None:
    charts = ControlCharts(22.0, 18.0)
    unit = Baseline(ZERO, (1.0, 1.0, 1.0, 1.0), FORM, FORM)
    for values in ((just_beyond, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, -just_beyond)):
        charts.are_hot(unit, values)
        assert max(map(abs, charts.bounded)) == MOST_SPREADS


@many
@given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=50), st.booleans())
def test_a_limit_follows_usual_values_between_its_least_and_twice_that(
    usual: list[float], is_raised: bool
) -> None:
    charts = ControlCharts(22.0, math.inf)
    if is_raised:
        charts.t2.raise_least()
    for value in usual:
        charts.t2.value, before = value, charts.t2.limit
        charts.learn()
        followed = before + (value * 22.0 / 6.0 - before) / 200
        within = min(44.0, max(charts.t2.least, followed))
        assert charts.t2.limit == pytest.approx(within, rel=1e-12)
        assert charts.t2.least <= charts.t2.limit <= 44.0
        assert charts.mewma.limit == math.inf
