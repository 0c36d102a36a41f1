"""Alarms that no answer ends: the fleet page and the page of alarms say the same."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.book import NOW_NS, alarms, each_s, fed, opened, stored
from support.clock import ManualClock
from support.past import S_NS, Past, Taken

from broker.console.book import Book
from broker.console.book.feed import HOUSE_S
from broker.console.present import Present
from broker.recorder.sqlite.keeping import REHEARSAL
from broker.records import EventKind


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with stored(tmp_path) as past:
        past.add("press-1", [*each_s(20, NOW_NS - 40 * S_NS), *true(20, NOW_NS - 20 * S_NS)])
        yield past


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_s=NOW_NS / 1e9)


@pytest.fixture
async def book(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Book]:
    async with opened(tmp_path, clock) as book:
        yield book


def true(count: int, since_ns: int) -> list[Taken]:
    return each_s(count, since_ns, prediction=True)


def rehearse(past: Past) -> None:
    past.rows.execute(
        "INSERT INTO commands (agent_id, name, at_ns) VALUES (?, ?, 0)", ("press-1", REHEARSAL)
    )


def reset(past: Past) -> None:
    past.rows.execute(
        "INSERT INTO events (line, at_ns, kind, text) VALUES (?, ?, ?, ?)",
        (past.lines["press-1"], NOW_NS, EventKind.BEGUN.value, "by 'broker rebase'"),
    )


async def in_alarm(book: Book, past: Past, clock: ManualClock, seconds: float) -> list[bool]:
    """Whether there is an alarm on the fleet page, and on that of alarms."""
    clock.advance(seconds)
    await fed(book, past)
    present = Present(past.reader, book, clock)
    await present.look()
    row = present.fleet()["agents"].get("press-1", {"alarm": None})
    return [row["alarm"] is not None, any(each.ended_at_ns is None for each in await alarms(book))]


async def test_an_alarm_lasts_while_its_answers_are_the_latest(
    book: Book, past: Past, clock: ManualClock
) -> None:
    assert await in_alarm(book, past, clock, HOUSE_S) == [True, True]
    assert await in_alarm(book, past, clock, 3600.0) == [True, True]  # it is offline


async def test_the_alarm_of_a_simulation_ends_with_it(
    book: Book, past: Past, clock: ManualClock
) -> None:
    rehearse(past)
    assert await in_alarm(book, past, clock, 1.0) == [True, True]
    assert await in_alarm(book, past, clock, 3600.0) == [False, False]


async def test_a_reset_ends_an_alarm_and_the_next_answer_begins_another(
    past: Past, clock: ManualClock, tmp_path: Path
) -> None:
    async with opened(tmp_path, clock) as book:
        assert await in_alarm(book, past, clock, HOUSE_S) == [True, True]
        reset(past)
        assert await in_alarm(book, past, clock, HOUSE_S) == [False, False]
    past.add("press-1", true(5, NOW_NS + 60 * S_NS))
    clock.advance(60.0)
    for _ in range(2):  # also of a console that starts again
        async with opened(tmp_path, clock) as book:
            assert await in_alarm(book, past, clock, HOUSE_S) == [True, True]
            assert [(each.samples, each.ended_at_ns is None) for each in await alarms(book)] == [
                *((5, True), (20, False)),
            ]
