"""Records as strips: what a program reads that wants very many of them."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.read import File, Place, Site, Tables, runs, spans
from support.store import change, header, sample, send_on

from broker.recorder.reader import Span
from quartet.channels import Values
from quartet.errors import StoreError

NewPlace = Callable[[], Awaitable[Place]]

many = settings(derandomize=True, deadline=None, max_examples=40)


async def another(place: Place) -> Place:
    """Another one of its kind, while it is there."""
    if isinstance(place, File):
        folder = place.path.parent / "other"
        folder.mkdir()
        return File(folder)
    assert isinstance(place, Tables)
    return Tables(await place.database.server.create())


async def test_strips_are_the_news_with_what_was_said(site: Site) -> None:
    await site.stream("a", 0, 0, 25, 0)
    await site.stream("b", 0, 5, 10, 77)
    with await site.lines.open(None) as plain:
        await send_on(plain, [sample(0)] * 10)
    await site.stream("a", 0, 25, 8, 250)
    cursor, seen, said = "", list[tuple[str, int, bool, Values]](), list[tuple[str, int, str]]()
    is_last = False
    while not is_last:
        bulk = await site.reader.bulk(cursor, 7)
        assert not bulk.is_another
        for strip in bulk.strips:
            columns = zip(strip.sampled_at_ns, strip.predictions, strip.values, strict=True)
            seen += [(strip.agent_id, at_ns, bool(p), row) for at_ns, p, row in columns]
            said += [(strip.agent_id, strip.sampled_at_ns[n], text) for n, text in strip.said]
        cursor, is_last = bulk.cursor, bulk.is_last
    news = (await site.reader.news("", 1000)).samples
    told = [(each.agent_id, each.sampled_at_ns, each.prediction, each.values) for each in news]
    assert sorted(seen) == sorted(told)
    assert bulk.arrived_at_ns in {None, news[-1].arrived_at_ns}
    for agent in "ab":
        assert [each[1:] for each in said if each[0] == agent] == [
            (each.sampled_at_ns, each.text)
            for each in await site.reader.explanations(agent, Span())
        ]
    assert len(said) == 3 + 1 + 1
    last = await site.reader.bulk(cursor, 7)
    assert (last.strips, last.cursor, last.is_last, last.is_another) == ([], cursor, True, False)


async def test_a_cursor_of_another_store_is_told_from_one_behind_samples_that_are_gone(
    new_place: NewPlace,
) -> None:
    one = await new_place()
    async with one.running() as site:
        await site.stream("b", 0, 0, 5, 0)
        await site.stream("a", 0, 0, 5, 0)
        within = (await site.reader.bulk("", 8)).cursor
        end = (await site.reader.bulk("", 100)).cursor
    await site.reader.command_forget("a")
    for cursor in (within, end, ""):
        assert not (await site.reader.bulk(cursor, 100)).is_another
    place = await another(one)
    async with place.running() as other:
        other.clock.advance(1.0)
        await other.stream("a", 0, 0, 9, 0)
    assert (await other.reader.bulk(within, 100)).is_another  # another sample is there
    assert (await other.reader.bulk(end, 100)).is_another  # none ever was
    for each in (one, place):
        await each.close()


async def test_a_store_that_is_shorter_says_where_what_was_read_of_it_ends(
    place: Place,
) -> None:
    async with place.running() as site:
        for number in range(3):
            await site.stream("a", 0, 5 * number, 5, 0)
            site.clock.advance(1.0)
    cursors = [(await site.reader.bulk("", most)).cursor for most in (5, 10, 14, 15)]
    await place.shorten(10)
    for cursor in cursors[2:]:
        bulk = await site.reader.bulk(cursor, 100)
        assert (bulk.is_another, bulk.strips, bulk.cursor) == (True, [], cursors[1])
    (_, arrived_at_ns) = cursors[3].rsplit(":", 1)
    for other in (f"12:{arrived_at_ns}", f"0000abcd:1:2:3:{arrived_at_ns}"):  # of each kind
        bulk = await site.reader.bulk(other, 100)
        assert (bulk.is_another, bulk.strips, bulk.cursor) == (True, [], cursors[1])
    async with place.running() as site:  # and where it has grown since
        site.clock.advance(10.0)
        await site.stream("a", 1, 0, 9, 0)
    for cursor in cursors[2:]:
        bulk = await site.reader.bulk(cursor, 100)
        assert (bulk.is_another, bulk.strips, bulk.cursor) == (True, [], cursors[1])


@many
@given(st.lists(runs, max_size=6), st.lists(spans, min_size=1, max_size=4))
async def test_a_strip_has_the_samples_of_a_span(
    new_place: NewPlace, script: list[tuple[str, int, int, int]], spans: list[list[int]]
) -> None:
    async with (await new_place()).running() as site:
        now_ns, cursor = 100, ""
        for number, (agent, count, _, pause_ns) in enumerate(script):
            await site.stream(agent, number, 0, count, now_ns)
            now_ns += 10 * count + pause_ns
            if number == 1:
                cursor = (await site.reader.bulk("", 1000)).cursor
        first = sum(each[1] for each in script[:2])
        for since_ns, until_ns in spans:
            for behind in ("", cursor):
                strip = await site.reader.strip("a", Span(since_ns, until_ns), 1000, behind)
                assert strip
                assert strip.sampled_at_ns == [
                    each[3]
                    for each in site.sent[first if behind else 0 :]
                    if each[0] == "a" and since_ns <= each[3] < until_ns
                ]


async def test_a_strip_is_found_amid_many_and_is_none_where_it_is_too_long(site: Site) -> None:
    """Also where all arrived at once, and where a clock was set back."""
    hour_ns = 3600 * 10**9
    for number in range(9):
        opened = header(0, number, at_ns=number * hour_ns, period_ns=10**9)
        with await site.lines.open(opened) as stream:
            await send_on(stream, [sample(id_) for id_ in range(3600)])
    opened = header(0, 9, at_ns=7 * hour_ns + hour_ns // 2, period_ns=10**9)
    with await site.lines.open(opened) as stream:
        await send_on(stream, [sample(id_) for id_ in range(3600)])
    for number in range(9):
        span = Span(number * hour_ns, (number + 1) * hour_ns)
        expected = 5400 if number in {7, 8} else 3600
        strip = await site.reader.strip("a", span, expected)
        assert strip
        assert len(strip.values) == len(strip.predictions) == expected
        assert await site.reader.strip("a", span, expected - 1) is None


async def test_a_sample_that_is_damaged_is_said_in_a_strip(on_disk: Site) -> None:
    site = on_disk
    await site.stream("a", 0, 0, 5, 0)
    change(site.place.path, "UPDATE samples SET sensors = x'00' WHERE id = 3")
    with pytest.raises(StoreError, match="damaged"):
        await site.reader.strip("a", Span(), 10)


async def test_samples_that_are_damaged_are_counted_beside_the_others(on_disk: Site) -> None:
    site = on_disk
    await site.stream("a", 0, 0, 5, 0)
    change(site.place.path, "UPDATE samples SET sensors = x'00' WHERE id = 3")
    bulk = await site.reader.bulk("", 10)
    assert bulk.damaged == 1
    assert [[*strip.sampled_at_ns] for strip in bulk.strips] == [[0, 10, 20, 40]]
    assert bulk.strips[0].peer == "1.2.3.4:5"


async def test_a_part_that_was_sampled_before_the_clock_was_set_back_is_found(site: Site) -> None:
    for number, (at_s, step_s, count) in enumerate(((0, 36, 100), (1800, 1, 900))):
        opened = header(0, number, at_ns=at_s * 10**9, period_ns=step_s * 10**9)
        with await site.lines.open(opened) as stream:
            await send_on(stream, [sample(id_) for id_ in range(count)])
    strip = await site.reader.strip("a", Span(3000 * 10**9, 3600 * 10**9), 100)
    assert strip
    assert [at_ns // 10**9 for at_ns in strip.sampled_at_ns] == [*range(3024, 3600, 36)]
