"""What leaks is told from what warms up."""

import pytest

from chaos.flatness import ALLOWED, Trend

MEMORY, DESCRIPTORS = ALLOWED["RSS MB"], ALLOWED["descriptors"]

FULL = [min(60.0, 30.0 + n) for n in range(200)]  # a cache that is full after a while
NOISE = [50.0 + n % 7 / 10 for n in range(200)]
PEAK = [50.0] * 199 + [90.0]


@pytest.mark.parametrize("figures", [FULL, NOISE, PEAK, FULL[::-1]])
def test_what_comes_to_rest_is_flat(figures: list[float]) -> None:
    assert not Trend.of(figures).grows(MEMORY)


@pytest.mark.parametrize("a_minute", [0.2, 1.0, 10.0])
def test_what_rises_all_the_time_grows(a_minute: float) -> None:
    assert Trend.of([50.0 + a_minute * minute for minute in range(60)]).grows(MEMORY)


def test_a_descriptor_that_is_left_open_each_minute_is_seen() -> None:
    assert Trend.of([20.0 + minute // 5 for minute in range(30)]).grows(DESCRIPTORS)
    assert not Trend.of([20.0 + minute % 2 for minute in range(30)]).grows(DESCRIPTORS)
