"""The book beside a store that is replaced, moved, away or without an agent."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.book import HOUR_NS, NOW_NS, Stored, alarms, each_s, fed, is_picture, opened
from support.clock import ManualClock
from support.past import S_NS, Past
from support.store import select

from broker.console.book import Book
from broker.console.book.feed import HOUSE_S
from broker.console.book.model import AlarmQuery, AlarmState
from broker.recorder.opening import open_reader
from broker.recorder.reader import Span
from quartet.errors import StoreError

NewPast = Callable[..., Awaitable[Stored]]


async def test_a_store_that_lost_its_newest_samples_costs_no_history(
    past: Stored, tmp_path: Path
) -> None:
    """As after a power cut: also where the broker goes on before the console looks again."""
    past.add("press-1", each_s(1000, NOW_NS, prediction=True))
    past.add("press-2", each_s(1000, NOW_NS))
    span = Span(0, 2 * NOW_NS)
    async with opened(tmp_path) as book:
        await fed(book, past)
        past.prune("press-1", NOW_NS + 900 * S_NS)
        past.prune("press-2", NOW_NS + 900 * S_NS)
        past.lose_newest(1)
        await fed(book, past)
        past.add("press-1", each_s(50, NOW_NS + 1000 * S_NS))
        await fed(book, past)
        past.lose_newest(20)
        past.add("press-1", each_s(50, NOW_NS + 2000 * S_NS))
        await fed(book, past)
        for agent, count in (("press-1", 1100), ("press-2", 1000)):
            assert sum((await book.series(past.reader, agent, span, 10)).n) == count
        assert [each.samples for each in await alarms(book)] == [1000]
        assert "has lost its newest samples" in book.remarks[0]


async def test_of_another_store_is_read_what_it_has_and_older_history_stays(
    past: Stored, new_past: NewPast, tmp_path: Path
) -> None:
    for agent in ("press-1", "press-2"):
        past.add(agent, each_s(2000, NOW_NS, prediction=True))
    clock = ManualClock(wall_s=NOW_NS / 1e9)
    fresh = await new_past("5.6.7.8")
    fresh.add("press-1", each_s(40, NOW_NS + 3000 * S_NS))

    async def count(agent: str, book: Book, store: Stored) -> int:
        return sum((await book.series(store.reader, agent, Span(0, 2 * NOW_NS), 10)).n)

    async with opened(tmp_path, clock) as book:
        await fed(book, past)
        for agent in ("press-1", "press-2"):
            past.prune(agent, NOW_NS + 1500 * S_NS)
        (alarm, _) = await alarms(book)
        await book.acknowledge("press-1", alarm.begun_at_ns, "shift-a", "seen")
        await book.add_note("press-1", NOW_NS, "shift-a", "bearing")
        await fed(book, fresh)
        for _ in range(10):
            clock.advance(HOUSE_S)
            await book.feed(fresh.reader)
        assert await count("press-1", book, fresh) == 2000 + 40
        assert await count("press-2", book, fresh) == 2000
        await fed(book, past)  # it is back
        # Of a bucket that has more than the store, all is kept; what the store has counts twice.
        assert await count("press-2", book, past) == 2000 + 500
        assert await count("press-1", book, past) == 2000 + 40 + 500
        assert await book.notes("press-1", Span())
        found = [each for each in await alarms(book) if each.begun_at_ns == alarm.begun_at_ns]
        assert {each.agent_id: bool(each.acknowledged) for each in found} == {
            "press-1": True,
            "press-2": False,
        }
        assert "the store is another one" in book.remarks[0]


async def test_a_store_that_moved_to_another_kind_costs_no_history(
    new_kinds: list[NewPast], tmp_path: Path
) -> None:
    """The lines are those that were read, and what came since is read."""
    past, made = [await new() for new in new_kinds]
    for each in (past, made):
        each.add("press-1", each_s(100, NOW_NS, prediction=True))
    async with opened(tmp_path) as book:
        await fed(book, past)
        made.add("press-1", each_s(40, NOW_NS + 100 * S_NS, prediction=True))
        await fed(book, made)
        series = await book.series(made.reader, "press-1", Span(0, 2 * NOW_NS), 10)
        assert sum(series.n) == 140
        assert "the store was moved" in book.remarks[0]


async def test_of_another_store_is_read_too_what_is_older_than_the_former_one(
    past: Stored, new_past: NewPast, tmp_path: Path
) -> None:
    past.add("press-1", each_s(20, NOW_NS + HOUR_NS))
    other = await new_past("5.6.7.8")
    other.add("saw-1", each_s(40, NOW_NS))
    async with opened(tmp_path) as book:
        await fed(book, past)
        await fed(book, other)
        for agent, count in (("press-1", 20), ("saw-1", 40)):
            series = await book.series(other.reader, agent, Span(0, 2 * NOW_NS), 10)
            assert sum(series.n) == count


async def test_an_agent_that_is_forgotten_loses_its_history_and_no_other_does(
    past: Stored, tmp_path: Path
) -> None:
    for agent in ("press-1", "press-2"):  # the newest samples are those that go
        past.add(agent, each_s(5000, NOW_NS, step_ns=20 * S_NS, prediction=True))
    clock = ManualClock(wall_s=NOW_NS / 1e9 + 100_000)
    async with opened(tmp_path, clock) as book:
        await fed(book, past)
        past.prune("press-1", NOW_NS + 1000 * S_NS)
        past.forget("press-2")
        for _ in range(20):
            clock.advance(HOUSE_S)
            await book.feed(past.reader)
        span = Span(NOW_NS, NOW_NS + 100_000 * S_NS)
        assert sum((await book.series(past.reader, "press-1", span, 10)).n) == 5000
        assert (await book.series(past.reader, "press-2", span, 10)).n == []
        assert [each.agent_id for each in await alarms(book)] == ["press-1"]
        assert book.remarks == []
        past.add("press-2", each_s(5, NOW_NS))  # as a new one
        await fed(book, past)
        assert sum((await book.series(past.reader, "press-2", span, 10)).n) == 5
        assert [each.agent_id for each in await alarms(book)] == ["press-1"]
    assert select(tmp_path / "console.db", "SELECT count(*) FROM agents") == [(2,)]


async def test_an_agent_that_is_back_soon_is_forgotten_all_the_same(
    past: Stored, tmp_path: Path
) -> None:
    """Before the console has looked: what is read of it then is of another line."""
    span = Span(0, 2 * NOW_NS)
    async with opened(tmp_path) as book:
        for number in range(3):
            past.add("press-2", each_s(500, NOW_NS + number * HOUR_NS))
            past.add("press-1", each_s(500, NOW_NS + number * HOUR_NS, prediction=True))
            await fed(book, past)
            past.forget("press-1")
            past.add("press-1", each_s(5, NOW_NS + number * HOUR_NS + 500 * S_NS, prediction=True))
            await fed(book, past)
            assert sum((await book.series(past.reader, "press-1", span, 10)).n) == 5
            assert [each.samples for each in await alarms(book)] == [5]
            past.forget("press-1")
        assert sum((await book.series(past.reader, "press-2", span, 10)).n) == 1500
        assert book.remarks == []


async def test_a_store_that_cannot_be_read_is_said_and_read_later(
    file_past: Past, tmp_path: Path
) -> None:
    taken = each_s(100, NOW_NS)
    file_past.add("press-1", taken)
    away = tmp_path / "away.db"
    span = Span(NOW_NS, NOW_NS + 100 * S_NS)
    async with opened(tmp_path) as book:
        await fed(book, file_past)
        file_past.path.rename(away)
        with pytest.raises(StoreError, match="is gone"):
            await book.feed(file_past.reader)
        assert "is gone" in await book.behind()
        is_picture(await book.series(file_past.reader, "press-1", span, 1000), taken)
        with pytest.raises(StoreError):
            await book.series(file_past.reader, "press-2", span, 1000)
        away.rename(file_past.path)
        await fed(book, file_past)
        assert await book.behind() == ""


async def test_a_store_that_is_not_there_is_no_history(tmp_path: Path) -> None:
    async with opened(tmp_path) as book:
        with pytest.raises(StoreError, match="there is no such file"):
            await book.feed(open_reader(tmp_path / "none.db"))
        assert await book.alarms(AlarmQuery(AlarmState.OPEN)) == []
