"""What the default black box alarms at, and what it must not alarm at."""

import math
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import LEVEL, SPREAD, at, float32, level_of, moved, noise, told, warm

from broker.model import Sample
from broker.predictors.chart import words
from broker.predictors.chart.charts import Chart
from quartet.channels import FLOAT32_MAX, Values

many = settings(derandomize=True, deadline=None, max_examples=40)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
channels = st.integers(0, 3)

OVER = "alarm is over: back at the former level"


# After the warm-up


@many
@given(st.lists(st.tuples(finite, st.sets(channels, min_size=1)), min_size=1, max_size=6))
def test_single_spikes_of_any_size_neither_alarm_nor_move_the_baseline(
    spikes: list[tuple[float, set[int]]],
) -> None:
    rows = list(noise(30 * len(spikes), seed=3))
    spiked, smooth = warm(), warm()
    for number, (value, which) in enumerate(spikes):
        for channel in which:
            rows[30 * number] = at(rows[30 * number], channel, value)
    assert not any(answer for answer, _ in told(spiked, rows))
    told(smooth, list(noise(len(rows), seed=3)))
    for one, other in zip(level_of(spiked), level_of(smooth), strict=True):
        assert abs(one - other) < 0.02 * len(spikes)


@many
@given(channels, st.floats(9, 1e6), st.sampled_from([-1, 1]), st.integers(10, 280))
def test_a_step_alarms_in_few_rows_names_its_channel_first_and_ends_with_it(
    channel: int, spreads: float, sign: int, count: int
) -> None:
    chart = warm(quiet=50)
    step = [moved(row, channel, sign * spreads) for row in noise(count, seed=4)]
    answers = told(chart, step)
    began = [answer for answer, _ in answers].index(True)
    assert began <= 5
    assert all(answer for answer, _ in answers[began:])
    assert [text for _, text in answers if text] == [answers[began][1]]
    text = answers[began][1] or ""
    chart_name, statistic, limit, named = re.fullmatch(
        r"alarm: (T2|MEWMA) is ((?:over )?[\d.,]+), its limit (\S+): (.+)", text
    ).groups()  # type: ignore[union-attr]
    assert float(statistic.removeprefix("over ").replace(",", "")) > float(limit)
    assert named.startswith(f"sensor{channel + 1} ")
    shares = [int(share) for share in re.findall(r"(\d+)%", named)]
    assert sorted(shares, reverse=True) == shares
    assert 97 <= sum(shares) <= 103
    assert {f"sensor{n}" for n in (1, 2, 3, 4)} == set(re.findall(r"sensor\d", named))
    assert chart_name in chart.statistics()
    after = told(chart, list(noise(80, seed=5)))
    assert [text for _, text in after if text] == [OVER]
    assert 11 <= [text for _, text in after].index(OVER) <= 40
    assert after[-1][0] is False


@pytest.mark.parametrize("spreads", [3.0, 3.5, -3.5])
def test_a_lasting_shift_that_rows_hardly_show_is_seen_by_the_average(spreads: float) -> None:
    chart = warm(quiet=50)
    shifted = [moved(row, 1, spreads) for row in noise(60, seed=6)]
    (news,) = [text for _, text in told(chart, shifted) if text]
    assert news.startswith("alarm: MEWMA is ")
    assert ": sensor2 " in news


def test_a_drift_that_is_slow_is_followed_and_no_alarm() -> None:
    chart = warm()
    drift = [moved(row, 0, number / 1000) for number, row in enumerate(noise(6000, seed=7))]
    assert {answer for answer, _ in told(chart, drift)} == {False}
    assert 5 < level_of(chart)[0] < 6


@pytest.mark.parametrize("channel", range(4))
def test_a_channel_that_dies_is_an_alarm_that_names_it(channel: int) -> None:
    chart = warm(quiet=100)
    answers = told(chart, [at(row, channel, 0.0) for row in noise(1000, seed=8)])
    assert all(answer for answer, _ in answers[4:])
    alarm, steady = [text for _, text in answers if text]
    assert f": sensor{channel + 1} " in alarm
    assert f"(sensor{channel + 1} -" in steady


def test_noise_is_no_alarm_in_100_000_rows() -> None:
    chart = warm()
    ten_thousand = list(noise(10_000, seed=9))
    predict = chart.predict
    for _ in range(10):
        assert not any(predict(Sample(0, row)) for row in ten_thousand)


# Rows that a baseline can hardly be learned from

ODD = {
    "zeros": lambda _: (0.0, 0.0, 0.0, 0.0),
    "one channel is constant": lambda row: at(row, 3, 0.25),
    "one channel is zero": lambda row: at(row, 0, 0.0),
    "two channels are identical": lambda row: at(row, 1, row[0]),
    "all channels are identical": lambda row: (row[0],) * 4,
    "as large as can be": lambda row: float32([(v - at_) / s * 6e37 for v, at_, s in around(row)]),
    "largest": lambda row: (FLOAT32_MAX if row[0] > LEVEL[0] else -FLOAT32_MAX, *row[1:]),
    "as small as can be": lambda row: float32([(v - at_) / s * 1e-43 for v, at_, s in around(row)]),
    "two codes": lambda row: float32([round((v - at_) / s / 4) for v, at_, s in around(row)]),
}


def around(row: Values) -> Iterator[tuple[float, float, float]]:
    return zip(row, LEVEL, SPREAD, strict=True)


@pytest.mark.parametrize("kind", ODD)
def test_odd_rows_are_no_alarm_and_a_step_on_top_of_them_is(kind: str) -> None:
    chart = Chart()
    answers = told(chart, [ODD[kind](row) for row in noise(2000)])
    assert [text for _, text in answers if text] == ["baseline learned, after 300 rows"]
    assert not any(answer for answer, _ in answers)
    assert all(math.isfinite(number) for pair in chart.statistics().values() for number in pair)
    stepped = [at(ODD[kind](row), 2, 3e38) for row in noise(20)]
    assert any(answer for answer, _ in told(chart, stepped))


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (38.81, ".3g", "38.8"),
        (999.4, ".3g", "999"),
        (999.6, ".3g", "1,000"),
        (14_731.2, ".3g", "14,731"),
        (5e12, ".1f", "over 1,000,000"),
        (7.94, "+.1f", "+7.9"),
        (93_229.3, "+.1f", "+93,229"),
        (-93_229.3, "+.1f", "-93,229"),
        (-3e50, "+.1f", "below -1,000,000"),
    ],
)
def test_large_numbers_are_written_for_people(value: float, form: str, shown: str) -> None:
    assert words.number(value, form) == shown
