"""What is learned of a line, against the same mathematics in numpy."""

import random
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.rows import float32

from broker.predictors.chart.baseline import DECILES_APART, decile_spread, fit
from broker.predictors.chart.forms import shares
from broker.predictors.chart.vectors import quadratic
from quartet.channels import CHANNELS, Values

many = settings(derandomize=True, deadline=None, max_examples=40)

WEIGHT = 0.17

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

vectors = st.lists(st.floats(-1e6, 1e6), min_size=CHANNELS, max_size=CHANNELS)


@st.composite
def warm_ups(draw: st.DrawFn) -> list[Values]:
    """Rows whose channels are mixed from sources of their own; some with spikes, some constant."""
    dice = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311
    mix = np.array([[dice.gauss() for _ in range(CHANNELS)] for _ in range(CHANNELS)])
    scale = [10.0 ** dice.randint(-6, 6) for _ in range(CHANNELS)]
    level = [dice.choice([0.0, 1.0, -50.0]) for _ in range(CHANNELS)]
    kept = [draw(st.booleans()) for _ in range(CHANNELS)]
    spikes = draw(st.sets(st.integers(0, 99), max_size=9))
    rows = []
    for number in range(100):
        noise = mix @ [dice.gauss() * (1e4 if number in spikes else 1.0) for _ in range(CHANNELS)]
        values = zip(level, noise, scale, kept, strict=True)
        rows.append(float32([s * (at + (n if moves else 0.0)) for at, n, s, moves in values]))
    return rows


def learned(rows: list[Values]) -> tuple[Array, Array, Array, Array]:
    """Level, spread, and the inverse covariances of rows and of their average."""
    table = np.array(rows)
    middle = np.median(table, axis=0)
    low, high = np.quantile(table, [0.1, 0.9], axis=0)
    spread = (high - low) / 2.563
    least = np.min(spread[spread > 0], initial=np.inf)
    at_zero = least if np.isfinite(least) else 1e-12
    spread = np.where(spread > 0, spread, np.where(middle != 0, np.abs(middle) * 1e-3, at_zero))
    inside = np.clip((table - middle) / spread, -2.5, 2.5)
    level = middle + spread * inside[-33:].mean(axis=0)
    centred = inside - inside.mean(axis=0)

    def covariance(of: Array) -> Array:
        found = of.T @ of / len(of)
        return 0.8 * found + 0.2 * np.diag(np.diag(found))

    averages = [np.zeros(CHANNELS)]
    for row in centred:
        averages.append(averages[-1] + WEIGHT * (row - averages[-1]))
    of_rows = covariance(centred)
    np.fill_diagonal(of_rows, np.maximum(np.diag(of_rows), 0.25))
    of_average = covariance(np.array(averages[1 + 100 // 8 :]))
    load = np.clip(0.01 * level / spread, -2.0, 2.0)
    outer = np.outer(load, load)
    return (
        *(level, spread, np.linalg.inv(of_rows + outer)),
        np.linalg.inv(0.2 * of_rows + of_average + outer),
    )


@many
@given(warm_ups(), vectors)
def test_a_fit_is_that_of_numpy(rows: list[Values], vector: list[float]) -> None:
    baseline = fit(rows, WEIGHT)
    level, spread, of_rows, of_average = learned(rows)
    assert baseline.level == pytest.approx(level, rel=1e-9, abs=1e-300)
    assert baseline.spread == pytest.approx(spread, rel=1e-9)
    for form, inverse in ((baseline.row_form, of_rows), (baseline.average_form, of_average)):
        wanted = vector @ inverse @ np.array(vector)
        assert quadratic(form, vector) == pytest.approx(wanted, rel=1e-6)


def identical(rows: list[Values]) -> list[Values]:
    return [(row[0], row[0], row[0], row[0]) for row in rows]


@many
@given(warm_ups(), st.booleans(), vectors)
def test_a_form_is_positive_whatever_was_learned_from(
    rows: list[Values], same: bool, vector: list[float]
) -> None:
    baseline = fit(identical(rows) if same else rows, WEIGHT)
    assume(max(map(abs, vector)) > 1e-100)
    for form in (baseline.row_form, baseline.average_form):
        length = sum(each * each for each in vector)
        assert 1e-3 * length < quadratic(form, vector) < 1e3 * length


@many
@given(warm_ups(), vectors)
def test_shares_are_what_each_channel_adds_and_sum_to_1(
    rows: list[Values], vector: list[float]
) -> None:
    assume(max(map(abs, vector)) > 1e-100)
    form = fit(rows, WEIGHT).row_form
    found = shares(form, vector)
    assert sum(found) == pytest.approx(1.0)
    assert min(found) >= 0
    whole = quadratic(form, vector)
    for channel, share in enumerate(found):
        without = [0.0 if j == channel else each for j, each in enumerate(vector)]
        alone = [each if j == channel else 0.0 for j, each in enumerate(vector)]
        # Its own part, and half of what it has in common with the others.
        part = (whole - quadratic(form, without) + quadratic(form, alone)) / 2 / whole
        assert share > 0 if part > 1e-6 else share < 1e-6


@pytest.mark.parametrize("channel", range(CHANNELS))
def test_all_of_a_deviation_on_one_channel_is_that_channels_share(channel: int) -> None:
    dice = random.Random(1)  # noqa: S311
    rows = [float32([dice.gauss() for _ in range(CHANNELS)]) for _ in range(100)]
    vector = [float(j == channel) for j in range(CHANNELS)]
    assert shares(fit(rows, WEIGHT).row_form, vector) == vector


@many
@given(st.sets(st.integers(0, 99), max_size=8), st.floats(1e3, 1e30))
def test_one_row_in_ten_that_is_wrong_does_not_spoil_a_spread(wrong: set[int], far: float) -> None:
    dice = random.Random(1)  # noqa: S311
    gaussian = [float32([dice.gauss() for _ in range(CHANNELS)]) for _ in range(100)]
    spoilt = [
        float32([far] * CHANNELS) if number in wrong else row for number, row in enumerate(gaussian)
    ]
    right, found = fit(gaussian, WEIGHT), fit(spoilt, WEIGHT)
    for one, other in zip(right.spread, found.spread, strict=True):
        assert 0.8 * one < other < 1.6 * one


@many
@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 0.1, 0.2]), min_size=2))
def test_the_deciles_are_those_of_the_library_to_the_last_bit(column: list[float]) -> None:
    deciles = statistics.quantiles(column, n=10, method="inclusive")
    assert decile_spread(column) == (deciles[-1] - deciles[0]) / DECILES_APART
