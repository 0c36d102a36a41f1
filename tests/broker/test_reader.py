"""What people ask of the records."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S
from support.read import Even, Place, Site, runs, spans
from support.store import change, sample, select, send, send_on

from broker.judged import State, judged
from broker.model import Sample
from broker.recorder.opening import open_reader
from broker.recorder.reader import Span
from quartet.errors import StoreError

NewPlace = Callable[[], Awaitable[Place]]

many = settings(derandomize=True, deadline=None, max_examples=40)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@many
@given(st.lists(runs, max_size=8), st.lists(spans, min_size=1, max_size=5))
async def test_the_samples_of_a_span_are_all_that_were_taken_in_it(
    new_place: NewPlace, script: list[tuple[str, int, int, int]], spans: list[list[int]]
) -> None:
    async with (await new_place()).running() as site:
        now_ns = 100
        next_ids = {"a": 0, "b": 0}
        for number, (agent, count, jump, pause_ns) in enumerate(script):
            session = number // 3
            await site.stream(agent, session, next_ids[agent] + jump, count, now_ns)
            next_ids[agent] += jump + count
            now_ns += 10 * count + pause_ns
        for since_ns, until_ns in spans:
            for agent in "ab":
                found = await site.found(agent, Span(since_ns, until_ns))
                assert [
                    (each.agent_id, int(each.session_id, 16), each.id, each.sampled_at_ns)
                    for each in found
                ] == [
                    each
                    for each in site.sent
                    if each[0] == agent and since_ns <= each[3] < until_ns
                ]
                assert all(each.prediction is (each.id % 2 == 0) for each in found)
                assert all(each.values == sample(each.id).values for each in found)


async def test_many_samples_come_in_parts_and_hold_nobody_up(on_disk: Site) -> None:
    site = on_disk
    await site.stream("a", 0, 0, 3000, 0)
    parts = []
    async for part in site.reader.samples("a", Span()):
        parts.append(len(part))
        await site.stream("b", 0, len(parts), 1, 0)
        # A reader that held the records still would leave the log to grow.
        assert select(site.place.path, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
    assert sum(parts) == 3000
    assert max(parts) <= 500


async def test_a_clock_that_was_set_back_or_ahead_hides_no_sample(site: Site) -> None:
    """In one session; and a backlog that arrives late."""
    hour_ns = 3600 * 10**9
    now_ns = site.clock.time_ns()
    first_id = 0
    for at_ns in (
        *(now_ns, now_ns + hour_ns // 2, now_ns - hour_ns, 0, now_ns - 900 * hour_ns),
        *(now_ns + 12 * hour_ns, now_ns + 9000 * hour_ns, now_ns + 4 * hour_ns),
    ):
        await site.stream("a", 0, first_id, 700, at_ns)
        first_id += 700
        site.clock.advance(7200.0)
    times = sorted(each[3] for each in site.sent)
    for since_ns, until_ns in itertools.combinations(times[::300], 2):
        found = await site.found("a", Span(since_ns, until_ns))
        assert len(found) == sum(since_ns <= each < until_ns for each in times)


async def test_the_samples_of_forgotten_sessions_are_found(place: Place) -> None:
    async with place.running(sessions=2) as site:
        for session in range(5):
            await send(site.lines, range(3), session)
        async with asyncio.timeout(PATIENCE_S):
            while await place.select("SELECT count(*) FROM sessions") != [(2,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    reader = place.reader
    found = [each async for some in reader.samples("a", Span()) for each in some]
    assert [each.id for each in found] == [0, 1, 2] * 5
    assert [each.session_id for each in found[:3] + found[-1:]] == ["", "", "", f"{4:032x}"]
    assert len((await reader.news("", 100)).samples) == 15


async def test_who_follows_passes_by_plain_peers(site: Site) -> None:
    with await site.lines.open(None) as plain:
        await send_on(plain, [sample(0)] * 10)
    await site.stream("a", 0, 0, 1, 0)
    news = await site.reader.news("", 10)
    assert (news.samples, news.cursor == "") == ([], False)
    assert len((await site.reader.news(news.cursor, 10)).samples) == 1


@pytest.mark.parametrize("wrong", [0, -1])
async def test_a_number_below_one_is_an_error(site: Site, wrong: int) -> None:
    for question in (
        site.reader.news("", wrong),
        site.reader.bulk("", wrong),
        site.reader.strip("a", Span(), wrong),
    ):
        with pytest.raises(ValueError, match="at least 1"):
            await question


async def test_the_state_of_a_line_is_its_latest_sample_with_what_was_said_last(
    site: Site,
) -> None:
    assert await site.reader.lines() == []
    await site.stream("press-4", 0, 0, 15, 1000)
    await site.stream("press-2", 0, 1, 3, 5000)
    with await site.lines.open(None) as plain:
        await plain.answer([sample(0)])
    two, four = await site.reader.lines()
    assert (two.agent_id, two.peer, two.oldest_ns, two.explanation) == (
        *("press-2", "1.2.3.4:5", 5000, None),
    )
    assert two.latest
    assert (two.latest.id, two.latest.sampled_at_ns, two.latest.prediction) == (3, 5020, False)
    assert four.explanation
    assert (four.explanation.id, four.explanation.text) == (10, "as 10 says")
    assert four.explanation.sampled_at_ns == 1100


class Moved(Even):
    """Has followed its machine to another level for a while, twice."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        return False

    def shift(self) -> str | None:
        return f"8 spreads off after {self._id}" if self._id in {3, 5} else None


