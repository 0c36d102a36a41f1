import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evaluate.durations import Durations


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_near_the_true_one(took_ns: list[int], share: float) -> None:
    durations = Durations()
    for each in took_ns:
        durations.add(each)
    told = durations.quantile_us(share) * 1e3
    below = sum(each < told * (1 - 1e-9) for each in took_ns)
    not_above = sum(each <= told * (1 + 1 / 16) + 1 for each in took_ns)
    assert below < share * len(took_ns) + 1e-6
    assert not_above >= share * len(took_ns) - 1e-6


def test_the_median_of_many_is_kept_to_a_thirty_second() -> None:
    durations = Durations()
    took_ns = range(1000, 9001)
    for each in took_ns:
        durations.add(each)
    assert durations.quantile_us(0.5) * 1e3 == pytest.approx(statistics.median(took_ns), rel=1 / 16)
    assert Durations().quantile_us(0.5) == 0
