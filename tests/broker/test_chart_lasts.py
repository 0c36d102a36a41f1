"""How long an alarm of the charts lasts, and what their limits and levels do meanwhile."""

import math

import pytest
from support.rows import at, level_of, moved, noise, told, warm

from broker.predictors.chart.charts import Chart


def limits(chart: Chart) -> list[float]:
    return [chart.statistics()[name][1] for name in ("T2", "MEWMA")]


@pytest.mark.parametrize("spreads", [5.0, -8.0, 1000.0])
def test_a_machine_that_may_not_settle_stays_in_alarm(spreads: float) -> None:
    chart = Chart(settle=0)
    told(chart, list(noise(350)))
    answers = told(chart, [moved(row, 1, spreads) for row in noise(20_000, seed=4)])
    assert all(answer for answer, _ in answers[40:])
    before = level_of(chart)
    told(chart, [moved(row, 1, spreads) for row in noise(1000, seed=5)])
    assert level_of(chart) == before


def test_four_hot_rows_are_an_alarm_and_twelve_more_cold_than_hot_its_end() -> None:
    chart = Chart(mewma_limit=math.inf)
    told(chart, list(noise(350)))
    cold = list(noise(40, seed=6))
    hot = [at(row, 0, 9.0) for row in cold]
    answers = told(chart, [*hot[:3], cold[0], *hot[:2], *cold[:11], hot[0], *cold[:3]])
    # Up to 3, down to 2, up to 4; down to 1, up to 2; 1, 0.
    expected = [False] * 5 + [True] * (1 + 11 + 1 + 1) + [False] * 2
    assert [answer for answer, _ in answers] == expected
    assert [text for _, text in answers if text][1:] == ["alarm is over: back at the former level"]
    assert not any(answer for answer, _ in told(chart, [*hot[:3], *cold[:9], *hot[:3], *cold[:9]]))


def test_limits_grow_with_a_livelier_machine_and_at_most_twofold() -> None:
    chart = warm()
    assert limits(chart) == [22.0, 18.0]
    for size in (1.5, 3.0, 2.0):
        swing = [
            moved(moved(row, 0, size * math.sin(number / 60)), 1, -size * math.sin(number / 45))
            for number, row in enumerate(noise(3000, seed=8))
        ]
        told(chart, swing)
        assert all(least <= now for least, now in zip([22.0, 18.0], limits(chart), strict=True))
    assert [least < now for least, now in zip([22.0, 18.0], limits(chart), strict=True)] == [
        True
    ] * 2
    assert all(now <= 2 * least for least, now in zip([22.0, 18.0], limits(chart), strict=True))
    told(chart, list(noise(5000, seed=9)))
    assert limits(chart)[0] == 22.0


@pytest.mark.parametrize("every", [40, 111, 400])
def test_a_grounded_input_that_flickers_by_a_code_is_no_alarm(every: int) -> None:
    def flickers(number: int) -> bool:
        return number > 300 and number % every in {0, 1, 3, 5}

    rows = [
        at(row, 2, 125e-6 if flickers(number) else 0.0) for number, row in enumerate(noise(3000))
    ]
    assert not any(answer for answer, _ in told(Chart(), rows))


def test_glitches_to_a_rail_do_not_blind_a_constant_channel() -> None:
    rows = [at(row, 0, 1.5) for row in noise(400)]
    for number in (30, 150, 240):
        rows[number] = at(rows[number], 0, 5.0)
    chart = Chart()
    assert not any(answer for answer, _ in told(chart, rows))
    assert told(chart, [at(row, 0, 2.5) for row in rows[:10]])[-1] == (True, None)