async def test_a_line_is_steady_as_long_as_its_predictor_says_so(place: Place) -> None:
    async with place.lines(Moved) as lines:
        for count, shift in ((3, None), (4, "8 spreads off after 3"), (5, None)):
            await send(lines, range(count - 1, count))
            (line,) = await place.reader.lines()
            assert line == await place.reader.line("a")
            assert line.standing.shift == shift
            assert line.latest
            state = judged(line, None, line.latest.arrived_at_ns).state
            assert state is (State.STEADY if shift else State.NORMAL)
    async with place.lines(Moved) as lines:
        await send(lines, range(5, 6))
        (line,) = await place.reader.lines()
        assert line.standing.shift == "8 spreads off after 5"


async def test_the_explanations_of_a_span_are_those_of_its_samples(site: Site) -> None:
    await site.stream("a", 0, 0, 50, 0)
    await site.stream("b", 0, 0, 50, 0)
    said = await site.reader.explanations("a", Span(100, 300))
    assert [(each.id, each.sampled_at_ns, each.text) for each in said] == [
        (10, 100, "as 10 says"),
        (20, 200, "as 20 says"),
    ]


async def test_who_follows_sees_each_sample_of_each_agent_once(site: Site) -> None:
    await site.stream("a", 0, 0, 5, 0)
    tail = await site.reader.tail()
    cursor, seen = "", []
    for number in range(20):
        await site.stream("ab"[number % 2], 1, number * 3, 3, number)
        news = await site.reader.news(cursor, 4)
        assert len(news.samples) <= 4
        seen += news.samples
        cursor = news.cursor
    while (news := await site.reader.news(cursor, 4)).cursor != cursor:
        seen += news.samples
        cursor = news.cursor
    assert [(each.agent_id, int(each.session_id, 16), each.id) for each in seen] == [
        each[:3] for each in site.sent
    ]
    assert (await site.reader.news(cursor, 4)).cursor == cursor == await site.reader.tail()
    (first, *_) = (await site.reader.news(tail, 1)).samples
    assert (first.agent_id, first.session_id) == ("a", f"{1:032x}")


@pytest.mark.parametrize("cursor", ["x", "1.5", "9" * 19, "1; DROP TABLE samples"])
async def test_a_cursor_that_is_none_is_an_error(site: Site, cursor: str) -> None:
    for question in (
        site.reader.news(cursor, 1),
        site.reader.bulk(cursor, 1),
        site.reader.strip("a", Span(), 1, cursor),
    ):
        with pytest.raises(ValueError, match="cursor"):
            await question


