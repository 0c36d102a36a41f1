"""One scale of the charts, as others use it."""

import pytest
from support.rows import SPREAD, moved, noise

from broker.predictors.chart.scale import Phase, Scale
from broker.predictors.chart.slow import SlowScale

JUMP = (0.0, 7 * SPREAD[1], 0.0, 0.0)


def learned(rows: int = 350) -> Scale:
    scale = Scale(22.0, 18.0, 300)
    for row in noise(rows):
        scale.add(row)
    return scale


def test_a_jump_is_told_in_the_unit_of_the_points_with_the_point_that_ends_the_alarm() -> None:
    scale = learned()
    jumps = []
    for row in noise(600, seed=2):
        scale.add(moved(row, 1, 7.0))
        if scale.jump:
            jumps.append((scale.news, scale.jump))
    ((news, jump),) = jumps
    assert news is not None
    assert news.startswith("alarm is over: steady")
    assert jump == pytest.approx(JUMP, abs=SPREAD[2])
    back = []
    for row in noise(50, seed=3):
        scale.add(row)
        if scale.jump:
            back.append(scale.jump)
    assert back == [tuple(-each for each in jump)]


def slow() -> SlowScale:
    return SlowScale(learned(), (22.0, 18.0), 300, 30, 300)


@pytest.mark.parametrize("before", [0, 150, 299, 300, 350, 400])
def test_a_jump_that_a_faster_scale_has_told_is_not_told_again(before: int) -> None:
    scale = slow()
    rows = [*noise(before), *(moved(row, 1, 7.0) for row in noise(500, seed=2))]
    news = []
    for number, row in enumerate(rows):
        if number == before:
            scale.accept(JUMP)
        scale.add(row)
        news.append(scale.news)
        assert not scale.is_alarm
    assert [text for text in news if text] == ["baseline learned, after 9000 rows"]


@pytest.mark.parametrize("goes_on", [0.0, 9.0])
def test_a_slower_scale_in_alarm_is_so_for_what_is_left_without_the_jump(goes_on: float) -> None:
    scale = slow()
    for row in [*noise(350), *(moved(row, 0, 9.0) for row in noise(50, seed=2))]:
        scale.add(row)
    assert scale.phase is Phase.ALARM
    scale.accept(JUMP)
    for row in noise(50, seed=3):
        scale.add(moved(moved(row, 1, 7.0), 0, goes_on))
    assert (scale.phase is Phase.ALARM) is (goes_on > 0)
