"""Check and repair, of stores that are damaged in every way."""

import asyncio
import shutil
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest
from support.chain import Chain
from support.damage import KINDS, Damage, damage, noisy_page, torn_header, truncated
from support.store import killed_copy, lines_in, sample, select, send

from broker.ledger import Ledger
from broker.model import Answer, Code
from broker.recorder.reader import Accounts
from broker.recorder.sqlite.place import draft
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from quartet.errors import InUseError, NewerSchemaError, StoreError

Ids = dict[tuple[str, str], set[int]]

AGENTS = {"press-1": 0, "press-2": 0, "press-3": 5}
"""With their first id."""
SESSIONS, END = 3, 300


class Talkative(Chain):
    """Explains some of its answers."""

    def explain(self) -> str | None:
        return f"because of {self.state.hex()}" if self.state[0] % 5 == 0 else None


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `stopped.db`, and the same as kill -9 left it: `killed.db` with its log."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module", autouse=True)
async def _make(stores: Path) -> None:
    path = stores / "stopped.db"
    with lines_in(path, Talkative, snapshot_every=100) as lines:
        for session in range(SESSIONS):
            for agent, first in AGENTS.items():
                ids = [id_ for id_ in range(first, END) if session != 1 or id_ % 50 != 49]
                for begin in range(0, len(ids), 60):
                    await send(lines, ids[max(0, begin - 3) : begin + 60], session, agent)
        with await lines.open(None) as stream:
            await stream.answer([sample(0)] * 5)
        await SqliteReader(path).command_rebase("press-2")
        killed_copy(path, stores / "killed.db")


def take(stores: Path, which: str, path: Path) -> Path:
    for companion in ("", "-wal"):
        if (source := stores / f"{which}.db{companion}").exists():
            shutil.copy(source, f"{path}{companion}")
    return path


def rows(path: Path) -> dict[object, tuple[object, ...]]:
    return {row[0]: row for row in select(path, "SELECT * FROM samples")}


def ids(path: Path) -> Ids:
    """The ids on record, by agent and session."""
    found: Ids = defaultdict(set)
    for agent_id, session_id, id_ in select(
        path,
        "SELECT agent_id, sessions.id, samples.id FROM samples JOIN sessions USING (session)"
        " JOIN lines ON lines.line = sessions.line WHERE agent_id IS NOT NULL",
    ):
        assert isinstance(id_, int)
        found[str(agent_id), str(session_id)].add(id_)
    return found


def lost(accounts: Accounts) -> Ids:
    """The ids that are named as lost, by agent and session."""
    found: Ids = defaultdict(set)
    for loss in accounts.losses:
        if loss.first is not None and loss.last is not None:
            key = loss.agent_id or "", loss.session_id or ""
            found[key] |= set(range(loss.first, loss.last + 1))
    return found


