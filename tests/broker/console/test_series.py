"""Pictures of a span: of all of its samples, at every zoom, of what is read and what is not."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.book import HOUR_NS, NOW_NS, each_s, fed, is_picture, opened, stored
from support.clock import ManualClock
from support.past import S_NS, Past, Taken

from broker.console.book import Book
from broker.recorder.reader import Span
from quartet.channels import CHANNELS, Values

many = settings(derandomize=True, deadline=None, max_examples=25)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with stored(tmp_path) as past:
        yield past


values = st.tuples(
    *[st.sampled_from([0.0, -1.0, 2.5, 1000.0, math.nan, math.inf, -math.inf])] * CHANNELS
)
# A period, a pause, a day, a clock that is set back.
steps_s = st.sampled_from([1, 1, 1, 7, 100, 3000, 86_400, -40, -3600])
pieces = st.lists(
    st.tuples(st.sampled_from("ab#"), st.lists(st.tuples(steps_s, values, st.booleans()))),
    max_size=6,
)


@many
@given(pieces, st.integers(1, 9), st.booleans(), st.sampled_from([3, 60, 4000]))
async def test_each_sample_is_in_the_picture_once_in_whatever_parts_it_was_read(
    pieces: list[tuple[str, list[tuple[int, Values, bool]]]],
    chunk: int,
    is_reopened: bool,
    most: int,
) -> None:
    """Also those of each level, and with the newest ones not read yet."""
    now_ns = NOW_NS - 86_400 * S_NS
    sent: dict[str, list[Taken]] = {"a": [], "b": []}
    with tempfile.TemporaryDirectory() as folder, stored(Path(folder)) as past:
        async with opened(Path(folder), ManualClock(wall_s=4e9), chunk) as book:
            for agent, steps in pieces:
                taken = []
                for step_s, row, is_true in steps:
                    now_ns += step_s * S_NS
                    taken.append(Taken(now_ns, row, is_true))
                past.add(None if agent == "#" else agent, taken)
                sent.setdefault(agent, []).extend(taken)
                await book.feed(past.reader)
            if not is_reopened:
                await shows_all(book, past, sent, most)
        async with opened(Path(folder), ManualClock(wall_s=4e9), chunk) as book:
            await shows_all(await fed(book, past), past, sent, most)


async def shows_all(book: Book, past: Past, sent: dict[str, list[Taken]], most: int) -> None:
    for agent in "ab":
        times = [each.at_ns for each in sent[agent]]
        begin_ns, end_ns = min(times, default=0), max(times, default=0) + 1
        series = await book.series(past.reader, agent, Span(begin_ns, end_ns), most)
        is_picture(series, sent[agent])
        assert len(series.n) <= max(most + 1, 2 * most)


async def test_a_single_peak_is_seen_at_every_zoom(past: Past, tmp_path: Path) -> None:
    peak = Taken(NOW_NS - 3 * HOUR_NS + 5, (99.0, 2.0, 3.0, 4.0))
    begin_ns = NOW_NS - 200 * HOUR_NS
    past.add("press-1", each_s(2000, begin_ns, step_ns=360 * S_NS)[:-30])
    past.add("press-1", each_s(3000, peak.at_ns - 3000 * S_NS // 10, step_ns=S_NS // 10))
    past.add("press-1", [peak])
    past.add("press-1", each_s(3000, peak.at_ns + 1, step_ns=S_NS // 10))
    async with opened(tmp_path) as book:
        levels = set()
        for _ in range(2):
            for width_s in (1, 60, 600, 3600, 86_400, 199 * 3600):
                for most in (1, 100, 1000, 4000):
                    begin = max(begin_ns, peak.at_ns - width_s * S_NS // 2)
                    span = Span(begin, begin + width_s * S_NS)
                    series = await book.series(past.reader, "press-1", span, most)
                    assert max(each for each in series.most[0] if each is not None) == 99.0
                    levels.add(series.level)
            await fed(book, past)
    assert {"raw", "1 s", "10 s", "1 min", "10 min"} <= levels


async def test_a_picture_of_years_is_made_of_few_buckets(past: Past, tmp_path: Path) -> None:
    taken = each_s(5 * 366 * 8, NOW_NS - 5 * 366 * 24 * HOUR_NS, step_ns=3 * HOUR_NS)
    past.add("press-1", taken)
    async with opened(tmp_path) as book:
        await fed(book, past)
        for most in (1000, 4000):
            begin_ns = taken[0].at_ns
            for days in (5 * 366, 5 * 100):
                span = Span(begin_ns, begin_ns + days * 24 * HOUR_NS)
                series = await book.series(past.reader, "press-1", span, most)
                is_picture(series, [each for each in taken if each.at_ns in span])
                assert 500 <= len(series.n) <= 2001
                if most == 1000 or days > 1000:
                    assert series.level == "2 h"


async def test_few_samples_are_shown_as_they_are_and_many_are_folded(
    past: Past, tmp_path: Path
) -> None:
    past.add("press-1", each_s(1000, NOW_NS, values=(1.5, math.nan, math.inf, 4.0)))
    async with opened(tmp_path) as book:
        span = Span(NOW_NS, NOW_NS + 1000 * S_NS)
        raw = await book.series(past.reader, "press-1", span, 500)
        assert (raw.level, raw.width_ns, len(raw.n)) == ("raw", 0, 1000)
        assert (raw.least[0][0], raw.mean[1][0], raw.most[2][0]) == (1.5, None, math.inf)
        folded = await book.series(past.reader, "press-1", span, 499)
        assert (folded.level, folded.width_ns, folded.n[0]) == ("5 s", 5 * S_NS, 5)
        assert (folded.mean[0][0], folded.mean[2][0]) == (1.5, None)
        assert folded.failed[1][0] == 5
        coarse = await book.series(past.reader, "press-1", span, 10)
        assert (coarse.level, coarse.width_ns, len(coarse.n)) == ("1 min", 120 * S_NS, 9)


async def test_what_is_pruned_from_the_store_is_still_in_the_history(
    past: Past, tmp_path: Path
) -> None:
    taken = each_s(3000, NOW_NS)
    past.add("press-1", taken)
    async with opened(tmp_path) as book:
        await fed(book, past)
        past.prune("press-1", NOW_NS + 2000 * S_NS)
        for most in (1, 1000, 4000):
            span = Span(NOW_NS, NOW_NS + 3000 * S_NS)
            is_picture(await book.series(past.reader, "press-1", span, most), taken)
        part = Span(NOW_NS + 2005 * S_NS, NOW_NS + 2995 * S_NS)
        assert (await book.series(past.reader, "press-1", part, 1000)).level == "raw"
        gone = Span(NOW_NS + 3 * S_NS, NOW_NS + 5 * S_NS)
        assert (await book.series(past.reader, "press-1", gone, 1000)).level == "10 s"
        assert await book.begins("press-1") == NOW_NS
        assert await book.begins("press-2") is None


@pytest.mark.parametrize(
    ("span", "most", "said"),
    [
        (Span(5, 5), 10, "ends before it begins"),
        (Span(0, 5), 0, "1 to 4000, not 0"),
        (Span(0, 5), 10**9, "1 to 4000"),
    ],
)
async def test_what_is_no_picture_is_an_error(
    span: Span, most: int, said: str, past: Past, tmp_path: Path
) -> None:
    async with opened(tmp_path) as book:
        with pytest.raises(ValueError, match=said):
            await book.series(past.reader, "press-1", span, most)


YEAR_NS = 366 * 24 * HOUR_NS


@pytest.mark.parametrize("wrong_ns", [1000 * S_NS, NOW_NS + 5 * YEAR_NS, NOW_NS - 90 * HOUR_NS])
async def test_a_clock_that_was_wrong_for_a_while_hides_no_sample(
    wrong_ns: int, past: Past, tmp_path: Path
) -> None:
    """Of what is not read yet, and so has no other record."""
    stretches = [NOW_NS, wrong_ns, NOW_NS + 14_000 * S_NS]
    for begin_ns, count in zip(stretches, (8000, 6000, 8000), strict=True):
        past.add("press-1", each_s(count, begin_ns))
    past.rows.execute("UPDATE samples SET arrived_at_ns = ? + position * ?", (NOW_NS, S_NS))
    async with opened(tmp_path) as book:
        for begin_ns in stretches:
            for since_s, until_s in ((0, 6000), (2000, 5000), (3000, 3010)):
                span = Span(begin_ns + since_s * S_NS, begin_ns + until_s * S_NS)
                strip = await past.reader.strip("press-1", span, 10_000)
                assert strip
                assert len(strip.values) == until_s - since_s
                series = await book.series(past.reader, "press-1", span, 1000)
                assert sum(series.n) == until_s - since_s


async def test_samples_of_another_time_zone_are_found(past: Past) -> None:
    past.add("press-1", each_s(20_000, NOW_NS))
    for hours in (-12, 14):
        past.rows.execute(
            "UPDATE samples SET arrived_at_ns = sampled_at_ns - ?", (hours * HOUR_NS,)
        )
        for since_s in range(0, 20_000, 1990):
            span = Span(NOW_NS + since_s * S_NS, NOW_NS + (since_s + 5) * S_NS)
            strip = await past.reader.strip("press-1", span, 10)
            assert strip
            assert len(strip.values) == 5
