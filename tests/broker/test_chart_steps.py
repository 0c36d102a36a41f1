"""How alarms of the charts end at another level, and what is kept of that."""

import itertools
import re
from collections.abc import Sequence

import pytest
from support import rows as made
from support.rows import at, level_of, moved, noise, warm

from broker.predictors.chart.baseline import fit
from broker.predictors.chart.charts import Chart
from broker.predictors.chart.steps import Steps
from quartet.channels import Values

# The rows that a machine has to be steady for, the last of which is False, and what the counter and
# the looks add to that.
SETTLE, MORE = 299, 45

ZERO = 0.0, 0.0, 0.0, 0.0

IDS = itertools.count(step=100_000)


def told(chart: Chart, rows: Sequence[Values]) -> list[tuple[bool, str | None]]:
    """As the rows of a session that goes on."""
    return made.told(chart, rows, next(IDS))


def off(count: int, spreads: float, *, channel: int = 1, seed: int = 4) -> list[Values]:
    """So many rows with one channel off."""
    return [moved(row, channel, spreads) for row in noise(count, seed=seed)]


def news(answers: Sequence[tuple[bool, str | None]]) -> list[str]:
    return [text for _, text in answers if text]


def trues(answers: Sequence[tuple[bool, str | None]]) -> int:
    return sum(answer for answer, _ in answers)


def shift(chart: Chart) -> tuple[float, float]:
    return chart.statistics()["shift"]


@pytest.mark.parametrize("spreads", [4.5, 6.0, -8.0, 10.0])
def test_a_machine_that_is_steady_at_another_level_ends_its_alarm_and_says_how_far_off(
    spreads: float,
) -> None:
    chart = warm(quiet=50)
    answers = told(chart, off(2000, spreads))
    assert SETTLE <= trues(answers) <= SETTLE + MORE
    assert not any(answer for answer, _ in answers[SETTLE + 2 * MORE :])
    began, ended = news(answers)
    assert began.startswith("alarm: ")
    found = re.fullmatch(r"alarm is over: steady, (\S+) spreads off \(sensor2 (\S+)\)", ended)
    assert found, ended
    assert float(found[2]) == pytest.approx(spreads, abs=0.6)
    assert shift(chart)[0] == pytest.approx(float(found[1]), abs=0.05)
    assert chart.shift() == f"{found[1]} spreads off (sensor2 {found[2]})"


def test_a_fault_that_begins_at_the_new_level_is_a_new_alarm() -> None:
    chart = warm(quiet=50)
    told(chart, off(1000, 8.0))
    worse = told(chart, off(40, 14.0, seed=5))
    assert [answer for answer, _ in worse].index(True) <= 5
    assert [text.startswith("alarm: ") for text in news(worse)] == [True]


@pytest.mark.parametrize("spreads", [20.0, -50.0, 1000.0])
def test_a_machine_that_is_too_far_off_stays_in_alarm_and_says_so_once(spreads: float) -> None:
    chart = warm(quiet=50)
    answers = told(chart, off(4000, spreads))
    assert all(answer for answer, _ in answers[5:])
    _, steady = news(answers)
    assert re.match(r"steady, \S+ spreads off \(sensor2 \S+\): too far to accept, ", steady)
    least, limit = shift(chart)
    assert least > limit == 12.0


def test_stairs_of_small_steps_end_too_far_off() -> None:
    chart = warm(quiet=50)
    answers = [each for step in range(1, 7) for each in told(chart, off(1400, 5.0 * step))]
    assert answers[1000][0] is False
    assert all(answer for answer, _ in answers[3 * 1400 :])
    assert "too far" in news(answers)[-1]


def test_each_alarm_that_ended_at_a_new_level_makes_the_next_one_wait_longer() -> None:
    chart = warm(quiet=50)
    rows = list(noise(2000, seed=4))
    for channel, times in enumerate((1, 2, 4, 4)):
        rows = [moved(row, channel, 5.0) for row in rows]
        assert SETTLE * times <= trues(told(chart, rows)) <= (SETTLE + MORE) * times


@pytest.mark.parametrize("spreads", [6.0, -10.0, 30.0])
def test_the_way_back_to_the_former_level_is_no_alarm_and_ends_one(spreads: float) -> None:
    chart = warm(quiet=50)
    told(chart, off(600, spreads))
    back = told(chart, list(noise(1000, seed=5)))
    is_far = abs(spreads) > 12
    assert trues(back) == (11 if is_far else 0)
    over = "alarm is over: " if is_far else ""
    assert news(back) == [f"{over}back at the former level"]
    assert shift(chart)[0] == 0.0
    assert chart.shift() is None


