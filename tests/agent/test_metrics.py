import random
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.metrics import Histogram, Metrics
from agent.model import Prediction, Sample, Session
from quartet.metrics.text import DURATIONS_S

many = settings(derandomize=True, deadline=None, max_examples=80)

ERROR = 0.024  # what Histogram promises
LEAST_NS, MOST_NS = 1_000, 10**15  # 1 us to 10^6 s

# As many of each magnitude, and runs of equal ones.
durations_ns = st.floats(3, 15).map(lambda exponent: round(10**exponent))
lists_ns = st.lists(durations_ns, min_size=1, max_size=60)
percents = st.integers(1, 100) | st.sampled_from([0.1, 99.9, 99.99])


def filled(durations: Sequence[int]) -> Histogram:
    histogram = Histogram()
    for duration_ns in durations:
        histogram.add(duration_ns)
    return histogram


def exact_ms(durations: Sequence[int], percent: float) -> float:
    """The least duration that this share of all durations does not exceed."""
    ordered = sorted(durations)
    enough = (d for n, d in enumerate(ordered, 1) if n >= len(ordered) * percent / 100)
    return next(enough) / 1e6


@many
@given(lists_ns, percents)
def test_a_percentile_is_within_the_stated_error_of_the_exact_one(
    durations: list[int], percent: float
) -> None:
    assert filled(durations).percentile_ms(percent) == pytest.approx(
        exact_ms(durations, percent), rel=ERROR
    )


@many
@given(lists_ns)
def test_percentiles_rise_with_their_percent(durations: list[int]) -> None:
    histogram = filled(durations)
    percentiles_ms = [histogram.percentile_ms(percent) for percent in range(101)]
    assert percentiles_ms == sorted(percentiles_ms)


@many
@given(lists_ns, st.randoms())
def test_the_order_of_durations_does_not_matter(
    durations: list[int], chance: random.Random
) -> None:
    shuffled = durations[:]
    chance.shuffle(shuffled)
    percents_ = (1, 25, 50, 75, 99, 100)
    assert [filled(durations).percentile_ms(p) for p in percents_] == [
        filled(shuffled).percentile_ms(p) for p in percents_
    ]


@pytest.mark.parametrize("bound_ns", [LEAST_NS, MOST_NS])
def test_the_bounds_of_the_range_are_within_the_stated_error(bound_ns: int) -> None:
    assert filled([bound_ns]).percentile_ms(50) == pytest.approx(bound_ns / 1e6, rel=ERROR)


@many
@given(st.integers(-(10**9), LEAST_NS) | st.integers(MOST_NS, 2**70))
def test_a_duration_beyond_the_range_counts_as_its_bound(duration_ns: int) -> None:
    bound_ns = LEAST_NS if duration_ns <= LEAST_NS else MOST_NS
    histogram = filled([duration_ns])
    assert histogram.count == 1
    assert histogram.percentile_ms(100) == pytest.approx(bound_ns / 1e6, rel=ERROR)


def test_percentiles_of_nothing_are_zero() -> None:
    assert [Histogram().percentile_ms(percent) for percent in (0, 50, 100)] == [0, 0, 0]


@many
@given(st.lists(st.tuples(st.booleans(), durations_ns), max_size=50))
def test_metrics_count_each_prediction_and_its_round_trip(trips: list[tuple[bool, int]]) -> None:
    metrics = Metrics()
    sample = Sample(Session(1, "0" * 32, 0, 0), 0, (0.0, 0.0, 0.0, 0.0), 0)
    for value, round_trip_ns in trips:
        metrics.emit(Prediction(sample, value, round_trip_ns))
    metrics.close()
    assert metrics.true == sum(value for value, _ in trips)
    assert metrics.false == len(trips) - metrics.true
    assert metrics.round_trips.count == len(trips)
    if trips:
        assert metrics.round_trips.percentile_ms(50) == pytest.approx(
            exact_ms([ns for _, ns in trips], 50), rel=ERROR
        )


def test_the_present_run_of_true_has_a_beginning() -> None:
    metrics = Metrics()
    session = Session(1, "0123456789abcdef" * 2, 100, 0)
    since = []
    for id_, value in enumerate([False, True, True, False, True]):
        metrics.emit(Prediction(Sample(session, id_, (0.0,) * 4, 100 * id_), value, 1))
        since.append(metrics.true_since_ns)
    assert since == [None, 100, 100, None, 400]
    assert metrics.latest
    assert (metrics.latest.sample.id, metrics.latest.value) == (4, True)


@many
@given(lists_ns)
def test_counts_by_bound_are_right_within_the_stated_error(durations: list[int]) -> None:
    histogram = filled(durations)
    assert histogram.sum_ns == sum(durations)
    counts = histogram.by_bound(DURATIONS_S)
    assert sum(counts) == len(durations)
    for bound_s, seen in zip(DURATIONS_S, accumulate(counts), strict=False):
        surely = sum(each <= bound_s * 1e9 * (1 - 2 * ERROR) for each in durations)
        perhaps = sum(each <= bound_s * 1e9 * (1 + 2 * ERROR) for each in durations)
        assert surely <= seen <= perhaps
