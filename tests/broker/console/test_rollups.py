"""Samples folded into buckets say what the samples say, in whatever parts they come."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.console.book.rollups import LEVELS, Buckets, Stats, coarser, fold, merge
from broker.recorder.reader import Strip
from quartet.channels import CHANNELS, Values, as_float32

many = settings(derandomize=True, deadline=None, max_examples=200)

S_NS = 10**9
_LEAST_FLOAT32 = 2.0**-149
WIDTH_NS = LEVELS[0].width_ns
_START_NS = 1_750_000_000 * S_NS

Sample = tuple[int, int, Values]
"""When it was taken, its answer, its values."""

values = st.tuples(
    *[st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(width=32)] * CHANNELS
).map(as_float32)
times = st.integers(0, 1500 * 10).map(lambda tenths: _START_NS + tenths * S_NS // 10)
samples = st.lists(st.tuples(times, st.integers(0, 1), values), max_size=60)


def strip(found: Sequence[Sample]) -> Strip:
    at_ns, predictions, rows = zip(*found, strict=True) if found else ((), (), ())
    return Strip("a", at_ns, predictions, rows)


def folded(found: Sequence[Sample], width_ns: int = WIDTH_NS) -> Buckets:
    buckets: Buckets = {}
    fold(strip(found), buckets, width_ns)
    return buckets


def is_said(stats: Stats, found: Sequence[Sample], begin_ns: int, digits: float) -> None:
    """Check a bucket against all of its samples."""
    assert stats.n == len(found)
    assert stats.trues == sum(each[1] for each in found)
    offsets_ms = [(each[0] - begin_ns) // 10**6 for each in found]
    assert (stats.first_ms, stats.last_ms) == (min(offsets_ms), max(offsets_ms))
    for channel in range(CHANNELS):
        column = [each[2][channel] for each in found if not math.isnan(each[2][channel])]
        assert stats.failed[channel] == len(found) - len(column)
        assert stats.measured(channel) == len(column)
        if not column:
            continue
        assert (stats.least[channel], stats.most[channel]) == (min(column), max(column))
        if all(map(math.isfinite, column)):
            # What is packed is a float32: near zero, its steps are as wide as the values.
            error = digits * sum(map(abs, column)) + len(column) * _LEAST_FLOAT32
            assert stats.total[channel] == pytest.approx(math.fsum(column), abs=error)
        else:
            assert not math.isfinite(stats.total[channel])


def are_said(
    buckets: Buckets, found: Sequence[Sample], width_ns: int, digits: float = 1e-9
) -> None:
    assert buckets.keys() == {each[0] // width_ns for each in found}
    for number, stats in buckets.items():
        own = [each for each in found if each[0] // width_ns == number]
        is_said(stats, own, number * width_ns, digits)


@many
@given(samples)
def test_buckets_say_what_their_samples_say_on_each_level(found: list[Sample]) -> None:
    buckets = folded(found)
    are_said(buckets, found, WIDTH_NS)
    for level in LEVELS[1:]:
        ratio = level.width_s // LEVELS[0].width_s
        are_said(coarser(buckets.items(), ratio, WIDTH_NS), found, level.width_ns)


@many
@given(samples, st.lists(st.integers(0, 60)), st.randoms(use_true_random=False))
def test_parts_in_any_order_say_the_same(
    found: list[Sample], cuts: list[int], chance: "object"
) -> None:
    edges = [0, *sorted(cuts), len(found)]
    parts = [found[begin:end] for begin, end in itertools.pairwise(edges)]
    chance.shuffle(parts)  # type: ignore[attr-defined]
    buckets: Buckets = {}
    for part in parts:
        merge(buckets, folded(part).items())
    are_said(buckets, found, WIDTH_NS)


@many
@given(samples, st.sampled_from(LEVELS))
def test_what_is_packed_is_read_again(found: list[Sample], level: object) -> None:
    width_ns = level.width_ns  # type: ignore[attr-defined]
    buckets = {n: Stats.unpack(stats.pack()) for n, stats in folded(found, width_ns).items()}
    are_said(buckets, found, width_ns, digits=1e-6)


def test_a_bucket_of_very_many_samples_is_read_again() -> None:
    stats = Stats()
    for _ in range(100):
        stats.add([1] * 1000, [(1.0, math.nan, 3.0, 4.0)] * 1000)
    stats.seen(0, 599_999)
    again = Stats.unpack(stats.pack())
    assert (again.n, again.trues, again.failed, again.last_ms) == (
        *(100_000, 100_000, [0, 100_000, 0, 0], 599_999),
    )


def test_a_bucket_takes_few_bytes_and_less_without_a_sensor() -> None:
    found = [(_START_NS, 0, (1.0, 2.0, 3.0, 4.0))] * 100
    (stats,) = folded(found).values()
    assert len(stats.pack()) <= 57
    (stats,) = folded([(_START_NS, 0, (1.0, math.nan, math.nan, math.nan))] * 100).values()
    assert len(stats.pack()) <= 29
