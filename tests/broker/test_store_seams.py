"""What the parts of a store do to each other: repair, deletion, the log, a second program."""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.chain import Chain, Forgetful
from support.damage import PAGE_BYTES
from support.pruned import Bench
from support.store import expected, lines_in, select, send

from broker.recorder.sqlite.condition import Condition
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.opened import Opened
from broker.recorder.sqlite.plain import PlainLines
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.signature import Signature
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from quartet.database import connect
from quartet.errors import StoreError

# After a repair


def zero(path: Path, *names: str) -> None:
    """Zero the root pages of tables and indexes, in a file that nobody has open."""
    roots = [
        select(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", name)[0][0]
        for name in names
    ]
    data = bytearray(path.read_bytes())
    for root in roots:
        assert isinstance(root, int)
        data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "lost",
    [
        ("lines", "sqlite_autoindex_lines_1"),
        ("sessions", "sqlite_autoindex_sessions_1"),
        ("lines", "sqlite_autoindex_lines_1", "sessions", "sqlite_autoindex_sessions_1"),
    ],
    ids=" ".join,
)
async def test_no_agent_gets_the_records_of_one_whose_name_is_lost(
    lost: tuple[str, ...], path: Path
) -> None:
    with lines_in(path, Forgetful) as lines:
        await send(lines, range(40), agent="a")
    zero(path, *lost)
    assert SqliteUpkeep(path).repair().losses
    box, first, ids = Forgetful(), range(7, 27), range(27, 50)
    answers = expected(box, first)
    with lines_in(path, Forgetful) as lines:
        assert (await send(lines, first, session=1, agent="b"))[0] == answers
    with lines_in(path, Forgetful) as lines:
        assert (await send(lines, first, session=1, agent="b"))[0] == answers
        assert (await send(lines, ids, session=1, agent="b"))[0] == expected(box, ids)
    assert len(select(path, "SELECT * FROM samples")) == 83
    owners = select(path, "SELECT DISTINCT line, session FROM samples")
    assert len({line for line, _ in owners}) == len({session for _, session in owners}) == 2
    assert SqliteUpkeep(path).check().problems == []


# What is deleted, and what is known of it


