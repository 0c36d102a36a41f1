"""The files of a store as its recorder watches them, in process."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.store import (
    change,
    expected,
    full_disk,
    header,
    lines_in,
    sample,
    select,
    send,
    send_on,
)

from broker.app import show_health
from broker.errors import RecordError
from broker.recorder.sqlite.hold import Hold
from broker.transport import Health
from broker.transport.memory import MemoryTransport
from quartet.errors import InUseError
from quartet.lock import FileLock


def move(path: Path, to: Path) -> None:
    path.rename(to)


def remove(path: Path, companion: str) -> None:
    Path(f"{path}{companion}").unlink()


def size(path: Path) -> int:
    return path.stat().st_size


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - files give no event
            await asyncio.sleep(0.001)


async def test_all_is_well_with_a_store_in_its_place(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(5))
        assert lines.recorder.trouble == ""


async def test_what_is_written_while_a_file_is_away_is_never_answered(path: Path) -> None:
    away = path.with_name("away.db")
    box = Chain()
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(5)))[0] == expected(box, range(5))
        with await lines.open(header(5)) as stream:
            move(path, away)
            with pytest.raises(RecordError, match="was moved away while in use"):
                await stream.answer([sample(5)])
        with pytest.raises(RecordError, match="was moved away while in use"):
            await send(lines, [4])
        with await lines.open(None) as plain, pytest.raises(RecordError, match="was moved away"):
            await plain.answer([sample(0)])
        assert "put it back" in lines.recorder.trouble
        move(away, path)
        await until(lambda: not lines.recorder.trouble)
        assert (await send(lines, range(4, 9)))[0][1:] == expected(box, range(5, 9))
    assert select(path, "SELECT id FROM samples") == [(id_,) for id_ in range(9)]


async def test_what_was_written_to_a_file_that_went_away_meanwhile_is_not_answered(
    path: Path,
) -> None:
    away = path.with_name("away.db")
    with lines_in(path, Chain) as lines, await lines.open(header()) as stream:
        await send_on(stream, [sample(0)])
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the commit waits
            answering = asyncio.create_task(stream.answer([sample(1)]))
            assert not (await asyncio.wait([answering], timeout=0.2))[0]
            move(path, away)
            other.execute("ROLLBACK")
        with pytest.raises(RecordError, match="was moved away while in use"):
            await answering
    move(away, path)  # its log has stayed where it was
    assert select(path, "SELECT id FROM samples") == [(0,), (1,)]


async def test_a_link_that_leads_to_another_file_is_noticed(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with lines_in(link, Chain) as lines:
        await send(lines, range(5))
        other = path.with_name("other.db")
        other.touch()
        os.truncate(other, 1 << 20)  # its size says nothing of the store's
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(RecordError, match="is another file than the one in use"):
            await send(lines, [5])
        link.unlink()
        link.symlink_to(path)
        await until(lambda: not lines.recorder.trouble)
        await send(lines, range(5, 9))
    assert other.read_bytes() == bytes(1 << 20)
    assert select(path, "SELECT id FROM samples") == [(id_,) for id_ in range(9)]


async def test_a_store_that_was_changed_while_it_was_away_is_not_used_again(path: Path) -> None:
    away = path.with_name("away.db")
    with lines_in(path, Chain) as lines:
        await send(lines, range(5))
        move(path, away)
        await until(lambda: lines.recorder.trouble)
        os.utime(away, ns=(1, 1))
        move(away, path)
        await until(lambda: "was changed while it was moved away" in lines.recorder.trouble)
        with pytest.raises(RecordError, match="was changed while it was moved away"):
            await send(lines, [5])


@pytest.mark.parametrize("left", [0, 4096])
async def test_a_store_that_is_overwritten_in_its_place_is_noticed(left: int, path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(5))
    with lines_in(path, Chain) as lines:
        await send(lines, range(5, 9))
        os.truncate(path, left)
        with pytest.raises(RecordError, match="was overwritten while in use"):
            await send(lines, [9])
        assert "broker store restore" in lines.recorder.trouble


async def test_logs_that_cannot_be_saved_are_told_until_they_can(path: Path) -> None:
    box = Chain()
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(500)))[0] == expected(box, range(500))
        with full_disk(path, size=size(path)):
            remove(path, "-wal")
            await until(lambda: "the store cannot be opened again" in lines.recorder.trouble)
            with pytest.raises(RecordError, match="cannot be opened again"):
                await send(lines, [500])
        await until(lambda: not lines.recorder.trouble)
        assert (await send(lines, range(490, 510)))[0][10:] == expected(box, range(500, 510))
    assert select(path, "SELECT count(*) FROM samples") == [(510,)]


async def test_a_stream_that_was_open_while_logs_were_saved_ends(path: Path) -> None:
    with lines_in(path, Chain) as lines, await lines.open(header()) as stream:
        await send_on(stream, [sample(0)])
        remove(path, "-shm")
        await until(lambda: Path(f"{path}-shm").exists())
        with pytest.raises(RecordError, match="was deleted while in use"):
            await stream.answer([sample(1)])
        assert (await send(lines, [0, 1]))[0] == expected(Chain(), [0, 1])


async def test_damage_is_told_once_and_no_commit_is_tried_any_more(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(5))
        with await lines.open(header(5)) as stream:
            contradiction = "BEGIN SELECT raise(ABORT, 'there is one'); END"
            change(path, f"CREATE TRIGGER t BEFORE INSERT ON samples {contradiction}")
            for _ in range(3):
                with pytest.raises(RecordError, match="broker store repair"):
                    await stream.answer([sample(5)])
        change(path, "DROP TRIGGER t")
        with pytest.raises(RecordError, match="broker store repair"):
            await send(lines, [5])
        assert "is damaged" in lines.recorder.trouble
    assert len(errors()) == 1
    assert select(path, "SELECT count(*) FROM samples") == [(5,)]


def test_a_second_hold_is_refused_also_where_the_lock_file_is_deleted(path: Path) -> None:
    hold = Hold(path)
    for gone in ((), (".lock",)):
        for name in gone:
            Path(f"{path}{name}").unlink()
        with pytest.raises(InUseError):
            Hold(path)
    hold.renew()
    with pytest.raises(InUseError, match=f"is in use by process {os.getpid()}"):
        Hold(path)
    hold.close()
    Hold(path).close()


async def test_a_lock_file_that_another_process_has_made_meanwhile_ends_the_answers(
    path: Path,
) -> None:
    with lines_in(path, Chain, tick_s=0.0) as lines:
        await send(lines, range(5))
        lock_file = path.with_name("other.lock")
        lock = FileLock(lock_file)
        lock_file.rename(f"{path}.lock")
        await until(lambda: "its lock file was deleted" in lines.recorder.trouble)
        with pytest.raises(RecordError, match=f"is in use by process {os.getpid()}"):
            await send(lines, [5])
        lock.close()
        await until(lambda: not lines.recorder.trouble)
        assert (await send(lines, [5]))[1] is None


async def test_health_follows_the_trouble_of_the_recorder() -> None:
    class Troubled:
        trouble = ""

    recorder, transport = Troubled(), MemoryTransport()
    showing = asyncio.create_task(show_health(transport, recorder))
    for trouble, health in (
        ("", Health.SERVING),
        ("its disk is gone", Health.NOT_SERVING),
        ("", Health.SERVING),
    ):
        recorder.trouble = trouble
        await until(lambda: transport.health is health)  # noqa: B023
    showing.cancel()
