from collections.abc import Sequence

import pytest

from bench.compare import Change, changes, table
from bench.figures import Figure, figure

UNITS = ["messages/s", "ms"]


def pairs(
    unit: str, values: Sequence[tuple[float, float]], name: str = "100 streams, broker, it"
) -> list[tuple[dict[str, Figure], dict[str, Figure]]]:
    """Of one figure: REV's value and the working tree's, in each pair."""
    return [
        ({name: Figure(name, unit, before, (before, before))},
         {name: Figure(name, unit, after, (after, after))})
        for before, after in values
    ]  # fmt: skip


def change(unit: str, values: Sequence[tuple[float, float]], name: str = "it") -> Change:
    (found,) = changes(pairs(unit, values, name))
    return found


@pytest.mark.parametrize(
    ("unit", "values", "is_worse"),
    [
        ("ms", [(10, 11.5), (10, 11.2), (10, 12)], True),
        ("ms", [(10, 10.5), (10, 10.9), (10, 10.2)], False),  # by less
        ("ms", [(10, 9.9), (10, 12), (10, 13)], False),  # not in each pair
        ("ms", [(10, 8), (10, 7), (10, 8)], False),
        ("messages/s", [(100, 85), (100, 89), (100, 80)], True),
        ("messages/s", [(100, 120), (100, 130), (100, 115)], False),
    ],
)
def test_what_became_worse_in_each_pair_is_named(
    unit: str, values: list[tuple[float, float]], is_worse: bool
) -> None:
    found = changes(pairs(unit, values))
    assert [each.is_worse for each in found] == [is_worse]
    verdict = table(found).splitlines()[-1]
    assert ("broker, it" in verdict) == is_worse


def test_rows_of_the_same_code_tell_the_noise_and_are_never_worse() -> None:
    found = changes(pairs("ms", [(10, 20)] * 3, "100 streams, plain(1100), p50"))
    assert not found[0].is_worse
    assert "differ by up to 100%" in table(found)


def test_what_one_side_lacks_or_has_as_nothing_is_left_out() -> None:
    both = pairs("ms", [(10, 11), (10, 12)])
    both[1][0].clear()
    assert changes(both) == []
    assert changes(pairs("ms", [(0, 11)])) == []


def test_a_figure_has_the_median_the_spread_and_the_ratio_of_its_rounds() -> None:
    assert figure("it", "ms", [3, None, 1, 2], [4, 4]) == [Figure("it", "ms", 2, (1, 3), 0.5)]
    assert figure("it", "ms", [None], [4]) == []
    assert figure("it", "ms", [3], [])[0].ratio is None
    assert figure("it", "ms", [3], [0])[0].ratio is None


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    assert figure("it", "ms", [10, 4, 6], [5, 2, 6])[0].ratio == 2  # and 6 / 5 of the medians
    assert figure("it", "ms", [8, None, 2], [None, 1, 4])[0].ratio == 2  # 5 / 2.5, not 8 / 1
