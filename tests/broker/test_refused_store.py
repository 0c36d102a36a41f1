"""What becomes of a store that is refused: at each try, and by whoever tries."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chain import Chain
from support.damage import PAGE_BYTES
from support.patience import PATIENCE_S
from support.store import lines_in, select, send

from broker.errors import CommandError
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from quartet.errors import StoreError


@pytest.fixture
def killed(path: Path, tmp_path: Path) -> Path:
    """A store whose broker was killed in its second run: samples 300 to 599 are in its log."""
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(300)))
    place = tmp_path / "killed"
    place.mkdir()
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(300, 600)))
        for companion in ("", "-wal", ".lock"):
            shutil.copyfile(f"{path}{companion}", place / f"broker.db{companion}")
    return place / "broker.db"


def zero_leaf(path: Path) -> None:
    """Zero the first leaf of the samples in the file itself, some ticks of the clock later."""
    data = with_leaf_zeroed(path)
    wait_a_tick(path)
    path.write_bytes(data)


def wear_out(path: Path) -> None:
    """The same, as a worn-out medium does it: no time of the file tells."""
    stat = path.stat()
    path.write_bytes(with_leaf_zeroed(path))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def with_leaf_zeroed(path: Path) -> bytes:
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as rows:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'samples'"
        (root,) = rows.execute(query).fetchone()
    data = bytearray(path.read_bytes())
    page = data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES]
    cell = int.from_bytes(page[12:14], "big")
    leaf = int.from_bytes(page[cell : cell + 4], "big")
    data[(leaf - 1) * PAGE_BYTES : leaf * PAGE_BYTES] = bytes(PAGE_BYTES)
    return bytes(data)


def wait_a_tick(path: Path) -> None:
    """The clock of files moves in ticks."""
    later = max(each.stat().st_mtime_ns for each in path.parent.iterdir()) + 20_000_000
    while time.time_ns() < later:
        os.sched_yield()


def contents(path: Path) -> list[bytes]:
    return [each.read_bytes() for each in (path, Path(f"{path}-wal")) if each.exists()]


def start(path: Path) -> None:
    with lines_in(path, Chain):
        pass


def rebase(path: Path) -> None:
    asyncio.run(SqliteReader(path).command_rebase("a"))


def forget(path: Path) -> None:
    asyncio.run(SqliteReader(path).command_forget("a"))


def check(path: Path) -> None:
    SqliteUpkeep(path).check()


def repair(path: Path) -> None:
    SqliteUpkeep(path).repair()


def restore_nothing(path: Path) -> None:
    SqliteUpkeep(path).restore(path.with_name("no.db"))


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("second", [start, rebase, forget])
@pytest.mark.parametrize("first", [start, rebase, forget, restore_nothing])
def test_a_damaged_store_that_was_refused_is_refused_each_time(
    first: Callable[[Path], None], second: Callable[[Path], None], killed: Path
) -> None:
    zero_leaf(killed)
    before = contents(killed)
    with pytest.raises(StoreError):
        first(killed)
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            second(killed)
    assert contents(killed) == before


@pytest.mark.parametrize("table", ["samples", "lines"])
def test_what_sqlite_says_of_damage_is_told_without_its_headline(table: str, path: Path) -> None:
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(600)))
    stat = path.stat()
    ((root,),) = select(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", table)
    assert isinstance(root, int)
    data = bytearray(path.read_bytes())
    data[(root - 1) * PAGE_BYTES + 5 : (root - 1) * PAGE_BYTES + 7] = (
        b"\x0e\x00"  # where its cells begin
    )
    path.write_bytes(data)
    if table == "lines":  # as a medium damages it: without a new time
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(StoreError, match=r"is damaged \([^*\\\n]*\)"):
        start(path)


def test_whoever_deletes_the_file_under_a_broker_can_do_as_he_is_told(
    path: Path, tmp_path: Path
) -> None:
    log_of = tmp_path / "elsewhere"
    log_of.mkdir()
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(50)))
        copy = shutil.copyfile(path, log_of / "broker.db")  # as `mv` to another disk does
        path.unlink()
        until(lambda: "was deleted while in use" in lines.recorder.trouble)
        told = lines.recorder.trouble
    remedies = [
        "put the file back beside its -wal",
        "'broker store restore'",
        f"move {path}-wal and {path}-shm away too",
    ]
    assert_in_order(remedies, told)
    attempts: list[Callable[[Path], object]] = [start, rebase, forget, check, repair]
    for attempt in attempts:
        with pytest.raises(StoreError) as refused:
            attempt(path)
        assert_in_order(["is gone, but its log", *remedies], str(refused.value))
        assert not path.exists()
    with pytest.raises(StoreError, match="no such file"):
        restore_nothing(path)
    assert not path.exists()
    shutil.copyfile(copy, path)
    start(path)
    assert select(path, "SELECT count(*) FROM samples") == [(50,)]


def test_a_file_that_is_not_there_is_not_made_while_its_log_is(killed: Path) -> None:
    killed.unlink()
    with pytest.raises(StoreError, match="is gone"):
        Hold(killed)
    assert not killed.exists()
    for log in ("-wal", "-shm"):
        Path(f"{killed}{log}").unlink(missing_ok=True)
    start(killed)
    assert select(killed, "SELECT count(*) FROM samples") == [(0,)]


def test_what_to_do_with_another_file_in_place_of_the_one_in_use_is_said(
    path: Path, tmp_path: Path
) -> None:
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(50)))
        other = shutil.copyfile(path, tmp_path / "other")
        other.rename(path)
        until(lambda: "is another file" in lines.recorder.trouble)
        told = lines.recorder.trouble
    assert_in_order(["put the old file back", "'broker store restore'", f"{path}-wal"], told)


@pytest.mark.parametrize("refuse", [start, rebase])
def test_a_copy_beside_a_newer_log_of_the_same_run_can_be_used_alone(
    refuse: Callable[[Path], None], path: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(300)))
        select(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(path, tmp_path / "copy.db")
        asyncio.run(send(lines, range(300, 900)))
        select(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        for first in range(900, 950, 10):
            asyncio.run(send(lines, range(first, first + 10)))
        for companion in ("", "-wal", ".lock"):
            shutil.copyfile(f"{path}{companion}", here / f"broker.db{companion}")
    put = here / "broker.db"
    wait_a_tick(put)
    shutil.copyfile(tmp_path / "copy.db", put)
    before = contents(put)
    said = "the log beside it may not be its own"
    remedies = [said, f"move {put}-wal and {put}-shm away", "store restore", "store repair"]
    for _ in range(2):
        with pytest.raises(StoreError) as refused:
            refuse(put)
        assert_in_order(remedies, str(refused.value))
    problem = SqliteUpkeep(put).check().problems[0]
    assert_in_order(remedies, f"{problem.what} {problem.remedy}")
    assert contents(put) == before
    for log in ("-wal", "-shm"):
        Path(f"{put}{log}").unlink(missing_ok=True)
    start(put)
    assert select(put, "SELECT count(*) FROM samples") == [(300,)]
    assert SqliteUpkeep(put).check().problems == []


def test_a_log_that_lets_nothing_be_read_may_not_be_the_files_own(
    killed: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with contextlib.closing(sqlite3.connect(killed, isolation_level=None)) as rows:
        rows.execute("PRAGMA writable_schema = on")
        rows.execute("UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'sessions'")
        for companion in ("", "-wal", ".lock"):
            shutil.copyfile(f"{killed}{companion}", here / f"broker.db{companion}")
    wait_a_tick(here / "broker.db")
    os.utime(here / "broker.db")
    with pytest.raises(StoreError, match="the log beside it may not be its own"):
        start(here / "broker.db")


def two_agents(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        for agent in "ab":
            asyncio.run(send(lines, range(600), agent=agent))


def begin_to_forget(path: Path) -> None:
    """As whoever is killed, or meets damage, after the first steps."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as rows:
        eraser = Eraser(rows, time)
        eraser.forget("a")
        assert eraser.step(10)