@pytest.mark.parametrize("which", ["stopped", "killed"])
def test_a_sound_store_has_no_problems_and_a_repair_leaves_it_alone(
    which: str, stores: Path, path: Path
) -> None:
    take(stores, which, path)
    before = path.read_bytes()
    found = SqliteUpkeep(path).check()
    assert (found.problems, found.losses, found.unverified) == ([], [], 0)
    assert found.samples == len(rows(stores / "stopped.db"))
    assert SqliteUpkeep(take(stores, which, path)).repair().aside is None
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("which", ["stopped", "killed"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_repaired_store_has_what_verifies_names_what_is_lost_and_goes_on(
    kind: Damage, which: str, seed: int, stores: Path, path: Path
) -> None:
    truth, whole = rows(stores / "stopped.db"), ids(stores / "stopped.db")
    damaged = damage(take(stores, which, path), kind, seed)
    upkeep = SqliteUpkeep(path)
    problems = upkeep.check().problems
    done = upkeep.repair()
    assert bool(done.aside) is bool(problems)  # what is damaged may lie in the log as well, whole
    if done.aside:
        assert await asyncio.to_thread(done.aside.read_bytes) == damaged
    assert upkeep.check().problems == []

    kept = rows(path)
    assert all(row == truth[position] for position, row in kept.items())
    accounts = await SqliteReader(path).accounts()
    assert Ledger(accounts).problems() == []
    on_record, named = ids(path), lost(accounts)
    for key, all_ids in whole.items():
        gone = all_ids - on_record[key]
        assert named[key] <= gone
        # The oldest of a line may be pruned as well, as far as anybody knows.
        assert {id_ for id_ in gone if id_ > min(on_record[key], default=END)} <= named[key]

    with lines_in(path, Talkative, snapshot_every=100) as lines:
        recorded = {row[3]: bool(row[7]) for row in kept.values() if row[2] == 7}
        for id_ in range(0, END, 7) if recorded else ():
            answers, refusal = await send(lines, [id_], SESSIONS - 1, "press-1")
            if id_ in recorded:
                assert answers == [Answer(id_, recorded[id_])]
            else:
                assert refusal is not None
                assert refusal.code is Code.OUT_OF_RANGE
        answers, _ = await send(lines, [END + 1], SESSIONS - 1, "press-1")
        assert [answer.id for answer in answers] == [END + 1]


@pytest.mark.parametrize("table", ["samples", "sessions", "lines", "snapshots", "samples_by_id"])
def test_the_root_of_a_table_is_torn_and_no_sample_is_lost(
    table: str, stores: Path, path: Path
) -> None:
    """Ranges of keys lead nowhere then: the pages below are found all the same."""
    take(stores, "stopped", path)
    ((root, sound),) = select(
        path, "SELECT rootpage, (SELECT count(*) FROM samples) FROM sqlite_schema WHERE name = ?",
        table,
    )  # fmt: skip
    assert isinstance(root, int)
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(data)
    before = asyncio.run(SqliteReader(stores / "stopped.db").accounts())
    done = SqliteUpkeep(path).repair()
    assert done.samples == sound
    assert done.losses == []
    after = asyncio.run(SqliteReader(path).accounts())
    strip = [(s.agent_id, s.session_id, s.first_id, s.last_id, s.answered) for s in after.sessions]
    assert strip == [
        (s.agent_id, s.session_id, s.first_id, s.last_id, s.answered) for s in before.sessions
    ]


@pytest.mark.parametrize("column", ["sensors", "prediction", "id", "sampled_at_ns", "line"])
def test_a_changed_sample_is_named_by_the_check_and_left_out_by_the_repair(
    column: str, stores: Path, path: Path
) -> None:
    take(stores, "stopped", path)
    ((position,),) = select(
        path,
        "SELECT position FROM samples JOIN sessions USING (session)"
        " WHERE sessions.id = ? AND samples.id = 123 LIMIT 1",
        "0" * 32,
    )
    value = "x'00'" if column == "sensors" else f"{column} + 1"
    if column == "prediction":
        value = "1 - prediction"
    select(path, f"UPDATE samples SET {column} = {value} WHERE position = ?", position)  # noqa: S608
    whose = f"press-1, session {0:032x}"
    (first, *_) = SqliteUpkeep(path).check().problems
    told = 124 if column == "id" else 123
    assert str(first) == (
        f"{whose}, samples {told}..{told}: 1 sample is not what was recorded (checksum):"
        " stop the broker, and run 'broker store repair'"
    )
    done = SqliteUpkeep(path).repair()
    assert list(map(str, done.losses)) == [f"{whose}, samples 123..123: the records were damaged"]
    assert done.notes == ["1 damaged row was left out"]
    assert select(path, "SELECT count(*) FROM samples WHERE position = ?", position) == [(0,)]


def test_rows_of_an_older_version_are_kept_and_counted_as_not_verified(
    stores: Path, path: Path
) -> None:
    take(stores, "stopped", path)
    select(path, "UPDATE samples SET checksum = NULL WHERE position <= 100")
    assert SqliteUpkeep(path).check().problems == []
    assert SqliteUpkeep(path).check().unverified == 100
    damage(path, torn_header, 0)
    done = SqliteUpkeep(path).repair()
    assert (done.samples, done.losses) == (len(rows(stores / "stopped.db")), [])
    assert SqliteUpkeep(path).check().unverified == 100


@pytest.mark.parametrize("pruned", ["WHERE position <= 900", ""])
def test_samples_that_were_pruned_do_not_come_back_and_are_not_lost(
    pruned: str, stores: Path, path: Path
) -> None:
    """Their pages are free, and still have them where all went at once."""
    take(stores, "stopped", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = off")  # as most builds have it
        for table in ("samples", "explanations"):
            connection.execute(f"DELETE FROM {table} {pruned}")  # noqa: S608
    sound = rows(path)
    assert SqliteUpkeep(path).check().problems == []
    data = bytearray(path.read_bytes())
    ((root,),) = select(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'lines'")
    assert isinstance(root, int)
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(data)
    assert SqliteUpkeep(path).repair().losses == []
    assert rows(path) == sound


def test_a_changed_snapshot_is_named_and_left_out(stores: Path, path: Path) -> None:
    take(stores, "stopped", path)
    ((line, position),) = select(path, "SELECT line, max(position) FROM snapshots WHERE line = 1")
    select(
        path,
        "UPDATE snapshots SET state = zeroblob(16) WHERE line = ? AND position = ?",
        *(line, position),
    )
    (problem,) = SqliteUpkeep(path).check().problems
    assert str(problem).startswith(f"press-1: the snapshot at position {position} is not what")
    assert SqliteUpkeep(path).repair().losses == []
    assert select(path, "SELECT * FROM snapshots WHERE position = ?", position) == []


def test_counters_that_do_not_balance_are_named_and_balance_after_a_repair(
    stores: Path, path: Path
) -> None:
    take(stores, "stopped", path)
    sound = select(path, "SELECT * FROM sessions")
    for session, change in ((1, "received = received + 7"), (2, "last_id = last_id + 1000")):
        select(path, f"UPDATE sessions SET {change} WHERE session = ?", session)  # noqa: S608
    problems = SqliteUpkeep(path).check().problems
    assert [problem.agent_id for problem in problems] == ["press-1", "press-2"]
    assert all("do not balance" in problem.what for problem in problems)
    assert SqliteUpkeep(path).repair().losses == []
    assert select(path, "SELECT * FROM sessions") == sound


async def test_what_is_lost_is_in_the_ledger_which_balances(stores: Path, path: Path) -> None:
    take(stores, "stopped", path)
    select(path, "DELETE FROM samples WHERE session = 1 AND id BETWEEN 100 AND 149")
    assert SqliteUpkeep(path).check().problems[0].ids == [(100, 149)]
    SqliteUpkeep(path).repair()
    ledger = Ledger(await SqliteReader(path).accounts())
    assert ledger.problems() == []
    told = f"press-1, session {0:032x}, samples 100..149: the records were damaged"
    assert ledger.to_text().splitlines()[-1] == f"record lost: {told}"
    assert '"first":100,"last":149' in ledger.to_json()
    found = SqliteUpkeep(path).check()
    assert found.problems == []
    assert list(map(str, found.losses)) == [told]
    damage(path, torn_header, 0)
    assert SqliteUpkeep(path).repair().losses == []  # told once
    assert list(map(str, SqliteUpkeep(path).check().losses)) == [told]


def test_where_nothing_can_be_read_nothing_is_changed(stores: Path, path: Path) -> None:
    path.write_bytes(bytes(100_000))
    with pytest.raises(StoreError, match="nothing in it can be read: restore a backup"):
        SqliteUpkeep(path).repair()
    assert path.read_bytes() == bytes(100_000)
    take(stores, "stopped", path)
    select(path, "PRAGMA user_version = 9")
    with pytest.raises(NewerSchemaError):
        SqliteUpkeep(path).repair()
    with pytest.raises(StoreError, match="there is no such file"):
        SqliteUpkeep(path.with_name("none.db")).check()


def test_a_store_in_use_is_checked_and_not_repaired(path: Path) -> None:
    with lines_in(path, Chain):
        assert SqliteUpkeep(path).check().problems == []
        with pytest.raises(InUseError, match="is in use by process"):
            SqliteUpkeep(path).repair()


def test_a_store_whose_log_is_gone_from_under_its_broker_is_left_alone(path: Path) -> None:
    with lines_in(path, Chain, tick_s=3600) as lines:
        asyncio.run(send(lines, range(3)))
        log = Path(f"{path}-wal")
        aside = log.rename(f"{log}.aside")
        for ask in (SqliteUpkeep(path).check, lambda: SqliteUpkeep(path).backup(path / "b")):
            with pytest.raises(StoreError, match="is missing, and process"):
                ask()
        assert not log.exists()
        aside.rename(log)
    assert len(rows(path)) == 3


def test_a_damaged_file_that_was_set_aside_is_never_replaced(stores: Path, path: Path) -> None:
    asides = []
    for seed in range(3):
        damage(take(stores, "stopped", path), noisy_page, seed)
        asides.append((SqliteUpkeep(path).repair().aside, path.read_bytes()))
    assert [aside and aside.name for aside, _ in asides] == [
        *("broker.damaged.db", "broker.damaged-2.db", "broker.damaged-3.db")
    ]


@pytest.mark.parametrize("state", ["repaired", "restored"])
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_an_exchange_that_was_cut_short_is_finished_by_the_next_broker(
    state: str, moved: int, stores: Path, path: Path
) -> None:
    """`moved`: how many of the former store's files had been set aside when it was killed."""
    take(stores, "killed", path)
    former = {name: path.with_name(name).read_bytes() for name in ("broker.db", "broker.db-wal")}
    new = draft(path)
    shutil.copy(stores / "stopped.db", new)
    new.rename(path.with_name(f"broker.{state}.db"))
    aside = path.with_name(f"broker.{'damaged' if state == 'repaired' else 'replaced'}.db")
    for companion in ("-wal", "")[:moved]:
        Path(f"{path}{companion}").rename(f"{aside}{companion}")
    with lines_in(path, Talkative):
        assert rows(path) == rows(stores / "stopped.db")
    assert aside.read_bytes() == former["broker.db"]
    assert Path(f"{aside}-wal").read_bytes() == former["broker.db-wal"]
    assert not path.with_name(f"broker.{state}.db").exists()


def test_what_a_killed_repair_leaves_is_in_nobodys_way(stores: Path, path: Path) -> None:
    damage(take(stores, "stopped", path), truncated, 1)
    shutil.copy(stores / "stopped.db", draft(path))
    Path(f"{draft(path)}-journal").write_bytes(b"noise")
    assert SqliteUpkeep(path).repair().aside
    assert SqliteUpkeep(path).check().problems == []


def test_a_repair_is_followed_by_an_ordinary_start(
    stores: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(take(stores, "stopped", path), noisy_page, 1)
    SqliteUpkeep(path).repair()
    with caplog.at_level("INFO"), lines_in(path, Talkative):
        pass
    assert "all of it is checked" not in caplog.text