def test_lines_of_plain_peers_that_are_deleted_are_not_known_any_more(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        plain = PlainLines(bench.connection, 3, bench.census.removed)
        for line in range(1, 11):
            bench.line(line, None)
            bench.samples(line, 5)
        while plain.step():
            pass
        assert len(bench.census.young()) == 3


def test_a_line_that_is_being_erased_is_no_plain_peers(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.connection.execute("INSERT INTO gaps VALUES (1, 5, 9)")
        eraser = Eraser(bench.connection, bench.clock)
        eraser.forget("a")
        bench.restart()
        bench.prune(0.1)
        assert bench.census.get(1) is None
        plain = PlainLines(bench.connection, 0, bench.census.removed)
        assert not plain.step()
        assert bench.kept(1)
        while eraser.step(2):
            pass
        for table in ("gaps", "sessions", "samples", "lines"):
            assert not bench.connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608


@pytest.mark.parametrize("parts", range(4))
def test_a_line_that_goes_while_all_are_read_is_not_known_later(parts: int, tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        for line in (1, 2, 3):
            bench.line(line, f"agent-{line}")
            bench.samples(line, 6000)
        bench.restart()
        for _ in range(parts):
            bench.census.load()
        eraser = Eraser(bench.connection, bench.clock)
        bench.census.removed(eraser.forget("agent-3"))
        while eraser.step(500):
            pass
        while bench.census.load():
            pass
        assert len(bench.census.young()) == 2


def test_an_agent_that_comes_back_and_leaves_while_empty_lines_go_keeps_its_records(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path, empty_lines=0) as bench:
        for line in (1, 2, 3):
            bench.line(line, f"agent-{line}")
        bench.restart()
        bench.clock.advance(10)
        assert bench.retention.step()
        assert bench.retention.step()
        bench.stream(3, live=True)
        bench.samples(3, 5)
        bench.stream(3, live=False)
        while bench.retention.step():
            pass
        assert len(bench.kept(3)) == 5
        assert bench.connection.execute("SELECT agent_id FROM lines").fetchall() == [("agent-3",)]


def test_an_agent_that_comes_back_and_leaves_is_not_the_longest_silent_any_more(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path, replay=1000, max_bytes=1 << 20) as bench:
        for line in range(1, 21):
            bench.line(line, f"agent-{line}")
            bench.samples(line, 1000)
        bench.clock.advance(2 * 86_400)
        while len(bench.kept(1)) == 1000:
            bench.clock.advance(1)
            bench.retention.step()
        bench.stream(4, live=True)
        bench.samples(4, 1)
        bench.stream(4, live=False)
        bench.prune(0.1)
        assert len(bench.kept(4)) == 1001
        assert not bench.kept(5)


def test_no_position_is_given_again_when_the_agent_with_the_newest_one_is_forgotten(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.snapshot(1)
        bench.connection.execute("DELETE FROM samples")
        eraser = Eraser(bench.connection, bench.clock)
        eraser.forget("a")
        while eraser.step(500):
            pass
        (position,) = bench.connection.execute("SELECT max(position) FROM commands").fetchone()
        assert position == 5


# A second program


@pytest.mark.parametrize("command", ["command_rebase", "command_forget"])
async def test_a_newer_program_does_not_migrate_the_store_of_a_running_broker(
    command: str, path: Path
) -> None:
    with closing(connect(path, MIGRATIONS[:-1], "full")) as older:
        older.execute("INSERT INTO lines VALUES (1, 'a', '', NULL)")
        with closing(Hold(path)), pytest.raises(StoreError, match="has schema"):
            await getattr(SqliteReader(path), command)("a")
        assert older.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) - 1,)
        assert older.execute("SELECT * FROM commands").fetchall() == []


@pytest.mark.parametrize("command", ["accounts", "command_rebase", "command_forget"])
async def test_who_meets_damage_is_told_the_remedy(command: str, path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(300))
    zero(path, *(["samples_by_id"] if command == "accounts" else ["lines"]))
    with pytest.raises(StoreError, match=r"is damaged \(.*: run 'broker store repair"):
        await getattr(SqliteReader(path), command)(*([] if command == "accounts" else ["a"]))


def test_a_restore_that_is_refused_leaves_no_store_where_none_was(
    path: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"noise" * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        SqliteUpkeep(path).restore(bad)
    assert not path.exists()


# The recorder's thread


def test_a_lock_file_that_cannot_be_written_is_a_trouble_that_is_told(path: Path) -> None:
    with closing(Hold(path)) as hold:
        signature = Signature(path, hold)
        is_unwritable = False

        def open_store() -> Opened:
            if is_unwritable:
                raise OSError(5, "Input/output error")
            return Opened(path, hold, signature, "d", Keeping(), time)

        condition = Condition(path, hold, open_store, time)
        assert condition.look() == ""
        is_unwritable = True
        for companion in ("-wal", "-shm"):
            Path(f"{path}{companion}").unlink()
        assert "Input/output error" in condition.look()
        assert "Input/output error" in condition.look()
        is_unwritable = False
        assert condition.look() == ""
        condition.close()


# The log of commits


def cut_short(log: bytearray) -> None:
    """As a kill between the two writes of a commit's last frame leaves it."""
    page = log[-PAGE_BYTES - 24 : -PAGE_BYTES - 20]
    log += page + bytes([0, 0, 0, 9]) + log[16:24] + bytes(8 + PAGE_BYTES)


def flipped(log: bytearray) -> None:
    log[-1] ^= 1


@pytest.mark.parametrize(("change", "is_lost"), [(cut_short, False), (flipped, True)])
def test_a_last_commit_that_a_kill_cut_short_is_told_from_one_that_is_damaged(
    change: Callable[[bytearray], None], is_lost: bool, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "killed.db"

    async def run() -> None:
        with lines_in(path, Chain) as lines:
            for first in range(0, 10, 5):
                await send(lines, range(first, first + 5))
            for companion in ("", "-wal", "-shm", ".lock"):
                shutil.copy(f"{path}{companion}", f"{copy}{companion}")

    asyncio.run(run())
    log = bytearray(Path(f"{copy}-wal").read_bytes())
    change(log)
    Path(f"{copy}-wal").write_bytes(log)
    if is_lost:
        with pytest.raises(StoreError, match="its log of commits is damaged"):
            SqliteRecorder(copy, "d1", Keeping()).__enter__()
        return
    assert SqliteUpkeep(copy).check().problems == []
    with SqliteRecorder(copy, "d1", Keeping()):
        pass
    assert select(copy, "SELECT id FROM samples") == [(id_,) for id_ in range(10)]
