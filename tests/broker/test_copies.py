"""Backups of a store, what is restored from them, and copies that were made by hand."""

import asyncio
import itertools
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.chain import Chain
from support.damage import damage, noisy_page
from support.store import lines_in, select, send

from broker.__main__ import main
from broker.ledger import Ledger
from broker.model import Answer
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.recorder.upkeep import Newest
from quartet.database import connect
from quartet.errors import InUseError, NewerSchemaError, StoreError

SESSION = f"{0:032x}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "backup.db"


@pytest.fixture(autouse=True)
def _elsewhere(copy: Path) -> None:
    copy.parent.mkdir()


def fill(path: Path, first: int, end: int, *, session: int = 0) -> list[Answer]:
    with lines_in(path, Chain, snapshot_every=20) as lines:
        answers, _ = asyncio.run(send(lines, range(first, end), session))
    return answers


def samples(path: Path) -> list[tuple[object, ...]]:
    return select(path, "SELECT * FROM samples ORDER BY position")


def sizes(directory: Path) -> dict[str, int]:
    return {each.name: each.stat().st_size for each in directory.iterdir()}


async def test_a_backup_of_a_running_broker_is_one_file_with_one_state(
    path: Path, copy: Path
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(30))
        await send(lines, range(7, 50), 1, "press-2")
        made = await asyncio.to_thread(SqliteUpkeep(path).backup, copy)
        await send(lines, range(30, 40))
    assert made.newest == [Newest("a", SESSION, 29), Newest("press-2", f"{1:032x}", 49)]
    assert sizes(copy.parent) == {copy.name: made.bytes}
    assert samples(copy) == samples(path)[:73]
    assert sizes(copy.parent) == {copy.name: made.bytes}  # read, it stays one file


def test_a_backup_replaces_nothing_and_of_a_damaged_store_there_is_none(
    path: Path, copy: Path
) -> None:
    fill(path, 0, 600)
    copy.write_text("mine")
    with pytest.raises(StoreError, match="already exists"):
        SqliteUpkeep(path).backup(copy)
    assert copy.read_text() == "mine"
    with pytest.raises(StoreError, match="there is no directory"):
        SqliteUpkeep(path).backup(copy.parent / "none" / "b.db")
    copy.unlink()
    damage(path, noisy_page, 3)
    with pytest.raises(StoreError, match="see 'broker store check'"):
        SqliteUpkeep(path).backup(copy)
    assert list(copy.parent.iterdir()) == []


async def test_a_restored_store_tells_what_it_lacks_and_the_ledger_names_the_gap(
    path: Path, copy: Path
) -> None:
    with lines_in(path, Chain) as lines:
        early, _ = await send(lines, range(30))
        await asyncio.to_thread(SqliteUpkeep(path).backup, copy)
        await send(lines, range(30, 60))
        await send(lines, range(5), 1)
        with pytest.raises(InUseError):
            await asyncio.to_thread(SqliteUpkeep(path).restore, copy)
    former = samples(path)
    done = await asyncio.to_thread(SqliteUpkeep(path).restore, copy)
    assert done.aside
    assert samples(done.aside) == former
    assert samples(path) == former[:30]
    assert [(each.agent_id, each.session_id, each.ids) for each in done.lacks] == [
        ("a", SESSION, [(30, 59)]),
        ("a", f"{1:032x}", [(0, 4)]),
    ]
    assert early == [Answer(row[3], bool(row[7])) for row in former[:30]]  # type: ignore[arg-type]
    with lines_in(path, Chain) as lines:
        again, _ = await send(lines, range(25, 30))
        assert again == early[25:]
        await send(lines, [60])
    ledger = Ledger(await SqliteReader(path).accounts())
    assert ledger.problems() == []
    (session,) = ledger.accounts.sessions
    assert session.missing == [(30, 59)]


def test_a_backup_of_an_older_schema_is_restored_and_of_a_newer_one_refused(
    path: Path, copy: Path
) -> None:
    fill(path, 0, 10)
    older = copy.with_name("older.db")
    connect(older, MIGRATIONS[:3], "full").close()
    select(older, "INSERT INTO lines VALUES (1, 'a', '1.2.3.4:5')")
    SqliteUpkeep(older).backup(copy)
    SqliteUpkeep(path).restore(copy)
    assert select(path, "PRAGMA user_version") == [(3,)]
    fill(path, 0, 10)
    assert SqliteUpkeep(path).check().problems == []
    select(copy, "PRAGMA user_version = 99")
    before = samples(path)
    with pytest.raises(NewerSchemaError):
        SqliteUpkeep(path).restore(copy)
    assert samples(path) == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (lambda copy: copy.write_text("diary"), "is damaged.*use another backup"),
        (lambda copy: damage(copy, noisy_page, 3), "is damaged"),
        (lambda copy: select(copy, "PRAGMA application_id = 7"), "is a database, but not a store"),
        (lambda copy: select(copy, "UPDATE samples SET id = id + 1"), "is damaged"),
    ],
)
def test_a_backup_that_is_not_sound_is_refused_and_nothing_is_touched(
    spoil: Callable[[Path], object], reason: str, path: Path, copy: Path
) -> None:
    fill(path, 0, 600)
    SqliteUpkeep(path).backup(copy)
    fill(path, 600, 700)
    before = samples(path)
    spoil(copy)
    with pytest.raises(StoreError, match=reason):
        SqliteUpkeep(path).restore(copy)
    assert samples(path) == before
    with pytest.raises(StoreError, match="is the store itself"):
        SqliteUpkeep(path).restore(path)


