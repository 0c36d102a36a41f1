"""Lines on a store: what survives the broker, what a failed commit takes along."""

import asyncio
import contextlib
import logging
import os
import re
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.clock import ManualClock
from support.store import (
    expected,
    full_disk,
    header,
    lines_in,
    sample,
    select,
    send,
)

from broker.errors import RecordError
from broker.model import Code, Sample
from broker.recorder import ANSWERS_AT_ONCE
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import MIGRATIONS
from quartet.errors import NewerSchemaError, StoreError

many = settings(derandomize=True, deadline=None, max_examples=25)


# What is recorded


async def test_every_sample_is_recorded_in_the_order_of_the_black_box(path: Path) -> None:
    clock = ManualClock(wall_s=1.7e9)
    now_ns = clock.time_ns()
    with lines_in(path, Chain, clock=clock) as lines:
        paced = header(5, 1, at_ns=1000, period_ns=10)
        with await lines.open(paced, "1.2.3.4:5") as stream:
            await stream.answer([sample(5), sample(7)])
        with await lines.open(header(0, 2, at_ns=77)) as stream:
            await stream.answer([Sample(0, (float("nan"), float("inf"), 0.1, -0.0)), sample(1)])
        with await lines.open(None, "[::1]:5") as stream:
            await stream.answer([sample(-3), sample(-3)])
    rows = select(
        path,
        "SELECT position, agent_id, sessions.id, samples.id, sampled_at_ns, arrived_at_ns"
        " FROM samples JOIN sessions USING (session) JOIN lines ON lines.line = samples.line"
        " ORDER BY position",
    )
    one, two = f"{1:032x}", f"{2:032x}"
    assert rows == [
        (1, "a", one, 5, 1000, now_ns),
        (2, "a", one, 7, 1020, now_ns),
        (3, "a", two, 0, 77, now_ns),
        (4, "a", two, 1, now_ns, now_ns),
        (5, None, None, -3, now_ns, now_ns),
        (6, None, None, -3, now_ns, now_ns),
    ]
    ((sensors,),) = select(path, "SELECT sensors FROM samples WHERE position = 3")
    assert str(struct.unpack("<4f", sensors)) == "(nan, inf, 0.10000000149011612, -0.0)"
    answers = [p for (p,) in select(path, "SELECT prediction FROM samples WHERE line = 1")]
    box = Chain()
    wanted = [box.predict(sample(5)), box.predict(sample(7))]
    assert answers[:2] == wanted
    assert select(path, "SELECT peer FROM lines ORDER BY line") == [("1.2.3.4:5",), ("[::1]:5",)]
    assert select(path, "SELECT first, last FROM gaps") == [(6, 6)]


async def test_a_time_beyond_what_can_be_stored_is_the_last_that_can(path: Path) -> None:
    last_ns = 2**63 - 1
    with lines_in(path, Chain) as lines:
        endless = header(at_ns=last_ns, period_ns=last_ns)
        with await lines.open(endless) as stream:
            _, refusal = await stream.answer([sample(0), sample(2**31 - 1)])
    assert refusal is None
    assert select(path, "SELECT sampled_at_ns FROM samples") == [(last_ns,), (last_ns,)]


async def test_a_stream_that_sends_nothing_leaves_no_row(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        for opened in (header(), None):
            with await lines.open(opened) as stream:
                assert await stream.answer([]) == ([], None)
    assert select(path, "SELECT line FROM lines UNION ALL SELECT line FROM samples") == []
    assert select(path, "SELECT * FROM sessions") == []


async def test_what_is_resent_is_found_in_the_records_and_never_computed_again(path: Path) -> None:
    count = 3 * ANSWERS_AT_ONCE
    with lines_in(path, Chain) as lines:
        first, _ = await send(lines, range(count))
        assert (await send(lines, range(count)))[0] == first
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(10, count)))[0] == first[10:]
    assert select(path, "SELECT count(*) FROM samples") == [(count,)]
    assert select(path, "SELECT received, duplicates FROM sessions") == [
        (3 * count - 10, 2 * count - 10)
    ]