def test_a_level_that_was_left_again_is_a_new_alarm() -> None:
    chart = warm(quiet=50)
    told(chart, off(600, 8.0))
    told(chart, list(noise(200, seed=5)))
    again = told(chart, off(100, 8.0))
    assert again[-1][0] is True


def test_the_way_to_a_third_level_is_a_new_alarm() -> None:
    chart = warm(quiet=50)
    told(chart, off(600, 8.0))
    third = told(chart, off(100, -8.0, seed=5))
    assert all(answer for answer, _ in third[5:])


def test_a_machine_that_gets_worse_or_rough_never_settles() -> None:
    rows = list(enumerate(noise(3000, seed=4)))
    for changed in (
        [moved(row, 1, 6 + number / 50) for number, row in rows],
        [moved(row, 1, 9 * (-1) ** number) for number, row in rows],
        [moved(row, 1, 8 + 4 * (number % 300 > 150)) for number, row in rows],
    ):
        chart = warm(quiet=50)
        answers = told(chart, changed)
        assert all(answer for answer, _ in answers[30:])
        assert len(news(answers)) == 1


@pytest.mark.parametrize("settle", [30, 100, 250, 1000])
def test_settle_says_how_many_rows_a_machine_has_to_be_steady_for(settle: int) -> None:
    chart = Chart(settle=settle)
    told(chart, list(noise(350)))
    assert settle <= 1 + trues(told(chart, off(3 * settle, 7.0))) <= 1.5 * settle + 15


def test_a_new_session_is_told_of_a_shift_that_nobody_has_accepted() -> None:
    chart = warm(quiet=50)
    assert news(made.told(chart, list(noise(5, seed=6)))) == []
    told(chart, off(600, 8.0))
    assert news(told(chart, off(5, 8.0))) == []
    steady = (False, f"steady, {chart.shift()}")
    assert made.told(chart, off(5, 8.0)) == [steady, *[(False, None)] * 4]
    failed = made.told(chart, [at(row, 0, float("nan")) for row in off(2, 8.0)])
    assert failed == [steady, (False, None)]


def test_a_session_that_begins_in_an_alarm_is_told_of_no_shift() -> None:
    chart = warm(quiet=50)
    told(chart, [*off(600, 8.0), *off(50, 16.0)])
    assert made.told(chart, off(3, 16.0)) == [(True, None)] * 3


def test_a_drift_that_was_followed_is_told_at_each_doubling_and_is_no_shift() -> None:
    chart = warm()
    drift = [moved(row, 2, number / 700) for number, row in enumerate(noise(14_000, seed=7))]
    answers = told(chart, drift)
    assert trues(answers) == 0
    first, second = news(answers)
    assert re.fullmatch(
        r"the level has drifted slowly: [67]\.\d spreads off \(sensor3 \+[5-7]\.\d\)", first
    )
    assert re.match(r"the level has drifted slowly: 1[2-5]\.\d spreads off \(sensor3", second)
    assert shift(chart)[0] == 0.0


def test_a_sensor_is_followed_half_as_fast_behind_a_step_until_the_machine_is_back() -> None:
    chart = warm(quiet=50)

    def followed(channel: int, spreads: float) -> float:
        """By how much the level of a sensor moves, where that is a little off."""
        before = level_of(chart)[channel]
        told(chart, [moved(row, channel, 2.0) for row in off(250, spreads, seed=9)])
        after = level_of(chart)[channel]
        told(chart, off(3000, spreads))
        return after - before

    usual = [followed(channel, 0.0) for channel in (1, 2)]
    told(chart, off(600, 8.0))
    assert followed(1, 8.0) == pytest.approx(usual[0] / 2, rel=0.25)
    assert followed(2, 8.0) == pytest.approx(usual[1], rel=0.25)
    restored = Chart()
    restored.restore(chart.snapshot())
    steps = [moved(row, 1, 9.0) for row in noise(200, seed=9)]
    assert told(restored, steps) == told(chart, steps)
    assert restored.statistics() == chart.statistics()
    told(chart, off(900, 0.0))
    assert followed(1, 0.0) == pytest.approx(usual[0], rel=0.25)


def test_a_former_level_stays_where_it_was_until_the_machine_is_there_again() -> None:
    baseline = fit(list(noise(300)), 0.1)
    steps = Steps(baseline.level)
    steps.leave((8.0, 0.0, 0.0, 0.0), baseline, 22.0)
    assert steps.last == (8.0, 0.0, 0.0, 0.0)
    steps.leave((0.0, 6.0, 0.0, 0.0), baseline, 22.0)
    assert steps.last == (8.0, 6.0, 0.0, 0.0)
    steps.leave((-7.5, -6.5, 0.0, 0.0), baseline, 22.0)
    assert steps.last == ZERO