def test_what_is_restored_onto_a_store_that_cannot_be_read_is_told_to_lack_the_unknown(
    path: Path, copy: Path
) -> None:
    fill(path, 0, 10)
    SqliteUpkeep(path).backup(copy)
    path.write_bytes(b"noise" * 1000)
    done = SqliteUpkeep(path).restore(copy)
    assert "cannot be read" in done.unknown
    assert done.aside
    assert done.aside.read_bytes() == b"noise" * 1000
    path.unlink()
    done = SqliteUpkeep(path).restore(copy)
    assert (done.aside, done.lacks, done.unknown) == (None, [], "")
    assert len(samples(path)) == 10


@pytest.fixture
def _careless_umask() -> Iterator[None]:
    former = os.umask(0)
    yield
    os.umask(former)


@pytest.mark.usefixtures("_careless_umask")
def test_what_is_made_of_a_store_is_for_the_owner_of_the_store_alone(
    path: Path, copy: Path
) -> None:
    owner = 4321 if os.geteuid() == 0 else os.geteuid()

    def is_private(made: Path) -> bool:
        stat = made.stat()
        return (stat.st_uid, stat.st_mode & 0o777) == (owner, 0o600)

    fill(path, 0, 600)
    os.chown(path, owner, -1)
    SqliteUpkeep(path).backup(copy)
    assert is_private(copy)
    SqliteUpkeep(path).restore(copy)
    assert is_private(path)
    damage(path, noisy_page, 3)
    assert SqliteUpkeep(path).repair().aside
    assert is_private(path)


# Copies by hand

LOGS = ("", "-wal", ".lock")


def raw_copy(path: Path, to: Path) -> Path:
    to.mkdir()
    for companion in LOGS:
        if Path(f"{path}{companion}").exists():
            shutil.copyfile(f"{path}{companion}", to / f"{path.name}{companion}")
    return to


def back_alone(copy: Path, to: Path) -> None:
    """`cp broker.db back`, beside the log that lies there."""
    shutil.copyfile(copy / to.name, to)


def back_with_its_times(copy: Path, to: Path) -> None:
    """The same with `cp -p`."""
    shutil.copy2(copy / to.name, to)


def back_moved(copy: Path, to: Path) -> None:
    shutil.copy2(copy / to.name, to.with_name("new"))
    to.with_name("new").rename(to)


def back_without_log(copy: Path, to: Path) -> None:
    Path(f"{to}-wal").unlink()
    shutil.copyfile(copy / to.name, to)


def back_with_its_log(copy: Path, to: Path) -> None:
    for companion in ("", "-wal"):
        shutil.copyfile(copy / f"{to.name}{companion}", f"{to}{companion}")


def only_its_log(copy: Path, to: Path) -> None:
    shutil.copyfile(copy / f"{to.name}-wal", f"{to}-wal")


BACK = [
    *(back_alone, back_with_its_times, back_moved),
    *(back_without_log, back_with_its_log, only_its_log),
]


class LateClock:
    """An hour behind that of the files: nobody puts a copy back within seconds, as a test does."""

    def monotonic(self) -> float:
        return time.monotonic()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns() - 3600 * 10**9


class History(NamedTuple):
    """A store with what has become of it."""

    copies: list[Path]
    """At any time of its two runs."""
    killed: Path
    truth: list[tuple[object, ...]]
    """All of its samples."""


@pytest.fixture(scope="module", params=range(3))
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """So many commits that the log is written into the file once or twice in each run."""
    dice = random.Random(request.param)  # noqa: S311
    place = tmp_path_factory.mktemp("history")
    path = place / "broker.db"
    copies: list[Path] = []

    async def live() -> None:
        next_id = 0
        for run in range(2):
            at = {dice.randrange(350) for _ in range(2)}
            with lines_in(path, Chain, snapshot_every=50, clock=LateClock()) as lines:
                for turn in range(350):
                    count = dice.randrange(1, 6)
                    await send(lines, range(next_id, next_id + count))
                    next_id += count
                    if turn in at:
                        copies.append(raw_copy(path, place / f"copy-{run}-{turn}"))
                raw_copy(path, place / f"killed-{run}")

    asyncio.run(live())
    return History(copies, place / "killed-1", samples(path))