async def test_the_last_id_outlives_its_answers_and_its_place_in_memory(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
        for session in range(1, 10):
            await send(lines, [0], session)
        _, refusal = await send(lines, [8, 9, 10])
        assert refusal is None
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM samples WHERE id < 10")
    with lines_in(path, Chain) as lines:
        answers, refusal = await send(lines, [9, 10])
        assert refusal.code is Code.OUT_OF_RANGE
        assert (answers, refusal.sample_id) == ([], 9)
        answers, refusal = await send(lines, [10, 11])
        assert ([each.id for each in answers], refusal) == ([10, 11], None)


async def test_a_refused_sample_and_an_expired_answer_are_counted(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, [0, 1, 5, 5])
        await send(lines, [3])
    assert select(
        path,
        "SELECT received, answered, duplicates, refused, gaps, first_id, last_id FROM sessions",
    ) == [(5, 3, 1, 1, 3, 0, 5)]


async def test_the_sessions_of_a_line_and_their_named_gaps_are_bounded(path: Path) -> None:
    keeping = Keeping(sessions=3, gaps=4)
    with lines_in(path, Chain, keeping=keeping) as lines:
        for session in range(6):
            await send(lines, range(0, 6, 2), session)
            await send(lines, range(6, 18, 3), session)
        box = Chain()
        for _ in range(6):
            expected(box, [0, 2, 4, 6, 9, 12, 15])
    assert select(path, "SELECT session, gaps FROM sessions") == [(n, 9) for n in (4, 5, 6)]
    named = select(path, "SELECT session, count(*) FROM gaps GROUP BY session")
    assert named == [(n, 4) for n in (4, 5, 6)]
    with lines_in(path, Chain) as lines:  # their samples are still the line's
        assert (await send(lines, range(20), 7))[0] == expected(box, range(20))


# Commits


@contextlib.contextmanager
def busy(path: Path) -> Iterator[None]:
    """Somebody else writes to the store: no commit is done."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def commits(path: Path) -> int:
    """How many are in the store's log: the last frame of each says how large the file is."""
    log = Path(f"{path}-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12])
    frames = (log[at : at + 24] for at in range(32, len(log), 24 + page_bytes))
    return sum(int.from_bytes(frame[4:8]) > 0 and frame[8:16] == log[16:24] for frame in frames)


async def test_an_answer_leaves_when_its_record_is_committed(path: Path) -> None:
    with lines_in(path, Chain) as lines, await lines.open(header()) as stream:
        await stream.answer([sample(0)])
        with busy(path):
            answering = asyncio.create_task(stream.answer([sample(1)]))
            resent = asyncio.create_task(send(lines, [0, 1]))
            assert not (await asyncio.wait([answering, resent], timeout=0.2))[0]
            assert select(path, "SELECT id FROM samples") == [(0,)]
        answers, _ = await answering
        assert (await resent)[0][1:] == answers
    assert select(path, "SELECT id FROM samples") == [(0,), (1,)]


async def test_all_that_gathers_during_a_commit_goes_into_the_next(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        streams = [await lines.open(header(agent=f"a{n}")) for n in range(50)]
        await asyncio.gather(*(stream.answer([sample(0)]) for stream in streams))  # restores
        before = commits(path)
        with busy(path):
            answering = [asyncio.create_task(stream.answer([sample(1)])) for stream in streams]
            assert not (await asyncio.wait(answering, timeout=0.2))[0]
        await asyncio.gather(*answering)
        assert select(path, "SELECT count(*) FROM samples") == [(100,)]
        assert commits(path) - before <= 2


async def test_a_failed_commit_ends_its_streams_and_the_line_goes_back_to_its_records(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    box = Chain()
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(5)))[0] == expected(box, range(5))
        with await lines.open(header(5)) as stream, full_disk(path):
            for id_ in (5, 6):  # the second rests on the first, which was lost
                with pytest.raises(RecordError, match="the broker cannot record samples: "):
                    await stream.answer([sample(id_)])
            with pytest.raises(RecordError):
                await send(lines, [5])
        with pytest.raises(RecordError):
            await stream.answer([sample(7)])
        assert (await send(lines, range(3, 8)))[0][2:] == expected(box, range(5, 8))
    assert select(path, "SELECT id FROM samples") == [(n,) for n in range(8)]
    said = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if "be recorded" in record.getMessage() or "are recorded" in record.getMessage()
    ]
    assert [level for level, _ in said] == ["ERROR", "DEBUG", "INFO"]
    assert re.search(r": samples are recorded again, after \d+(\.\d)? s$", said[-1][1])


async def test_a_line_without_a_share_in_a_failed_commit_does_not_notice(path: Path) -> None:
    box = Chain()
    with lines_in(path, Chain) as lines, await lines.open(header(agent="other")) as other:
        assert (await other.answer([sample(0)]))[0] == expected(box, [0])
        with full_disk(path), pytest.raises(RecordError):
            await send(lines, [0])
        assert (await other.answer([sample(1)]))[0] == expected(box, [1])


@many
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=12))
async def test_no_failed_commit_is_seen_in_what_follows(script: list[tuple[int, bool]]) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, lines_in(Path(folder, "s.db"), Chain) as lines:
        box, next_id = Chain(), 0
        await send(lines, [0], agent="other")
        for count, fails in script:
            ids = range(next_id, next_id + count)
            with full_disk(Path(folder, "s.db")) if fails else contextlib.nullcontext():
                try:
                    answers, _ = await send(lines, ids)
                except RecordError:
                    assert fails
                    continue
            assert answers == expected(box, ids)
            next_id += count
    logging.disable(logging.NOTSET)


