"""The book beside a store: it reads each sample once, and keeps what it must."""

import asyncio
import itertools
from pathlib import Path

from support.book import HOUR_NS, NOW_NS, Stored, alarms, each_s, fed, opened
from support.clock import ManualClock
from support.past import S_NS, Past, Taken
from support.store import killed_copy, select

from broker.console.book.database import Database
from broker.console.book.feed import HOUSE_S, SAVE_S, Feed
from broker.recorder.reader import Span


async def test_alarms_are_the_same_in_whatever_parts_they_are_read(
    past: Stored, tmp_path: Path
) -> None:
    script = itertools.cycle([True, True, False, False, True])
    taken = [
        Taken(NOW_NS + n * 2 * S_NS, prediction=next(script), said="T2" if n % 7 == 3 else "")
        for n in range(60)
    ] + [Taken(NOW_NS + HOUR_NS + n * S_NS, prediction=n % 40 in (1, 2)) for n in range(100)]
    past.add("press-1", taken)
    found = []
    for chunk in (1, 3, 20_000):
        folder = tmp_path / str(chunk)
        folder.mkdir()
        count = 1
        while count:
            async with opened(folder, chunk=chunk) as book:  # it is stopped behind each chunk
                count = await book.feed(past.reader)
                alarms_now = await alarms(book)
        found.append(alarms_now)
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 4
    assert found[0][-1].reason == "T2"
    assert sum(each.samples for each in found[0]) == sum(each.prediction for each in taken)


async def test_old_buckets_are_deleted_by_level(past: Stored, tmp_path: Path) -> None:
    day_ns = 24 * HOUR_NS
    for days in (2000, 100, 8, 1, 0):
        past.add("press-1", each_s(50, NOW_NS - days * day_ns, step_ns=600 * S_NS))
    past.add("press-2", each_s(50, NOW_NS - 100 * day_ns, step_ns=600 * S_NS))
    clock = ManualClock(wall_s=NOW_NS / 1e9)
    async with opened(tmp_path, clock, chunk=50) as book:
        await fed(book, past)
        for _ in range(5):
            clock.advance(HOUSE_S)
            await book.feed(past.reader)
    found = select(
        tmp_path / "console.db",
        "SELECT agent_id, level, count(*) FROM rollups JOIN agents USING (agent) GROUP BY 1, 2",
    )
    assert found == [
        *(("press-1", 10, 100), ("press-1", 60, 150), ("press-1", 600, 200)),
        ("press-1", 7200, 20),
        # It is away since then: its last week is kept.
        *(("press-2", 10, 50), ("press-2", 60, 50), ("press-2", 600, 50)),
        ("press-2", 7200, 5),
    ]


async def test_a_damaged_sample_is_left_out_and_told(file_past: Past, tmp_path: Path) -> None:
    file_past.add("press-1", each_s(10, NOW_NS))
    file_past.add("press-2", each_s(10, NOW_NS))
    file_past.rows.execute("UPDATE samples SET sensors = x'00' WHERE position IN (3, 15, 16)")
    file_past.rows.execute("UPDATE samples SET prediction = 'no' WHERE position = 6")
    async with opened(tmp_path) as book:
        await fed(book, file_past)
        for agent, count in (("press-1", 8), ("press-2", 8)):
            series = await book.series(file_past.reader, agent, Span(0, 2 * NOW_NS), 10)
            assert sum(series.n) == count
        (remark,) = book.remarks
        assert remark.startswith("4 damaged samples are not in the history")


async def test_what_is_stamped_far_ahead_is_in_no_bucket_and_ends_no_old_one(
    past: Stored, tmp_path: Path
) -> None:
    """A clock that is ahead by less than a day is taken for right, and is none to prune by."""
    day_ns = 24 * HOUR_NS
    clock = ManualClock(wall_s=NOW_NS / 1e9)
    past.add("press-1", each_s(40, NOW_NS - 7 * day_ns + HOUR_NS))
    past.add("press-1", each_s(10, NOW_NS + day_ns - 10 * S_NS))
    past.add("press-1", each_s(5, NOW_NS + day_ns, prediction=True))
    past.add("press-2", each_s(3, NOW_NS + 900 * day_ns))
    async with opened(tmp_path, clock) as book:
        await fed(book, past)
        (remark,) = book.remarks
        assert remark.startswith("8 samples are not in the history")
        assert remark.endswith("Set the clock of press-1, press-2")
        assert [each.samples for each in await alarms(book)] == [5]
    async with opened(tmp_path, clock) as book:
        for _ in range(5):
            await book.feed(past.reader)
            clock.advance(HOUSE_S)
    assert select(tmp_path / "console.db", "SELECT level, count(*) FROM rollups GROUP BY 1") == [
        (10, 4 + 1),
        (60, 1 + 1),
        (600, 1 + 1),
        (7200, 1 + 1),
    ]


