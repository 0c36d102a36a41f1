import random

from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.backoff import Backoff

many = settings(derandomize=True, deadline=None, max_examples=60)

delays_s = st.floats(0.01, 3600)
limits = st.tuples(delays_s, delays_s).map(sorted)


class Fraction(random.Random):
    """Chance that always falls on the same share of the range."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def random(self) -> float:
        return self._share


def expected_limits_s(min_s: float, max_s: float, count: int) -> list[float]:
    return [min(min_s * 2**k, max_s) for k in range(count)]


@many
@given(limits, st.integers(0, 2**32), st.integers(1, 20))
def test_each_delay_is_between_zero_and_a_limit_that_doubles_to_the_maximum(
    min_max_s: list[float], seed: int, count: int
) -> None:
    backoff = Backoff(*min_max_s, random.Random(seed))  # noqa: S311
    for limit_s in expected_limits_s(*min_max_s, count):
        assert 0 <= backoff.next_s() <= limit_s


@many
@given(limits, st.floats(0, 1, exclude_max=True), st.integers(1, 20))
def test_a_delay_is_the_share_of_the_limit_that_chance_gives(
    min_max_s: list[float], share: float, count: int
) -> None:
    backoff = Backoff(*min_max_s, Fraction(share))
    delays = [backoff.next_s() for _ in range(count)]
    assert delays == [share * limit_s for limit_s in expected_limits_s(*min_max_s, count)]


@many
@given(limits, st.integers(0, 20), st.integers(1, 5))
def test_a_reset_starts_over_from_the_shortest_delay(
    min_max_s: list[float], before: int, after: int
) -> None:
    backoff = Backoff(*min_max_s, Fraction(0.5))
    for _ in range(before):
        backoff.next_s()
    backoff.reset()
    delays = [backoff.next_s() for _ in range(after)]
    assert delays == [limit_s / 2 for limit_s in expected_limits_s(*min_max_s, after)]


@many
@given(limits)
def test_the_maximum_can_be_asked_for(min_max_s: list[float]) -> None:
    assert Backoff(*min_max_s, Fraction(0.5)).max_s == min_max_s[1]
