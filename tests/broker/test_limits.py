"""The predictors that are built in and keep no state: limits and parity."""

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import sample

from broker.errors import PredictorError
from broker.model import Sample
from broker.predictors.limits import Limits
from broker.predictors.load import load
from broker.predictors.parity import Parity
from quartet.channels import Values
from quartet.recording import Recording
from wire import MAX_ID

many = settings(derandomize=True, deadline=None, max_examples=60)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
bands = st.tuples(finite, finite).map(sorted).filter(lambda band: band[0] < band[1])
four_bands = st.tuples(bands, bands, bands, bands)


# Limits


@many
@given(four_bands, st.data())
def test_limits_are_true_exactly_when_a_channel_is_out_of_its_band(
    band_of: tuple[list[float], ...], data: st.DataObject
) -> None:
    limits = Limits([low for low, _ in band_of], [high for _, high in band_of])
    values = [
        data.draw(
            st.floats(low, high, width=32) | st.sampled_from([low, high]) | st.floats(width=32)
        )
        for low, high in band_of
    ]
    out = any(not low <= v <= high for v, (low, high) in zip(values, band_of, strict=True))
    assert limits.predict(sample(*values)) is out


@many
@given(bands, st.integers(0, 3))
def test_both_bounds_are_within_the_band_and_the_next_numbers_are_not(
    band: list[float], channel: int
) -> None:
    low, high = band
    limits = Limits(low, high)
    values = [low] * 4
    for value, out in [
        (low, False),
        (high, False),
        (math.nextafter(low, -math.inf), True),
        (math.nextafter(high, math.inf), True),
    ]:
        values[channel] = value
        assert limits.predict(sample(*values)) is out


@many
@given(st.floats(-1e30, 1e30))
def test_a_value_at_a_bound_is_within_it_after_the_wire_has_rounded_it(bound: float) -> None:
    (arrived,) = struct.unpack("<f", struct.pack("<f", bound))
    for limits in (Limits(-1e38, bound), Limits(bound, 1e38)):
        assert not limits.predict(sample(*[arrived] * 4))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channel", range(4))
def test_a_reading_that_is_not_finite_is_out_of_any_band(value: float, channel: int) -> None:
    values = [0.0] * 4
    values[channel] = value
    assert Limits(-math.inf, math.inf).predict(sample(*values)) is True
    assert Limits(-math.inf, math.inf).predict(sample(0.0, 1e38, -1e38, 0.0)) is False


def test_one_bound_for_all_and_a_list_of_them_go_together() -> None:
    limits = Limits(0, [1, 2, 3, 4])
    assert not limits.predict(sample(1.0, 2.0, 3.0, 4.0))
    assert limits.predict(sample(1.0, 2.5, 3.0, 4.0))
    assert limits.predict(sample(-0.5, 2.0, 3.0, 4.0))
    assert Limits([0, 0, 0, 1], 9).predict(sample(0.5, 0.5, 0.5, 0.5))


def test_limits_hold_no_state() -> None:
    limits = Limits(0.0, 1.0)
    assert [limits.predict(sample(v, 0, 0, 0)) for v in (0.5, 2.0, 0.5)] == [False, True, False]


def test_the_default_limits_alarm_from_the_onset_in_the_shipped_recording_on(dataset: Path) -> None:
    def as_float32(row: Values) -> list[float]:
        return list(struct.unpack("<4f", struct.pack("<4f", *row)))

    limits = Limits()
    with Recording(dataset) as table:
        alarms = [
            n for n, row in enumerate(table) if limits.predict(sample(*as_float32(row.values)))
        ]
    assert alarms == list(range(alarms[0], alarms[0] + len(alarms)))
    assert len(alarms) > 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"low": 1.0, "high": 1.0}, "low must be below high"),
        ({"low": 2}, "low must be below high"),
        ({"high": [1, 1, 1, 0]}, "low must be below high"),
        ({"low": math.nan}, "low must be below high"),
        ({"high": math.nan}, "low must be below high"),
        ({"low": [1, 2, 3]}, "low must be one number, or a list of 4, got [1, 2, 3]"),
        ({"high": [1, 2, 3, 4, 5]}, "high must be one number, or a list of 4"),
        ({"high": "0.2"}, "high must be one number, or a list of 4, got '0.2'"),
        ({"high": "1234"}, "high must be one number, or a list of 4, got '1234'"),
        ({"high": [1, 2, 3, "4"]}, "high must be one number, or a list of 4"),
        ({"low": None}, "low must be one number, or a list of 4, got None"),
        ({"low": {"a": 1}}, "low must be one number, or a list of 4"),
    ],
)
def test_limits_refuse_bounds_that_are_none(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match="must be") as raised:
        Limits(**options)
    assert str(raised.value).startswith(reason)
    with pytest.raises(PredictorError) as loading:
        load("limits", options)
    assert f"ValueError: {reason}" in str(loading.value)


# Parity


@many
@given(st.integers(-(2**31), MAX_ID))
def test_parity_is_true_for_an_even_id(id_: int) -> None:
    assert Parity().predict(Sample(id_, (math.nan,) * 4)) is (id_ & 1 == 0)
