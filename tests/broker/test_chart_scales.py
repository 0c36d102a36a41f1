"""A chart at several lengths of time: rows, and means of 30, 900 and 27,000 of them."""

import functools
import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import FAILED, LEVEL, SPREAD, moved, noise, told

from broker.errors import PredictorError
from broker.predictors.chart.baseline import fit
from broker.predictors.chart.charts import Chart
from broker.predictors.chart.control import ControlCharts
from broker.predictors.chart.scale import Scale
from broker.predictors.chart.scales import Scales
from broker.predictors.chart.slow import SlowScale
from broker.predictors.load import load
from quartet.channels import Values

few = settings(derandomize=True, deadline=None, max_examples=12)

# By then the scale of 30 rows has learned.
_LEARNED_ROWS = 300 + 30_000
_MOST_STATE_BYTES = 3072


@functools.cache
def _state(step_at: int | None = None) -> bytes:
    """Of a chart whose scale of 30 rows has just learned, with or without a step meanwhile."""
    chart = Chart()
    # While rows are in alarm, a slower scale waits.
    rows = list(noise(_LEARNED_ROWS if step_at is None else _LEARNED_ROWS + 600))
    if step_at is not None:
        rows[step_at:] = [moved(row, 1, 8.0) for row in rows[step_at:]]
    answers = told(chart, rows)
    news = [text for _, text in answers if text]
    assert [text for text in news if "scale" in text] == [
        "scale of 30 rows: baseline learned, after 30000 rows"
    ]
    return chart.snapshot()


def _learned(step_at: int | None = None) -> Chart:
    chart = Chart()
    chart.restore(_state(step_at))
    return chart


def _after(count: int, spreads: float, *, over: int = 1, channel: int = 1) -> list[Values]:
    """Rows in which a channel moves by so many spreads, evenly over so many rows, and stays."""
    rows = enumerate(noise(count, seed=7))
    return [moved(row, channel, spreads * min(1.0, (n + 1) / over)) for n, row in rows]


def _news(chart: Chart, rows: Sequence[Values]) -> list[str]:
    """What it has to say about further rows of the same session."""
    return [text for _, text in told(chart, rows, 1_000_000) if text]


def test_what_is_too_slow_for_rows_is_told_by_their_means() -> None:
    rows = _after(9000, 5.0, over=6000)
    assert not any(answer for answer, _ in told(_quick(), rows))
    chart = _learned()
    answers = told(chart, rows)
    news = [text for _, text in answers if text]
    assert news[0].startswith("alarm: over the last 30 rows, ")
    assert ": sensor2 8" in news[0]
    value, limit = chart.statistics()["means of 30 rows"]
    assert value > limit == 1.0
    assert answers[-1][0]


def _quick() -> Chart:
    """One that has learned from rows only."""
    chart = Chart()
    told(chart, list(noise(2000)))
    return chart


@pytest.mark.parametrize("spreads", [6.0, 8.0, -8.0])
def test_a_step_that_rows_have_told_is_told_by_no_slower_scale(spreads: float) -> None:
    answers = told(_learned(), _after(6000, spreads))
    news = [text for _, text in answers if text]
    assert [text.partition(":")[0] for text in news] == ["alarm", "alarm is over"]
    assert not any(answer for answer, _ in answers[450:])


def test_a_step_while_a_slower_scale_learns_is_none_for_it() -> None:
    chart = _learned(step_at=12_345)
    stays = [moved(row, 1, 8.0) for row in noise(3000, seed=9)]
    assert _news(chart, stays) == []
    # And it has not taken the step for scatter.
    goes_on = [moved(row, 1, 8.0) for row in _after(9000, 5.0, over=6000)]
    assert _news(chart, goes_on)[1].startswith("alarm: over the last 30 rows, ")


class Seen(SlowScale):
    """Remembers its points."""

    def __init__(self, home: Scale, limits: tuple[float, float], *rest: int) -> None:
        super().__init__(home, limits, *rest)
        self.points: list[Values] = []
        SEEN.append(self)

    def add(self, values: Values) -> None:
        super().add(values)
        self.points.append(values)


SEEN: list[Seen] = []


@pytest.mark.parametrize("before", [_LEARNED_ROWS + 1413, _LEARNED_ROWS + 1430])
def test_no_mean_holds_rows_of_two_levels(before: int) -> None:
    SEEN.clear()
    scales = Scales(22.0, 18.0, 300, Seen)
    for row in [*noise(before), *(moved(row, 1, 8.0) for row in noise(9000, seed=5))]:
        scales.add(row)
    for scale in SEEN[:2]:
        steps = [(point[1] - LEVEL[1]) / SPREAD[1] / 8.0 for point in scale.points]
        assert {round(step) for step in steps} == {0, 1}
        assert all(abs(step - round(step)) < 0.15 for step in steps)


def test_the_way_back_is_none_for_it_either() -> None:
    chart = _learned()
    told(chart, _after(2000, 8.0))
    answers = told(chart, list(noise(6000, seed=11)), 2000)
    assert not any(answer for answer, _ in answers)
    assert [text for _, text in answers if text] == ["back at the former level"]


def test_what_a_slower_scale_settles_counts_as_a_shift_of_the_line() -> None:
    chart = _learned()
    news = _news(chart, _after(24_000, 6.0, over=3000))
    assert [text.partition(",")[0] for text in news] == [
        "alarm: over the last 30 rows",
        "scale of 30 rows: alarm is over: steady",
    ]
    shift = chart.shift()
    assert shift is not None
    assert news[-1].endswith(shift)
    value, limit = chart.statistics()["shift"]
    assert 4.5 < value < 7.0 < limit


