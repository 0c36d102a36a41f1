"""The file of a book: shared, full, damaged, and how it grows."""

import os
from pathlib import Path

import pytest
from support.book import NOW_NS, Stored, alarms, each_s, fed, is_picture, opened
from support.clock import ManualClock
from support.past import S_NS, Past
from support.store import full_disk, select

from broker.console.book import Book
from broker.console.book.feed import SAVE_S
from broker.recorder.reader import Span
from quartet.errors import StoreError


async def test_a_second_console_only_looks_until_the_first_one_stops(
    past: Stored, tmp_path: Path
) -> None:
    taken = each_s(30, NOW_NS, prediction=True) + each_s(30, NOW_NS + 30 * S_NS)
    past.add("press-1", taken[:30])
    span = Span(NOW_NS, NOW_NS + 60 * S_NS)
    async with opened(tmp_path) as second:
        async with opened(tmp_path) as first:
            await fed(first, past)
            past.add("press-1", taken[30:])
            await fed(second, past)
            assert [*await second.open_alarms()] == ["press-1"]
            assert f"process {os.getpid()} reads the history" in second.remarks[0]
            assert first.remarks == []
            is_picture(await second.series(past.reader, "press-1", span, 1), taken)
        await fed(second, past)
        assert second.remarks == []
        assert await second.open_alarms() == {}


async def test_a_full_disk_is_said_and_samples_are_still_shown(
    past: Stored, tmp_path: Path
) -> None:
    taken = each_s(5000, NOW_NS, step_ns=S_NS // 10)
    past.add("press-1", taken)
    span = Span(NOW_NS, NOW_NS + 500 * S_NS)
    async with opened(tmp_path, chunk=1000) as book:
        await book.feed(past.reader)
        with full_disk(tmp_path / "console.db"):
            with pytest.raises(StoreError, match=r"console\.db: cannot be used"):
                await fed(book, past)
            assert "cannot be used" in await book.behind()
            is_picture(await book.series(past.reader, "press-1", span, 1), taken)
        await fed(book, past)
        assert await book.behind() == ""
    async with opened(tmp_path) as book:
        is_picture(await book.series(past.reader, "press-1", span, 1), taken)


async def test_a_damaged_book_is_built_again_with_what_people_said(
    past: Stored, tmp_path: Path
) -> None:
    past.add("press-1", each_s(100, NOW_NS, prediction=True))
    span = Span(NOW_NS, NOW_NS + 100 * S_NS)
    async with opened(tmp_path) as book:
        await fed(book, past)
        (alarm,) = await alarms(book)
        await book.acknowledge("press-1", alarm.begun_at_ns, "shift-a", "seen")
    file = tmp_path / "console.db"
    content = file.read_bytes()
    (root,) = select(file, "SELECT rootpage FROM sqlite_schema WHERE name = 'progress'")
    begin = (int(str(root[0])) - 1) * 4096
    file.write_bytes(content[:begin] + b"\xff" * 4096 + content[begin + 4096 :])
    async with opened(tmp_path) as book:
        with pytest.raises(StoreError, match="is damaged"):
            await book.feed(past.reader)
        await fed(book, past)
        assert "renamed to" in book.remarks[0]
        (alarm,) = await alarms(book)
        assert alarm.acknowledged
        assert alarm.acknowledged.note == "seen"
        assert sum((await book.series(past.reader, "press-1", span, 1)).n) == 100


async def test_two_consoles_with_one_book_count_nothing_twice(past: Stored, tmp_path: Path) -> None:
    clock = ManualClock(wall_s=NOW_NS / 1e9)
    span = Span(NOW_NS, NOW_NS + 2000 * S_NS)

    async def counts(book: Book) -> bool:
        (alarm,) = await alarms(book)
        series = await book.series(past.reader, "press-1", span, 1)
        return (sum(series.n), alarm.samples) == (sent, sent)

    async with opened(tmp_path, clock) as one, opened(tmp_path, clock) as other:
        for number in range(10):
            past.add("press-1", each_s(100, NOW_NS + number * 100 * S_NS, prediction=True))
            sent = 100 * (number + 1)
            await (one, other)[number % 2].feed(past.reader)
            clock.advance(SAVE_S)
        for book in (one, other, one):
            await fed(book, past)
            assert await counts(book)
        past.add("press-1", each_s(100, NOW_NS + sent * S_NS, prediction=True))
        sent += 100
        for book in (one, other):  # what one has pending, other has saved when one stops
            await book.feed(past.reader)
    async with opened(tmp_path, clock) as book:
        await fed(book, past)
        assert await counts(book)


async def test_no_log_grows_while_history_is_read_and_shown(
    file_past: Past, tmp_path: Path
) -> None:
    """Of the store, or of the book: no answer holds either of them still."""
    logs = [tmp_path / "broker.db-wal", tmp_path / "console.db-wal"]
    async with opened(tmp_path, chunk=5000) as book:
        for number in range(12):
            file_past.add(
                "press-1", each_s(10_000, NOW_NS + number * 1000 * S_NS, step_ns=S_NS // 10)
            )
            await fed(book, file_past)
            span = Span(NOW_NS, NOW_NS + (number + 1) * 1000 * S_NS)
            await book.series(file_past.reader, "press-1", span, 1000)
            assert all(log.stat().st_size < 10_000_000 for log in logs)
