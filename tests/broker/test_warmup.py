"""Warm-ups that are disturbed, and what is learned from them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import SPREAD, at, float32, moved, noise, told

from broker.predictors.chart.charts import Chart
from broker.predictors.chart.warmup import WarmUp, clear_step, moving
from quartet.channels import Values

many = settings(derandomize=True, deadline=None, max_examples=40)
few = settings(derandomize=True, deadline=None, max_examples=15)

factors = st.floats(0.75, 0.95)


def scaled(row: Values, factor: float) -> Values:
    return float32([value * factor for value in row])


def disturbed(until: int, factor: float, count: int = 1000) -> list[Values]:
    """A machine that runs at part of its level at first."""
    rows = list(noise(count))
    rows[:until] = [scaled(row, factor) for row in rows[:until]]
    return rows


@few
@given(st.integers(30, 280), factors)
def test_a_start_or_a_change_of_load_in_the_warm_up_does_not_blind(
    until: int, factor: float
) -> None:
    chart = Chart()
    answers = told(chart, disturbed(until, factor))
    assert not any(answer for answer, _ in answers)
    (text,) = [text for _, text in answers if text]
    rows, last = re.fullmatch(
        r"baseline learned, after (\d+) rows(?:, from the last (\d+): the level had jumped)?", text
    ).groups()  # type: ignore[union-attr]
    # What was learned from lies behind the step; a row in three is kept.
    assert int(rows) - int(last or 300) >= until - 15
    assert any(answer for answer, _ in told(chart, [moved(row, 2, 6.0) for row in noise(40)]))


@few
@given(st.integers(30, 120), st.integers(160, 280), factors, factors)
def test_two_disturbances_do_not_blind_either(
    first: int, second: int, one: float, other: float
) -> None:
    rows = disturbed(second, one)
    rows[:first] = [scaled(row, other) for row in rows[:first]]
    warm_up = WarmUp()
    (learned,) = filter(None, map(warm_up.add, rows[:480]))
    for found, right in zip(learned.baseline.spread, SPREAD, strict=True):
        assert 0.7 * right < found < 1.5 * right


@many
@given(st.integers(5, 70), st.floats(8, 1e4), st.sampled_from([-1, 1]), st.integers(0, 3))
def test_a_clear_step_is_found_where_it_is(
    place: int, spreads: float, sign: int, channel: int
) -> None:
    rows = list(noise(100, seed=2))
    assert clear_step(rows) == 0
    stepped = [*(moved(row, channel, sign * spreads) for row in rows[:place]), *rows[place:]]
    assert abs(clear_step(stepped) - place) <= 1


@pytest.mark.parametrize("sensors", [1, 2, 3, 4])
def test_a_smaller_step_is_clear_if_all_sensors_show_it(sensors: int) -> None:
    rows = list(noise(100, seed=2))
    for channel in range(sensors):
        rows[:40] = [moved(row, channel, 3.4) for row in rows[:40]]
    assert bool(clear_step(rows)) is (sensors == 4)
    assert abs(clear_step(rows) - 40) <= 1 or sensors < 4


def test_smaller_steps_of_all_sensors_at_different_times_are_not_clear() -> None:
    rows = list(noise(100, seed=2))
    for channel, place in enumerate((20, 40, 60, 80)):
        rows[:place] = [moved(row, channel, 3.4) for row in rows[:place]]
    assert clear_step(rows) == 0


@many
@given(st.integers(12, 20), st.integers(45, 55), st.integers(82, 92), st.floats(10, 100))
def test_a_step_is_clear_although_others_lie_before_and_after_it(
    first: int, second: int, third: int, spreads: float
) -> None:
    rows = [
        moved(row, 1, spreads if number < first or second <= number < third else 0.0)
        for number, row in enumerate(noise(100, seed=2))
    ]
    assert min(abs(clear_step(rows) - place) for place in (first, second, third)) <= 1


@pytest.mark.parametrize("count", range(1, 5))
def test_a_few_spikes_are_no_step(count: int) -> None:
    rows = list(noise(100, seed=2))
    for number in range(count):
        rows[number * 3] = moved(rows[number * 3], 0, 1e6)
    assert clear_step(rows) == 0


def test_a_constant_channel_that_jumps_steps() -> None:
    rows: list[Values] = [(float(number >= 50), 0.0, 1.0, 1.0) for number in range(100)]
    assert clear_step(rows) == 50


@many
@given(st.sets(st.integers(0, 3)), st.sampled_from([-1, 1]), st.integers(0, 2**16))
def test_channels_that_move_are_told_from_those_that_do_not(
    which: set[int], sign: int, seed: int
) -> None:
    rows = [
        float32(
            [
                v + (sign * s * n / 5 if j in which else 0)
                for j, (v, s) in enumerate(zip(row, SPREAD, strict=True))
            ]
        )
        for n, row in enumerate(noise(100, seed=seed))
    ]
    assert moving(rows) == sorted(which)


@pytest.mark.parametrize("codes_a_spread", [0.3, 0.35, 0.4, 0.5])
def test_a_sensor_that_flickers_by_one_code_of_the_adc_neither_jumps_nor_moves(
    codes_a_spread: float,
) -> None:
    code = SPREAD[1] / codes_a_spread
    rows = [at(row, 1, round(row[1] / code) * code) for row in noise(20 * 300)]
    for first in range(0, len(rows), 300):
        warm_up = WarmUp()
        learned = [warm_up.add(row) for row in rows[first : first + 300]]
        assert learned[-1] is not None


def test_a_sensor_without_noise_that_is_set_once_has_jumped() -> None:
    rows = [at(row, 1, 2.0 if number < 50 else 2.5) for number, row in enumerate(noise(100))]
    assert clear_step(rows) == 50