def test_the_end_of_one_alarm_is_not_that_of_another_scale() -> None:
    chart = _learned()
    grows = _after(5600, 6.0, over=3000)
    grows[5000:] = [moved(row, 2, 8.0) for row in grows[5000:]]
    *_, (row, ended) = [each for each in enumerate(told(chart, grows)) if each[1][1]]
    assert row > 5000
    assert re.fullmatch(r"steady, .*; still in alarm over the last 30 rows", str(ended[1]))
    assert ended[0]
    # And the machine is not called steady at the next session.
    assert told(chart, [moved(row, 2, 8.0) for row in _after(3, 6.0)]) == [(True, None)] * 3


def test_a_level_that_a_faster_scale_has_left_is_no_former_level_of_a_slower_one() -> None:
    chart = _learned()
    first = _news(chart, _after(24_000, 8.0, over=3000))
    assert first[-1].startswith("scale of 30 rows: alarm is over: steady, ")
    assert _news(chart, list(noise(6000, seed=21)))[-1] == "alarm is over: steady"
    # So far below where it was learned it has never been.
    answers = told(chart, _after(9000, -8.0, over=3000))
    assert answers[-1][0]
    assert not any("former" in text for _, text in answers if text)


def test_a_jump_back_ends_the_alarm_of_a_slower_scale_too() -> None:
    chart = _learned()
    told(chart, _after(5000, 8.0, over=3000))
    answers = told(chart, list(noise(3000, seed=31)), 5000)
    ended = [text for _, text in answers if text][-1]
    assert ended == "scale of 30 rows: alarm is over: back at the former level"
    assert not any(answer for answer, _ in answers[1000:])
    assert chart.shift() is None


def test_steps_of_all_scales_sum_up_to_what_is_too_far() -> None:
    chart = _learned()
    first, goes_on = _after(2000, 8.0), _after(24_000, 8.0, over=3000)
    answers = told(chart, [*first, *(moved(row, 1, 8.0) for row in goes_on)])
    news = [text for _, text in answers if text]
    assert news[-1].startswith("scale of 30 rows: steady, ")
    assert news[-1].endswith(": too far to accept, in alarm until a reset")
    assert answers[-1][0]


def test_day_and_night_that_a_slower_scale_has_learned_are_no_alarm() -> None:
    day = 30_000
    waves = [3.0 * math.sin(2 * math.pi * number / day) for number in range(day)]
    chart = Chart()
    rows = [moved(row, 1, wave) for row, wave in zip(noise(day), waves, strict=True)]
    for number in range(3):
        answers = told(chart, rows, number * day)
        assert not any(answer for answer, _ in answers)


@pytest.mark.parametrize("channel", range(4))
def test_less_than_a_spread_of_a_row_is_nothing_to_a_slower_scale(channel: int) -> None:
    rows = _after(9000, 0.9, over=3000, channel=channel)
    assert not any(answer for answer, _ in told(_learned(), rows))


def test_a_slower_scale_follows_more_slowly_than_it_learns() -> None:
    """Within a warm-up's time, and twice that."""
    answers = told(_learned(), _after(60_000, 5.0, over=50_000))
    assert any(answer for answer, _ in answers)


def test_an_average_that_is_nearly_at_its_limit_time_and_again_raises_it() -> None:
    charts = ControlCharts(22.0, 18.0)
    charts.quiet_rows = 3000
    for _ in range(10):
        charts.mewma.value = 0.8 * charts.mewma.limit
        charts.learn()
    raised = charts.mewma.least
    assert raised > 18.0
    other = ControlCharts(22.0, 18.0)
    other.take(iter(charts.numbers()))
    for each in (charts, other):
        each.mewma.value = 1.0
        for _ in range(5000):
            each.learn()
    assert 18.0 < charts.mewma.limit == other.mewma.limit <= raised


def test_rows_that_failed_are_in_no_mean() -> None:
    rows = list(noise(3000, seed=13))
    with_gaps = [each for row in rows for each in (row, FAILED)]
    one, other = _learned(), _learned()
    told(one, rows)
    told(other, with_gaps)
    told(one, [FAILED])
    assert other.statistics() == one.statistics()
    # But for the latest id: it is no part of the scales.
    assert other.snapshot()[10:] == one.snapshot()[10:]


_SCRIPT = [
    *noise(400, seed=2),
    *_after(900, 8.0),
    *noise(500, seed=3),
    *_after(6000, 5.0, over=2000),
    *noise(1500, seed=4),
]


@few
@given(st.integers(0, len(_SCRIPT)))
def test_a_chart_goes_on_from_anywhere_as_if_it_had_not_been_cut(cut: int) -> None:
    one, other = _learned(), Chart()
    told(one, _SCRIPT[:cut])
    state = one.snapshot()
    assert len(state) <= 4 * _MOST_STATE_BYTES
    other.restore(state)
    assert other.snapshot() == state
    assert told(one, _SCRIPT[cut:], cut) == told(other, _SCRIPT[cut:], cut)
    assert one.snapshot() == other.snapshot()


def test_the_former_option_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(PredictorError, match=r"^predictor\.options\.average: .*remove it"):
        load("chart", {"average": 60})


def test_the_level_of_means_is_that_of_their_whole_warm_up() -> None:
    ramp = [moved(row, 1, number / 30) for number, row in enumerate(noise(300))]
    of_rows, of_means = fit(ramp, 0.1), fit(ramp, 0.1, SPREAD)
    assert of_means.level[1] == pytest.approx(LEVEL[1] + 5 * SPREAD[1], abs=SPREAD[1] / 2)
    assert of_rows.level[1] == pytest.approx(LEVEL[1] + 8.3 * SPREAD[1], abs=SPREAD[1] / 2)