# Files that are none of ours, and others that are


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as raised, SqliteRecorder(path, "d", Keeping()):
        pass
    return str(raised.value)


def test_a_store_has_one_owner_who_is_named(path: Path) -> None:
    with SqliteRecorder(path, "d", Keeping()):
        assert f"is in use by process {os.getpid()}" in refusal(path)
    with SqliteRecorder(path, "d", Keeping()):
        pass


def test_a_store_says_how_many_migrations_it_has_seen(path: Path) -> None:
    with SqliteRecorder(path, "d", Keeping()):
        pass
    assert select(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_store_of_a_newer_version_is_refused_and_not_touched(path: Path) -> None:
    with SqliteRecorder(path, "d", Keeping()):
        pass
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(NewerSchemaError), SqliteRecorder(path, "d", Keeping()):
        pass
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(path: Path) -> None:
    path.write_bytes(b"my holiday pictures\n" * 1000)
    before = path.read_bytes()
    assert "move it away" in refusal(path)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_not_touched(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pictures (name)")
    before = path.read_bytes()
    assert "is a database, but not a store of the broker" in refusal(path)
    assert path.read_bytes() == before


def test_a_place_where_no_store_can_be_is_named(tmp_path: Path) -> None:
    assert "there is no directory" in refusal(tmp_path / "none" / "broker.db")
    assert "cannot be" in refusal(tmp_path)
    assert "cannot be written" in refusal(Path("/proc/broker.db"))


def damage(path: Path) -> None:
    """Overwrite all but the first page."""
    path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"\xa5"))


async def test_a_damaged_page_is_a_refusal_and_no_crash(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(2000))
    damage(path)
    with contextlib.suppress(StoreError), lines_in(path, Chain) as lines:
        with pytest.raises(RecordError):
            await send(lines, [2000])
        with pytest.raises(RecordError):
            await send(lines, [0], agent="other")