def lines_with_rows(path: Path) -> set[object]:
    """The lines that anything on record belongs to."""
    tables = ("lines", "sessions", "samples", "explanations", "snapshots")
    return {line for table in tables for (line,) in select(path, f"SELECT line FROM {table}")}  # noqa: S608


def test_nobody_is_forgotten_by_half_in_a_damaged_store(path: Path) -> None:
    two_agents(path)
    wear_out(path)
    before = contents(path)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is damaged.*broker store repair"):
            forget(path)
        assert select(path, "SELECT agent_id FROM lines ORDER BY 1") == [("a",), ("b",)]
    assert contents(path) == before
    assert SqliteUpkeep(path).repair().losses
    forget(path)
    assert lines_with_rows(path) == {2}


def test_a_repair_finishes_what_was_begun_to_be_forgotten(path: Path) -> None:
    two_agents(path)
    begin_to_forget(path)
    wear_out(path)
    done = SqliteUpkeep(path).repair()
    assert lines_with_rows(path) == {2}
    assert done.samples == 600
    assert done.losses == []
    assert any("broker forget" in note for note in done.notes)


def test_who_forgets_once_more_finishes_what_was_begun(path: Path) -> None:
    two_agents(path)
    begin_to_forget(path)
    with pytest.raises(CommandError, match="has no agent a; it has b"):
        forget(path)
    assert lines_with_rows(path) == {2}


def assert_in_order(parts: list[str], text: str) -> None:
    places = [text.find(part) for part in parts]
    assert -1 not in places, text
    assert places == sorted(places), text
