import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CadenceError
from agent.sources.cadence import (
    Overhead,
    Pace,
    best_rate_hz,
    choose_pace,
    conversion_ns,
    row_ns,
    unfinished_ns,
)
from agent.sources.models import ADS1015, ADS1115, Model
from quartet.errors import SettingsError

many = settings(derandomize=True, deadline=None)
models = st.sampled_from([ADS1115, ADS1015])
channel_counts = st.integers(1, 4)
averages = st.integers(1, 64)
overheads = st.tuples(st.integers(0, 5_000_000), st.integers(0, 5_000_000)).map(
    lambda both: Overhead(verified_ns=max(both), plain_ns=min(both))
)

# 38 and 48 bits at 400 kHz, and twice 100 us of the computer; with the questions,
# 124 bits and three times that more.
FAST_BUS = Overhead(verified_ns=805_000, plain_ns=415_000)


@pytest.mark.parametrize("data_rate", [*ADS1115.data_rates, *ADS1015.data_rates])
def test_no_chip_of_the_data_sheet_is_later_or_earlier(data_rate: int) -> None:
    wake_up_ns, slowest, fastest = 25_000, 0.9, 1.1
    assert conversion_ns(data_rate) >= wake_up_ns + 1e9 / (slowest * data_rate)
    assert unfinished_ns(data_rate) <= wake_up_ns + 1e9 / (fastest * data_rate)


@many
@given(models, st.floats(0.0001, 1000), channel_counts, averages, overheads)
def test_the_lowest_data_rate_that_keeps_the_cadence_is_chosen_or_none(
    model: Model, rate_hz: float, channels: int, average: int, overhead: Overhead
) -> None:
    period_ns = round(1e9 / rate_hz)
    room_ns = min(period_ns, 1_000_000_000)
    keeping = [
        rate
        for rate in model.data_rates
        if row_ns(rate, channels, average, 2 * overhead.verified_ns) <= room_ns
    ]

    def chosen() -> Pace:
        return choose_pace(model, period_ns, channels, average, overhead)

    if keeping:
        assert chosen() == Pace(min(keeping), is_verified=True)
    elif row_ns(model.fastest, channels, average, overhead.verified_ns) <= period_ns:
        assert chosen() == Pace(model.fastest, is_verified=True)
    elif row_ns(model.fastest, channels, average, overhead.plain_ns) <= period_ns:
        assert chosen() == Pace(model.fastest, is_verified=False)
    else:
        with pytest.raises(CadenceError):
            chosen()


@many
@given(models, channel_counts, averages, overheads)
def test_the_best_rate_that_an_error_names_is_kept_and_more_is_not(
    model: Model, channels: int, average: int, overhead: Overhead
) -> None:
    best_hz = best_rate_hz(model, channels, average, overhead.plain_ns)
    kept = choose_pace(model, round(1.001e9 / best_hz), channels, average, overhead)
    assert kept.data_rate == model.fastest
    with pytest.raises(CadenceError, match="choose at most ") as raised:
        choose_pace(model, round(0.99e9 / best_hz), channels, average, overhead)
    assert isinstance(raised.value, SettingsError)
    named_hz = float(str(raised.value).partition("choose at most ")[2].partition(",")[0])
    assert best_hz - 0.1 <= named_hz <= best_hz


@pytest.mark.parametrize(
    ("data_rate", "rows", "is_verified"),
    [
        *[(64, 13, True), (128, 23, True), (250, 40, True), (475, 62, True), (860, 116, True)],
        (860, 142, False),
    ],
)
def test_the_limits_are_those_of_the_documentation(
    data_rate: int, rows: int, is_verified: bool
) -> None:
    pace = Pace(data_rate, is_verified)
    assert choose_pace(ADS1115, round(1e9 / rows), 4, 1, FAST_BUS) == pace
    if data_rate < 860:
        assert choose_pace(ADS1115, round(1e9 / (rows + 1)), 4, 1, FAST_BUS).data_rate > data_rate
    elif is_verified:
        assert not choose_pace(ADS1115, round(1e9 / (rows + 1)), 4, 1, FAST_BUS).is_verified


def test_averaging_is_named_where_less_of_it_would_help() -> None:
    with pytest.raises(CadenceError, match="or average fewer than 16 conversions"):
        choose_pace(ADS1115, 50_000_000, 4, 16, FAST_BUS)
    with pytest.raises(CadenceError, match=r"choose at most [0-9.]+$"):
        choose_pace(ADS1115, 5_000_000, 4, 1, FAST_BUS)