@pytest.mark.parametrize("back", BACK)
def test_a_copy_that_is_put_back_by_hand_is_refused_or_is_what_was_recorded(
    back: Callable[[Path, Path], None], history: History, tmp_path: Path
) -> None:
    for number, copy in enumerate(history.copies):
        put_back(back, copy, tmp_path / str(number), history)


def test_a_file_and_a_log_that_were_copied_one_after_the_other_are_refused_or_are_one(
    history: History, tmp_path: Path
) -> None:
    for number, (one, two) in enumerate(itertools.permutations(history.copies, 2)):

        def back(copy: Path, to: Path, log: Path = two) -> None:
            back_alone(copy, to)
            only_its_log(log, to)

        put_back(back, one, tmp_path / str(number), history)


@pytest.mark.parametrize("command", [["ledger"], ["rebase", "a"], ["store", "check"]])
def test_who_reads_or_commands_refuses_the_log_of_another_run_as_a_broker_does(
    command: list[str], history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "here" / "broker.db"
    shutil.copytree(history.killed, path.parent)
    back_alone(history.copies[0], path)
    files = [path, Path(f"{path}-wal")]
    before = [each.read_bytes() for each in files]
    assert main([*command, "--store", str(path)]) == 1
    said = capsys.readouterr()
    assert "the log beside it is not its own (broker.db-wal)" in said.out + said.err
    assert [each.read_bytes() for each in files] == before


def test_a_log_without_its_file_is_refused_and_kept(history: History, tmp_path: Path) -> None:
    path = tmp_path / "here" / "broker.db"
    shutil.copytree(history.killed, path.parent)
    path.unlink()
    log = Path(f"{path}-wal").read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match="is gone, but its log of commits is still there"):
            lines_in(path, Chain).__enter__()
        assert Path(f"{path}-wal").read_bytes() == log


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("is_same_boot", [True, False])
def test_a_log_that_is_damaged_is_not_taken_for_a_shorter_one(
    at: float, is_same_boot: bool, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain, snapshot_every=20) as lines:
        for first in range(0, 400, 10):
            asyncio.run(send(lines, range(first, first + 10)))
        truth = samples(path)
        path = raw_copy(path, tmp_path / "killed") / path.name
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[20 + int(at * len(data))] ^= 1
    log.write_bytes(data)
    lock = Path(f"{path}.lock")
    if not is_same_boot:
        lock.write_text(re.sub("boot .*", f"boot {0:036}", lock.read_text()))
    ((problem),) = SqliteUpkeep(path).check().problems
    assert "the log of commits is damaged: " in str(problem)
    if is_same_boot:
        with pytest.raises(StoreError, match="broker store repair"):
            lines_in(path, Chain).__enter__()
        done = SqliteUpkeep(path).repair()
        if at:
            assert (done.losses, samples(path)) == ([], truth)
        assert SqliteUpkeep(path).check().problems == []
    else:
        with lines_in(path, Chain):
            assert "as after a power cut" in caplog.text
        assert samples(path) == truth[: len(samples(path))]


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_store_that_nobody_touched_is_opened_without_a_look_at_all_of_it(
    end: str, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(300)))
        killed = raw_copy(path, tmp_path / "killed") / path.name
    for suffix in ("", "-wal"):  # as they were written, and not as they were copied
        os.utime(f"{killed}{suffix}", ns=(time.time_ns(), time.time_ns()))
    with caplog.at_level("INFO"), lines_in(path if end == "stopped" else killed, Chain):
        pass
    assert "all of it is checked" not in caplog.text
    if end == "stopped":
        select(path, "UPDATE sessions SET digest = 'd2'")
        with caplog.at_level("INFO"), lines_in(path, Chain):
            pass
        assert "all of it is checked" in caplog.text


def put_back(back: Callable[[Path, Path], None], copy: Path, place: Path, history: History) -> None:
    """Put a copy over the killed store, and start a broker."""
    shutil.copytree(history.killed, place)
    path = place / "broker.db"
    later = Path(f"{path}-wal").stat().st_mtime_ns
    while time.time_ns() < later + 20_000_000:  # the clock of files moves in ticks
        os.sched_yield()
    back(copy, path)
    files = [each for each in (path, Path(f"{path}-wal")) if each.exists()]
    before = [each.read_bytes() for each in files]
    refusal = ""
    try:
        with lines_in(path, Chain):
            pass
    except StoreError as error:
        refusal = str(error)
    if refusal:
        assert "broker store restore" in refusal
        assert [each.read_bytes() for each in files] == before
    else:
        found = SqliteUpkeep(path).check()
        assert found.problems == []
        assert samples(path) == history.truth[: found.samples]
