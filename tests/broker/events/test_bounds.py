"""What events cost, and how long they stay."""

import asyncio
import logging
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.events import LONG_S, events, state
from support.patience import PATIENCE_S
from support.pruned import Bench
from support.read import Place
from support.store import (
    header,
    sample,
)

from broker.errors import RecordError
from broker.model import Answer, Learning, Standing
from broker.recorder.reader import Span
from broker.recorder.sqlite.erasing import Eraser
from broker.records import Batch, Event, EventKind, Opened
from quartet.database import transaction


async def is_bounded(place: Place, count: int) -> None:
    """Return when the store has no more events than that."""
    async with asyncio.timeout(PATIENCE_S):
        while await place.select("SELECT count(*) FROM events") != [(count,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_events_are_bounded_by_line(place: Place) -> None:
    async with place.recorder(events=3) as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            for id_ in range(10):
                event = Event(EventKind.RESTORED, f"{id_}")
                await recorder.record(
                    Batch(claim, [sample(id_)], [Answer(id_, False)], events=[event])
                )
        await is_bounded(place, 6)
    for agent in "ab":
        assert [text for _, text in await events(place, agent)] == ["7", "8", "9"]
    span = Span(0, 1)
    assert await events(place, "a", span) == []


async def test_reconnects_and_restarts_push_out_no_news_of_the_predictor(place: Place) -> None:
    async with place.recorder(events=3) as recorder:
        claim = await recorder.claim(header(), "")
        for id_ in range(10):
            said = [Event(EventKind.RESTORED, "")] if id_ else [Event(EventKind.BEGUN, "reset")]
            added = Batch(claim, [sample(id_)], [Answer(id_, False)], events=said)
            added.opened = Opened()
            await recorder.record(added)
        await is_bounded(place, 7)
    kinds = [kind for kind, _ in await events(place)]
    assert [kinds.count(kind) for kind in ("begun", "restored", "opened")] == [1, 3, 3]
    begun = (await state(place)).begun
    assert begun
    assert begun.text == "reset"


async def test_what_is_said_cannot_spoil_a_commit_nor_a_terminal(place: Place) -> None:
    said = "\ud800 \x1b[2J"
    async with place.recorder() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(
            Batch(claim, [sample(0)], [Answer(0, True)], events=[Event(EventKind.BEGUN, said)])
        )
        recorder.release(claim, Event(EventKind.ENDED, said))
    ((_, text), (_, other)) = await events(place)
    assert text == other
    assert text.isprintable()


def test_events_are_deleted_with_age_and_not_by_a_clock_that_was_just_set(tmp_path: Path) -> None:
    day_s = 86_400
    with Bench(tmp_path, replay=0, max_age_days=2) as bench:
        bench.line(1, "a")
        bench.samples(1, 1)
        add = "INSERT INTO events VALUES (NULL, ?2, ?1, 'opened', '')"
        count = "SELECT count(*) FROM events WHERE line = 1"
        first = bench.clock.time_ns()
        bench.connection.executemany(add, [(first, line) for line in range(100, 700)])
        bench.connection.executemany(add, [(first, 1)] * 1200)
        bench.clock.advance(day_s)
        bench.connection.execute(add, (bench.clock.time_ns(), 1))
        bench.clock.advance(1.5 * day_s)
        bench.restart()
        bench.prune(0.5)
        assert bench.connection.execute(count).fetchone() == (1201,)
        bench.prune(2.0)
        assert bench.connection.execute(count).fetchone() == (1,)
        bench.clock.advance(9 * day_s)
        bench.restart()
        bench.prune(2.0)
        assert bench.connection.execute(count).fetchone() == (1,)  # it may still be connected
        assert bench.connection.execute("SELECT count(*) FROM events").fetchone() == (601,)


def test_a_line_whose_history_is_given_up_has_no_events_and_stands_nowhere(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.connection.execute("INSERT INTO events VALUES (NULL, 1, 0, 'opened', '')")
        bench.connection.execute("INSERT INTO standings (line, alarm_since_ns) VALUES (1, 0)")
        eraser = Eraser(bench.connection, bench.clock)
        tables = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM standings)"
        for room, left in ((2, (1, 1)), (3, (0, 0))):
            with transaction(bench.connection):
                eraser.cut(1, "a", room)
            assert bench.connection.execute(tables).fetchone() == left


async def test_forget_deletes_all_of_it(place: Place) -> None:
    standing = Standing(Learning(1, 2))
    async with place.recorder() as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            await recorder.record(
                Batch(
                    *(claim, [sample(0)], [Answer(0, True)]),
                    opened=Opened(7),
                    standing=standing,
                )
            )
            recorder.release(claim, Event(EventKind.ENDED, "1"))
    assert await place.reader.command_forget("a") == 1
    for table in ("events", "standings"):
        assert await place.select(f"SELECT DISTINCT line FROM {table}") == [(2,)]  # noqa: S608
    assert (await state(place, "b")).standing == standing


async def test_a_failed_commit_leaves_no_event_and_loses_no_end_of_a_stream(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    async with place.recorder(clock, LONG_S) as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, True)], opened=Opened()))
        async with place.full():
            recorder.release(claim, Event(EventKind.ENDED, "1"))
            failed = Batch(
                *(claim, [sample(1)], [Answer(1, True)]), standing=Standing(Learning(1, 2))
            )
            with pytest.raises(RecordError):
                await recorder.record(failed)
        claim = await recorder.claim(header(1), "")
        assert claim.standing == Standing()
        await recorder.record(Batch(claim, [sample(1)], [Answer(1, True)]))
    assert await events(place) == [("opened", "from "), ("ended", "1")]


async def test_ends_that_cannot_be_recorded_are_an_outage_of_their_own(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with place.recorder() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, True)], opened=Opened()))
        async with asyncio.timeout(PATIENCE_S):
            async with place.full():
                recorder.release(claim, Event(EventKind.ENDED, "1"))
                while "cannot be recorded yet" not in caplog.text:  # noqa: ASYNC110 - a thread's
                    await asyncio.sleep(0.01)
            while "ends of streams are recorded again" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert "samples cannot be recorded" not in caplog.text
    assert await events(place) == [("opened", "from "), ("ended", "1")]
