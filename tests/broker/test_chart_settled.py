"""When a machine that has changed counts as steady."""

import pytest
from support.rows import moved, noise

from broker.predictors.chart.baseline import fit
from broker.predictors.chart.settled import is_settled
from broker.predictors.chart.warmup import uneven
from quartet.channels import Values

BASELINE = fit(list(noise(100)), 0.1)


def settled_after(rows: list[Values], drift: float = 0.0, quiet_rows: int = 3000) -> bool:
    """Whether 300 rows, of which these are kept, are steady after a drift of one channel."""
    return is_settled(rows, BASELINE, (0.0, drift, 0.0, 0.0), 300, quiet_rows)


def rows(first: float, last: float, *, apart: float = 0.0) -> list[Values]:
    """A hundred rows with one channel on its way from one level to another, in spreads.

    Of three rows one lies `apart`, above and below in turn.
    """
    return [
        moved(
            row, 1, first + (last - first) * number / 99 + apart * (0, 1, 0, 0, -1, 0)[number % 6]
        )
        for number, row in enumerate(noise(100, seed=2))
    ]


@pytest.mark.parametrize(
    ("first", "last", "settled"),
    [
        *((8, 8, True), (-8, -8, True), (0, 0, True)),
        # Away from the former level, and back to it.
        *((8, 9.9, False), (-8, -9.9, False), (8, 6.6, True), (-8, -6.6, True)),
        *((8, 5, False), (-8, -5, False)),
        # From one side of the former level to the other, as far off as before.
        *((-0.8, 0.8, True), (0.8, -0.8, True), (0, 1.4, False), (-0.3, -1.7, False)),
    ],
)
def test_a_level_may_move_back_a_little_and_away_by_less(
    first: float, last: float, settled: bool
) -> None:
    assert settled_after(rows(first, last)) is settled


@pytest.mark.parametrize(
    ("drift", "quiet_rows", "settled"),
    [
        *((10, 3000, True), (10, 2000, True)),
        # Too slow a drift, and one the other way.
        *((1, 3000, False), (10, 30_000, False), (-10, 3000, False)),
        # Too few rows to know.
        (1, 100, False),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_may_move_away_as_it_drifted_before(
    drift: float, quiet_rows: int, settled: bool, sign: int
) -> None:
    on_its_way = rows(8 * sign, 9.6 * sign)
    assert settled_after(on_its_way, drift * sign, quiet_rows) is settled


def test_a_level_that_moves_faster_than_a_still_one_is_never_steady() -> None:
    assert not settled_after(rows(8, 11), 1000.0)


@pytest.mark.parametrize(("apart", "settled"), [(0, True), (2, True), (6, False), (30, False)])
def test_a_machine_may_scatter_more_than_it_used_to_but_not_much(
    apart: float, settled: bool
) -> None:
    assert settled_after(rows(8, 8, apart=apart)) is settled


@pytest.mark.parametrize("begins", [0, 10, 40, 80])
def test_a_dip_makes_rows_uneven(begins: int) -> None:
    dip = [
        moved(row, 3, -12.0 if begins <= number < begins + 12 else 0.0)
        for number, row in enumerate(noise(100, seed=2))
    ]
    assert uneven(dip)
    assert not uneven(list(noise(100, seed=2)))
