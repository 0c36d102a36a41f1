import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CadenceError
from agent.sources.cadence import (
    DATA_RATES,
    best_rate_hz,
    choose_data_rate,
    conversion_ns,
    row_ns,
)
from quartet.errors import SettingsError

many = settings(derandomize=True, deadline=None)
channel_counts = st.integers(1, 4)
averages = st.integers(1, 64)
overheads = st.integers(0, 5_000_000)

# 38 and 48 bits at 400 kHz, and twice 100 us of the computer.
FAST_BUS_NS = 415_000


@pytest.mark.parametrize("data_rate", DATA_RATES)
def test_the_slowest_chip_has_finished_when_it_is_asked(data_rate: int) -> None:
    wake_up_ns, slowest = 25_000, 0.9
    assert conversion_ns(data_rate) >= wake_up_ns + 1e9 / (slowest * data_rate)


@many
@given(st.floats(0.0001, 300), channel_counts, averages, overheads)
def test_the_lowest_data_rate_that_keeps_the_cadence_is_chosen_or_none(
    rate_hz: float, channels: int, average: int, overhead_ns: int
) -> None:
    period_ns = round(1e9 / rate_hz)
    room_ns = min(period_ns, 1_000_000_000)
    keeping = [
        rate for rate in DATA_RATES if row_ns(rate, channels, average, 2 * overhead_ns) <= room_ns
    ]
    if keeping:
        assert choose_data_rate(period_ns, channels, average, overhead_ns) == min(keeping)
    elif row_ns(860, channels, average, overhead_ns) <= period_ns:
        assert choose_data_rate(period_ns, channels, average, overhead_ns) == 860
    else:
        with pytest.raises(CadenceError):
            choose_data_rate(period_ns, channels, average, overhead_ns)


@many
@given(channel_counts, averages, overheads)
def test_the_best_rate_that_an_error_names_is_kept_and_more_is_not(
    channels: int, average: int, overhead_ns: int
) -> None:
    best_hz = best_rate_hz(channels, average, overhead_ns)
    assert choose_data_rate(round(1.001e9 / best_hz), channels, average, overhead_ns) == 860
    with pytest.raises(CadenceError, match="choose at most ") as raised:
        choose_data_rate(round(0.99e9 / best_hz), channels, average, overhead_ns)
    assert isinstance(raised.value, SettingsError)
    named_hz = float(str(raised.value).partition("choose at most ")[2].partition(",")[0])
    assert best_hz - 0.1 <= named_hz <= best_hz


@pytest.mark.parametrize(("data_rate", "rows"), [(128, 25), (250, 46), (475, 77), (860, 142)])
def test_the_limits_are_those_of_the_documentation(data_rate: int, rows: int) -> None:
    assert choose_data_rate(round(1e9 / rows), 4, 1, FAST_BUS_NS) == data_rate
    if data_rate < 860:
        assert choose_data_rate(round(1e9 / (rows + 1)), 4, 1, FAST_BUS_NS) > data_rate


def test_averaging_is_named_where_less_of_it_would_help() -> None:
    with pytest.raises(CadenceError, match="or average fewer than 16 conversions"):
        choose_data_rate(50_000_000, 4, 16, FAST_BUS_NS)
    with pytest.raises(CadenceError, match=r"choose at most [0-9.]+$"):
        choose_data_rate(5_000_000, 4, 1, FAST_BUS_NS)