async def test_an_alarm_whose_samples_are_gone_is_over(past: Stored, tmp_path: Path) -> None:
    """It was written ahead of them, and the console was killed before it read on."""
    past.add("press-1", each_s(5, NOW_NS))
    past.add("press-2", each_s(5, NOW_NS, prediction=True))
    killed = tmp_path / "killed"
    killed.mkdir()
    async with opened(tmp_path) as book:
        await fed(book, past)
    async with opened(tmp_path) as book:
        past.add("press-1", each_s(5, NOW_NS + 10 * S_NS, prediction=True))
        await fed(book, past)
        killed_copy(tmp_path / "console.db", killed / "console.db")
    past.add("press-1", each_s(5, NOW_NS + HOUR_NS))
    past.prune("press-1", NOW_NS + HOUR_NS)
    async with opened(killed) as book:
        assert {*await book.open_alarms()} == {"press-1", "press-2"}
        await fed(book, past)
        assert [*await book.open_alarms()] == ["press-2"]
        assert [each.ended_at_ns for each in await alarms(book)] == [NOW_NS + 14 * S_NS, None]


async def test_all_is_read_where_much_is_of_plain_peers(past: Stored, tmp_path: Path) -> None:
    past.add(None, each_s(25, NOW_NS))
    past.add("press-1", each_s(5, NOW_NS, prediction=True))
    async with opened(tmp_path, chunk=10) as book:
        assert [await book.feed(past.reader) for _ in range(4)] == [True, True, True, False]
        assert len(await alarms(book)) == 1


async def test_what_was_saved_is_pending_no_more_when_the_next_one_asks(
    past: Stored, tmp_path: Path
) -> None:
    """In the thread of the file, before anything else is done there."""
    past.add("press-1", each_s(30, NOW_NS))
    database = await Database.open(tmp_path / "console.db")
    feed = Feed(database, ManualClock(wall_s=NOW_NS / 1e9))
    await feed.step(past.reader)
    asked = [
        asyncio.ensure_future(feed.save()),
        asyncio.ensure_future(
            database.read(lambda rows: (feed.is_pending(rows), feed.pending.samples))
        ),
    ]
    assert (await asyncio.gather(*asked))[1] == (True, 0)
    feed.close()
    await database.close()


async def test_how_far_the_history_is_read_is_said(past: Stored, tmp_path: Path) -> None:
    past.add("press-1", each_s(25, NOW_NS))
    async with opened(tmp_path, chunk=10) as book:
        assert await book.behind() == "history is being read"
        assert await book.feed(past.reader)
        assert await book.behind() == "history is being read: up to 2025-06-15 16:00 UTC"
        await fed(book, past)
        assert await book.behind() == ""


async def test_samples_are_saved_at_once_where_they_are_many_and_each_minute_where_they_are_few(
    past: Stored, tmp_path: Path
) -> None:
    clock = ManualClock(wall_s=NOW_NS / 1e9)

    def saved() -> object:
        ((count,),) = select(tmp_path / "console.db", "SELECT count(*) FROM rollups")
        return count

    async with opened(tmp_path, clock, chunk=100) as book:
        past.add("press-1", each_s(40, NOW_NS))
        await fed(book, past)
        assert saved() == 0
        clock.advance(SAVE_S)
        await fed(book, past)
        assert saved() == 4 + 1 + 1 + 1
        past.add("press-1", each_s(200, NOW_NS + 40 * S_NS))
        await fed(book, past)
        assert saved() == 24 + 4 + 1 + 1


async def test_what_is_cut_off_is_read_again(past: Stored, tmp_path: Path) -> None:
    past.add("press-1", each_s(2000, NOW_NS, prediction=True))
    async with opened(tmp_path, chunk=100) as book:
        for number in range(30):
            feeding = asyncio.create_task(book.feed(past.reader))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await fed(book, past)
        span = Span(NOW_NS, NOW_NS + 2000 * S_NS)
        assert sum((await book.series(past.reader, "press-1", span, 1)).n) == 2000
        (alarm,) = await alarms(book)
        assert alarm.samples == 2000


async def test_alarms_that_were_told_early_are_the_same_after_a_crash(
    past: Stored, tmp_path: Path
) -> None:
    """They are written at once, what they rest on each minute."""
    for number in range(3):
        now_ns = NOW_NS + number * 100 * S_NS
        past.add("press-1", each_s(50, now_ns, prediction=True, said="T2"))
        past.add("press-1", each_s(50, now_ns + 50 * S_NS))
    folder = tmp_path / "killed"
    folder.mkdir()
    async with opened(tmp_path, chunk=250) as book:
        await book.feed(past.reader)
        killed_copy(tmp_path / "console.db", folder / "console.db")
        await fed(book, past)
        expected = await alarms(book)
    assert [each.samples for each in expected] == [50, 50, 50]
    async with opened(folder, chunk=70) as book:
        early = await alarms(book)
        assert [each.ended_at_ns for each in early] == [
            None,
            *(e.ended_at_ns for e in expected[1:]),
        ]
        assert await fed(book, past)
        assert await alarms(book) == expected