@many
@given(st.lists(runs, max_size=8), st.integers(0, 4000), st.integers(1, 60))
async def test_the_newest_samples_are_those_of_one_agent_and_not_too_old(
    new_place: NewPlace, script: list[tuple[str, int, int, int]], back_s: int, most: int
) -> None:
    async with (await new_place()).running() as site:
        next_ids = {"a": 0, "b": 0}
        for number, (agent, count, jump, pause_s) in enumerate(script):
            await site.stream(agent, number // 3, next_ids[agent] + jump, count, number)
            next_ids[agent] += jump + count
            site.clock.advance(float(pause_s))
        since_ns = site.clock.time_ns() - back_s * 10**9
        for agent in "ab":
            wanted = [e for e in await site.found(agent) if e.arrived_at_ns >= since_ns][-most:]
            assert await site.reader.recent(agent, since_ns, most) == wanted


async def test_a_predictor_can_be_brought_to_where_it_was_at_any_time(site: Site) -> None:
    """From each state on record, and on through the later ones."""
    for hour in range(4):
        await site.stream("a", hour, 0, 2500, hour * 100_000)
        await site.stream("b", hour, 0, 10, hour * 100_000)
        site.clock.advance(3600.0)
    found = await site.found("a")
    seen = set()
    for at_ns in range(0, 400_000, 7_000):
        begun = await site.reader.snapshot("a", at_ns)
        assert begun
        assert begun.digest == "d1"
        assert begun.sampled_at_ns <= at_ns
        box = Even()
        if begun.state is None:
            assert begun.is_fresh
        else:
            box.restore(begun.state)
        cursor, passed = begun.cursor, 0
        while (course := await site.reader.course("a", cursor, 333)).samples:
            later = dict(course.snapshots)
            for number, each in enumerate(course.samples):
                if number in later:
                    assert later[number].state == box.snapshot()
                    assert later[number].sampled_at_ns < each.sampled_at_ns
                box.predict(Sample(each.id, each.values))
            if len(course.samples) in later:
                assert later[len(course.samples)].state == box.snapshot()
            assert set(later) <= set(range(334))
            passed += len(course.samples)
            cursor = course.cursor
        assert passed <= len(found)
        assert begun.is_fresh or found[len(found) - passed - 1].sampled_at_ns <= at_ns
        seen.add((begun.cursor, passed))
    assert len(seen) >= 4  # of each hour, and the beginning
    assert max(passed for _, passed in seen) == len(found)
    assert await site.reader.snapshot("c", 0) is None


async def test_what_is_no_more_on_record_is_not_where_a_predictor_begins(on_disk: Site) -> None:
    site = on_disk
    await site.stream("a", 0, 0, 2500, 0)
    newest = await site.reader.snapshot("a", 10**9)
    beginning = await site.reader.snapshot("a", 0)
    assert beginning
    assert beginning.is_fresh
    change(
        site.place.path,
        "INSERT INTO commands (agent_id, name, at_ns, position) VALUES ('a', 'cut', 0, 0)",
    )
    assert await site.reader.snapshot("a", 0) == newest
    change(site.place.path, "DELETE FROM commands")
    change(site.place.path, "DELETE FROM samples WHERE id < 100")
    assert await site.reader.snapshot("a", 0) == newest  # the oldest that there is
    change(site.place.path, "UPDATE snapshots SET state = x'00'")  # damaged
    assert await site.reader.snapshot("a", 10**9) is None


async def test_the_newest_sessions_of_an_agent_have_their_accounts(place: Place) -> None:
    async with place.running() as site:
        for session in range(5):
            await site.stream("a", session, 10 * session, 2 + session, 0)
        await site.stream("b", 9, 0, 5, 0)
        for first_id in range(50, 300, 2):
            await site.stream("a", 4, first_id, 1, 0)
    all_ = (await site.reader.accounts()).sessions
    of_a = [each for each in all_ if each.agent_id == "a"][::-1]
    found = await site.reader.sessions("a", 3)
    assert (found.count, len(found.newest)) == (5, 3)
    assert len(of_a[0].missing) > 100
    newest, *others = found.newest
    assert newest.missing == of_a[0].missing[:100]
    assert newest.gaps == of_a[0].gaps
    assert others == of_a[1:3]
    none = await site.reader.sessions("nobody", 3)
    assert (none.count, none.newest) == (0, [])


async def test_a_store_that_is_not_there_is_named_by_each_question(tmp_path: Path) -> None:
    reader = open_reader(tmp_path / "none.db")
    for question in (
        reader.accounts(),
        reader.sessions("a", 1),
        reader.lines(),
        reader.explanations("a", Span()),
        reader.commands("a"),
        reader.command_rebase("a"),
        reader.command_forget("a"),
        reader.tail(),
        reader.news("", 1),
        reader.bulk("", 1),
        reader.strip("a", Span(), 1),
        reader.recent("a", 0, 1),
        reader.snapshot("a", 0),
        reader.course("a", "0", 1),
    ):
        with pytest.raises(StoreError, match=r"none\.db: there is no such file"):
            await question
    assert names(tmp_path) == []


async def test_an_agent_that_is_not_known_has_nothing(site: Site) -> None:
    await send(site.lines, range(3))
    assert await site.found("b") == []
    strip = await site.reader.strip("b", Span(), 10)
    assert strip
    assert strip.values == []
    assert await site.reader.explanations("b", Span()) == []
    assert await site.reader.recent("b", 0, 10) == []
    assert (await site.reader.course("b", "0", 10)).samples == []


async def test_a_question_that_is_cancelled_is_over_before_its_connection_is_closed(
    site: Site,
) -> None:
    await site.stream("a", 0, 0, 2000, 0)
    for _ in range(30):
        asking = asyncio.create_task(site.found("a"))
        await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert len(await site.found("a")) == 2000
