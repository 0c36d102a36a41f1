"""Commands to a line: rows in the store, followed between two samples."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.chain import Chain, Forgetful
from support.patience import PATIENCE_S
from support.store import (
    OpenLines,
    expected,
    header,
    killed_copy,
    lines_in,
    sample,
    select,
    send,
    send_on,
)

from broker.errors import RecordError
from broker.recorder.reader import PlainAccount
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.records import SNAPSHOT_EVERY
from broker.workers import Inline, Result
from quartet.database import connect

# Commands


async def rebase(path: Path, agent_id: str) -> None:
    await SqliteReader(path).command_rebase(agent_id)


async def is_heard(lines: OpenLines) -> None:
    """Return when the broker has heard of a command to line a, which takes it a tick."""
    claim = await lines.recorder.claim(header(), "")
    async with asyncio.timeout(PATIENCE_S):
        while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("make", [Chain, Forgetful])
async def test_a_rebased_line_begins_anew_and_stays_so_after_any_death(
    make: type[Forgetful], path: Path, tmp_path: Path
) -> None:
    with lines_in(path, make) as lines:
        await send(lines, range(SNAPSHOT_EVERY + 5))
        with await lines.open(header(SNAPSHOT_EVERY + 5)) as stream:
            await stream.answer([sample(SNAPSHOT_EVERY + 5)])
            await rebase(path, "a")
            await is_heard(lines)
            box, ids = make(), range(SNAPSHOT_EVERY + 6, SNAPSHOT_EVERY + 9)
            answers, _ = await stream.answer([sample(id_) for id_ in ids])
            assert answers == expected(box, ids)
            ids = range(SNAPSHOT_EVERY + 9, SNAPSHOT_EVERY + 30)
            assert (await send(lines, ids))[0] == expected(box, ids)
        copy = killed_copy(path, tmp_path / "killed.db")
    assert select(path, "SELECT position FROM commands") == [(SNAPSHOT_EVERY + 6,)]
    with lines_in(copy, make) as lines:
        ids = range(SNAPSHOT_EVERY + 30, SNAPSHOT_EVERY + 40)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_no_snapshot_from_before_a_command_is_restored_by_whatever_black_box(
    path: Path,
) -> None:
    with lines_in(path, Chain, digest="d1") as lines:
        await send(lines, range(SNAPSHOT_EVERY + 5))
    with lines_in(path, Forgetful, digest="d2") as lines:
        await rebase(path, "a")
        await is_heard(lines)
        await send(lines, range(SNAPSHOT_EVERY + 5, SNAPSHOT_EVERY + 9))
    box = Chain()
    expected(box, range(SNAPSHOT_EVERY + 5, SNAPSHOT_EVERY + 9))
    with lines_in(path, Chain, digest="d1") as lines:
        ids = range(SNAPSHOT_EVERY + 9, SNAPSHOT_EVERY + 19)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_a_command_for_a_line_waits_for_its_next_sample(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
        await send(lines, range(10), agent="b")
    await rebase(path, "a")
    await rebase(path, "a")
    box_b = Chain()
    expected(box_b, range(10))
    with lines_in(path, Chain) as lines:
        await is_heard(lines)
        ids = range(10, 30)
        assert (await send(lines, ids))[0] == expected(Chain(), ids)
        assert (await send(lines, ids, agent="b"))[0] == expected(box_b, ids)
    assert select(path, "SELECT command, position FROM commands") == [(2, 20)]


class Held(Inline):
    """Stands still with the third thing that is done aside: by then, samples were replayed."""

    def __init__(self) -> None:
        super().__init__()
        self._before = iter(range(2))
        self.has_replayed, self.go_on = asyncio.Event(), asyncio.Event()

    async def run_aside(self, call: Callable[[], Result]) -> Result:
        result = await super().run_aside(call)
        if next(self._before, None) is None:
            self.has_replayed.set()
            await self.go_on.wait()
        return result


async def test_a_command_during_a_restore_makes_what_is_replayed_void(path: Path) -> None:
    with lines_in(path, Forgetful) as lines:
        await send(lines, range(500))
    box, held = Forgetful(), Held()
    with lines_in(path, Forgetful, workers=held) as lines:
        restored = asyncio.create_task(send(lines, [500]))
        async with asyncio.timeout(PATIENCE_S):
            await held.has_replayed.wait()
        await rebase(path, "a")
        await is_heard(lines)
        assert (await send(lines, [500]))[0] == (first := expected(box, [500]))
        assert not restored.done()
        held.go_on.set()
        assert (await restored)[0] == first
        assert (await send(lines, range(501, 520)))[0] == expected(box, range(501, 520))


async def test_a_command_is_followed_once_whoever_streams(path: Path) -> None:
    with lines_in(path, Chain, lines=1) as lines:
        await send(lines, range(10))
        await rebase(path, "a")
        await is_heard(lines)
        box, ids = Chain(), range(10, 30)
        with await lines.open(header(10)) as older, await lines.open(header(10, 1)) as newer:
            both = await asyncio.gather(
                *(send_on(stream, [sample(id_) for id_ in ids]) for stream in (older, newer))
            )
        assert [answers for answers, _ in both] == [expected(box, ids), expected(box, ids)]
        await send(lines, [0], agent="b")  # in place of line a, which can be read again
        assert (await send(lines, range(30, 50)))[0] == expected(box, range(30, 50))


# Forgetting


async def is_gone(path: Path) -> None:
    """Return when nothing is left of whoever is to be forgotten."""
    async with asyncio.timeout(PATIENCE_S):
        while select(  # noqa: ASYNC110 - it tells nobody
            path,
            "SELECT line FROM lines WHERE agent_id IS NULL UNION ALL"
            " SELECT command FROM commands WHERE name = 'forget'",
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("make", [Chain, Forgetful])
async def test_an_agent_that_is_forgotten_while_it_streams_comes_back_as_a_new_one(
    make: type[Forgetful], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with lines_in(path, make) as lines:
        await send(lines, range(SNAPSHOT_EVERY + 5))
        await send(lines, range(5), agent="b")
        with await lines.open(header(SNAPSHOT_EVERY + 5)) as stream:
            await stream.answer([sample(SNAPSHOT_EVERY + 5)])
            await SqliteReader(path).command_forget("a")
            await is_gone(path)
            with pytest.raises(RecordError, match="'broker forget a' deleted its records"):
                await stream.answer([sample(SNAPSHOT_EVERY + 6)])
        box, ids = make(), range(SNAPSHOT_EVERY + 6, SNAPSHOT_EVERY + 20)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert f"starts at sample {SNAPSHOT_EVERY + 6}" in caplog.text
    assert select(
        path, "SELECT agent_id, count(*) FROM samples JOIN lines USING (line) GROUP BY line"
    ) == [("b", 5), ("a", 14)]
    assert select(path, "SELECT agent_id, first_id FROM sessions JOIN lines USING (line)") == [
        ("b", 0),
        ("a", SNAPSHOT_EVERY + 6),
    ]
    with lines_in(path, make) as lines:
        ids = range(SNAPSHOT_EVERY + 20, SNAPSHOT_EVERY + 30)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_a_command_to_forget_outlives_any_death_of_the_broker(
    path: Path, tmp_path: Path
) -> None:
    with lines_in(path, Chain, tick_s=3600.0) as lines:  # it hears of nothing
        await send(lines, range(3000))
        await send(lines, range(5), agent="b")
        await SqliteReader(path).command_forget("a")
        copy = killed_copy(path, tmp_path / "killed.db")
    connection = connect(path, MIGRATIONS, "off")
    with closing(connection):
        eraser = Eraser(connection, time)
        eraser.forget("a")
        accounts = await SqliteReader(path).accounts()
        assert [each.agent_id for each in accounts.sessions] == ["b"]
        assert accounts.plain == PlainAccount(0, 0, 0)
        assert eraser.step(500)  # and dies
    for store in (path, copy):
        with lines_in(store, Chain):
            await is_gone(store)
        assert select(store, "SELECT agent_id FROM lines") == [("b",)]
        for table in ("sessions", "samples", "snapshots", "gaps", "explanations"):
            assert len(select(store, f"SELECT * FROM {table}")) == {  # noqa: S608
                "sessions": 1,
                "samples": 5,
            }.get(table, 0)


async def test_a_stream_that_comes_after_the_stop_is_refused_and_does_not_wait(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        stream = await lines.open(header())
    with pytest.raises(RecordError, match="the recorder is closed"):
        await stream.answer([sample(0)])
    with pytest.raises(RecordError, match="the recorder is closed"):
        await lines.open(header(agent="b"))
