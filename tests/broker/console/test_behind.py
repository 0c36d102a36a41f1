"""The fleet page while the book has not read all that is on record: of a real book and store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.book import NOW_NS, alarms, each_s, fed, opened, stored
from support.clock import ManualClock
from support.past import S_NS, Past, Taken

from broker.console.book import Book
from broker.console.present import Present
from broker.errors import CommandError

DAY_NS = 86_400 * S_NS


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with stored(tmp_path) as past:
        yield past


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_s=NOW_NS / 1e9)


@pytest.fixture
async def book(tmp_path: Path, past: Past, clock: ManualClock) -> AsyncIterator[Book]:
    """Of a console that was off over night, in which an alarm ended and another one began."""
    yesterday = [Taken(NOW_NS - DAY_NS + n * S_NS, prediction=True, said="old") for n in range(60)]
    past.add("press-1", yesterday)
    async with opened(tmp_path, clock) as book:
        await fed(book, past)
        await book.acknowledge("press-1", yesterday[0].at_ns, "shift-a", "known")
    past.add("press-1", each_s(60, NOW_NS - DAY_NS // 2))
    past.add(
        "press-1", [Taken(begun_ns() + n * S_NS, prediction=True, said="new") for n in range(30)]
    )
    async with opened(tmp_path, clock) as book:
        yield book


def begun_ns() -> int:
    return NOW_NS - 30 * S_NS


async def row(present: Present, clock: ManualClock) -> dict[str, Any]:
    clock.advance(0.5)
    await present.look()
    found: dict[str, Any] = present.fleet()["agents"]["press-1"]
    return found


async def test_an_acknowledgement_of_yesterday_hides_no_new_alarm(
    book: Book, past: Past, clock: ManualClock
) -> None:
    present = Present(past.reader, book, clock)
    told = await row(present, clock)
    assert (told["state"], told["needs_person"]) == ("alarm", True)
    assert told["alarm"]["acknowledged"] is None
    await fed(book, past)
    assert (await row(present, clock))["state"] == "alarm"
    await book.acknowledge("press-1", begun_ns(), "maintenance", "")
    assert (await row(present, clock))["state"] == "acknowledged"


async def test_what_the_fleet_shows_is_acknowledged_or_nothing(
    book: Book, past: Past, clock: ManualClock
) -> None:
    present = Present(past.reader, book, clock)
    alarm = (await row(present, clock))["alarm"]
    assert alarm["reason"] == "new"
    with pytest.raises(CommandError, match="had no alarm at this time"):
        await book.acknowledge("press-1", int(alarm["id"]), "maintenance", "on my way")
    await fed(book, past)
    await book.acknowledge("press-1", int(alarm["id"]), "maintenance", "on my way")
    new, old = await alarms(book)
    assert new.acknowledged
    assert old.acknowledged
    assert (new.acknowledged.note, old.acknowledged.note) == ("on my way", "known")
