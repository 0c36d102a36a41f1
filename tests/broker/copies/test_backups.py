"""Backups of a store, and what is restored from them."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.chain import Chain
from support.damage import damage, noisy_page
from support.store import lines_in, samples, select, send

from broker.ledger import Ledger
from broker.model import Answer
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.recorder.upkeep import Newest
from quartet.database import connect
from quartet.errors import InUseError, NewerSchemaError, StoreError

SESSION = f"{0:032x}"


def fill(path: Path, first: int, end: int, *, session: int = 0) -> list[Answer]:
    with lines_in(path, Chain, snapshot_every=20) as lines:
        answers, _ = asyncio.run(send(lines, range(first, end), session))
    return answers


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
