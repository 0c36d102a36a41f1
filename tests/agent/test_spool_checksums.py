"""Rows that name sessions, their accounts and settled samples, and are not what was written."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.damages import SAMPLES, SESSIONS, Rescue, Which, original
from support.spools import Blocked, Device, empty, name

from agent.model import Sample, Session
from agent.spool.account import EARLIER, Fate
from agent.spool.checksums import (
    key_checksum,
    key_verifies,
    move_checksum,
    move_verifies,
    session_checksum,
    session_verifies,
)
from agent.spool.directories import FILE
from agent.spool.schema import MIGRATIONS
from quartet.database import connect

many = settings(derandomize=True, deadline=None, max_examples=200)
integers = st.integers(-(2**63), 2**63 - 1)
sessions = st.builds(Session, integers, st.text("0123456789abcdef", max_size=4), integers, integers)

WRONG_ID = "UPDATE sessions SET id = substr(id, 1, 31) || 'E' WHERE sequence = {}"
WRONG_ACCOUNT = (
    "UPDATE sessions SET account = CAST(replace(account, '\"sampled\":4', '\"sampled\":5') AS BLOB)"
    " WHERE sequence = {}"
)


def change(directory: Path, query: str) -> None:
    """Change one row of a file that nobody has open."""
    with closing(sqlite3.connect(directory / FILE)) as file, file:
        assert file.execute(query).rowcount == 1


def names(samples: list[Sample]) -> list[tuple[str, int]]:
    return [name(sample) for sample in samples]


def without_checksums(directory: Path) -> None:
    """Make a file one of the first schema, as the version before has left it."""
    with closing(sqlite3.connect(directory / FILE)) as file, file:
        for table in ("sessions", "settled", "moves"):
            file.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        file.execute("ALTER TABLE sessions DROP COLUMN sensors")
        file.execute("PRAGMA user_version = 1")


# Checksums


@many
@given(sessions, st.binary(max_size=9), sessions, st.binary(max_size=9))
def test_a_session_verifies_as_what_it_was_alone(
    session: Session, account: bytes, other: Session, of_other: bytes
) -> None:
    checksum = session_checksum(session, account)
    assert session_verifies(session, account, checksum)
    assert session_verifies(session, account, None)
    is_same = (session, account) == (other, of_other)
    assert session_verifies(other, of_other, checksum) == is_same


@many
@given(integers, integers, integers, integers)
def test_a_key_and_a_move_verify_as_what_they_were_alone(a: int, b: int, c: int, d: int) -> None:
    assert key_verifies(a, b, key_checksum(a, b))
    assert key_verifies(c, d, key_checksum(a, b)) == ((a, b) == (c, d))
    assert move_verifies(a, move_checksum(a))
    assert move_verifies(b, move_checksum(a)) == (a == b)


@pytest.mark.parametrize("wrong", [None, "1", 1.5, b"1"])
def test_what_is_no_number_never_verifies(wrong: int) -> None:
    assert not session_verifies(Session(wrong, "a", 0, 0), b"", 7)
    assert not key_verifies(1, wrong, None)
    assert not move_verifies(wrong, None)


# In a tier


@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_a_session_that_never_was_is_not_shown_and_its_samples_are_booked(
    which: Which, device: Device, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    device = original(which).put_into(device.home / "other", clock)
    directory = {"cold": device.directories.cold, "hot": device.directories.hot}[which]
    for each in (device.directories.cold, device.directories.hot):
        (each / "spool.ids").unlink(missing_ok=True)
    change(directory, WRONG_ID.format(2))
    damaged = device.ledger()
    assert not damaged.balanced
    assert damaged.damaged == [
        f"{directory / FILE}: is damaged (the row of session number 2: its checksum)"
    ]
    rescue = Rescue()
    await rescue.run(device, clock)
    rescue.assert_consistent_with(original(which).samples)
    ids = {entry.session_id for entry in rescue.ledger.sessions}
    assert ids == {EARLIER, *(f"{number:032x}" for number in (1, 3, 4))}
    (sum_,) = [entry for entry in rescue.ledger.sessions if entry.session_id == EARLIER]
    assert sum_.fates[Fate.DAMAGED].count == sum_.sampled == SAMPLES
    assert len(rescue.given) == (SESSIONS - 1) * SAMPLES
    assert "no sample tells the session's name: it is left out" in caplog.text
    assert f"{SAMPLES} samples are without a session, as its name is damaged" in caplog.text


@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_a_session_whose_account_is_damaged_keeps_its_samples(
    which: Which, device: Device, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    device = original(which).put_into(device.home / "other", clock)
    directory = {"cold": device.directories.cold, "hot": device.directories.hot}[which]
    change(directory, WRONG_ACCOUNT.format(2))
    rescue = Rescue()
    await rescue.run(device, clock)
    rescue.assert_consistent_with(original(which).samples)
    assert len(rescue.given) == SESSIONS * SAMPLES
    assert not any(entry.fates for entry in rescue.ledger.sessions)
    assert f"the account of session {2:032x} is damaged" in caplog.text


async def test_the_register_names_a_session_in_ram_that_the_disk_never_met(
    device: Device, clock: ManualClock
) -> None:
    device = original("hot").put_into(device.home / "other", clock)
    change(device.directories.hot, WRONG_ID.format(2))
    rescue = Rescue()
    await rescue.run(device, clock)
    rescue.assert_consistent_with(original("hot").samples)
    assert len(rescue.given) == SESSIONS * SAMPLES
    assert [entry.session_id for entry in rescue.ledger.sessions] == [
        f"{number:032x}" for number in (1, 2, 3, 4)
    ]


async def test_samples_of_a_session_without_name_never_become_those_of_the_next(
    device: Device, clock: ManualClock
) -> None:
    """The newest session is the damaged one, so that its place among the others looks free."""
    device = original("cold").put_into(device.home / "other", clock)
    empty(device.directories.hot)
    change(device.directories.cold, WRONG_ID.format(SESSIONS))
    rescue = Rescue()
    await rescue.run(device, clock)
    rescue.assert_consistent_with(original("cold").samples)
    assert len(rescue.given) == (SESSIONS - 1) * SAMPLES
    *_, newest = rescue.ledger.sessions
    assert (newest.sampled, newest.answered) == (5, 5)


async def test_of_a_damaged_account_what_is_not_there_is_unknown(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    device.keep(9)
    for sample in await device.take(4):
        device.queue.settle(sample, answered=True)
    device.step()
    device.close()
    empty(device.directories.hot)
    change(
        device.directories.cold,
        "UPDATE sessions SET account = CAST(replace(account, '4', '2') AS BLOB)",
    )
    device.start()
    assert [id_ for _, id_ in names(await device.drain())] == [4, 5, 6, 7, 8]
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.difference) == (9, 5, 0)
    assert entry.fates[Fate.DAMAGED].runs == [(0, 3)]
    assert "up to 8" in caplog.text


@pytest.mark.parametrize("is_moved", [False, True])
@pytest.mark.parametrize("damage", [WRONG_ID, "UPDATE sessions SET started_at_ns = 1"])
async def test_what_another_file_tells_of_a_session_in_ram_saves_its_samples(
    damage: str, is_moved: bool, device: Device
) -> None:
    """The register of ids, or the disk's account: after a kill."""
    device.start()
    samples = device.keep(3)
    if is_moved:
        device.tiers.flush()
        device.step()
    samples += device.keep(4)
    device.kill()
    change(device.directories.hot, damage.format(1))
    device.start()
    assert names(await device.drain()) == names(samples)
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.session_id, entry.sampled, entry.answered) == (f"{1:032x}", 7, 7)
    assert not entry.fates


async def test_a_damaged_key_of_a_settled_sample_takes_no_other_sample_along(
    device: Device,
) -> None:
    device.start()
    samples = device.keep(9)
    device.close()
    device.start()
    for sample in (await taken(device))[:3]:
        device.queue.settle(sample, answered=True)
    device.step()
    device.kill()
    change(device.directories.hot, "UPDATE settled SET id = 6 WHERE id = 2")
    device.start()
    assert names(await device.drain()) == names(samples[3:])
    device.close()
    ledger = device.ledger()
    assert ledger.balanced
    assert ledger.sessions[0].answered == len(samples)


async def taken(device: Device) -> list[Sample]:
    device.step()
    return await device.take(9)


async def test_a_damaged_number_of_moves_is_damage_and_loses_nothing(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    samples = device.keep(3)
    device.tiers.flush()
    samples += device.keep(3)
    device.kill()
    for directory in (device.directories.hot, device.directories.cold):
        change(directory, "UPDATE moves SET number = number + 64")
    device.start()
    assert names(await device.drain()) == names(samples)
    device.close()
    assert device.ledger().balanced
    assert caplog.text.count("is damaged (the number of its moves: its checksum)") == 2


async def test_an_account_that_changes_has_a_checksum_again(device: Device) -> None:
    device.start()
    device.keep(3)
    device.step()
    device.kill()
    with closing(sqlite3.connect(device.directories.hot / FILE)) as file:
        assert file.execute("SELECT count(*) FROM sessions WHERE checksum IS NULL").fetchone() == (
            0,
        )
    device.start()
    await device.drain()
    device.close()
    assert device.ledger().balanced


# Files of the schema before there were checksums


async def test_a_spool_of_the_version_before_is_read_and_gets_its_checksums(
    device: Device,
) -> None:
    device.start()
    samples = device.keep(4)
    with closing(Blocked(device.directories.cold)):
        samples += device.keep(3)
    device.kill()
    for directory in (device.directories.hot, device.directories.cold):
        without_checksums(directory)
    assert device.ledger().balanced  # before the first start of this version
    device.start()
    assert names(await device.drain()) == names(samples)
    device.close()
    assert device.ledger().balanced
    with closing(sqlite3.connect(device.directories.cold / FILE)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert file.execute("SELECT * FROM sessions WHERE checksum IS NULL").fetchall() == []


@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_what_a_damaged_spool_of_the_version_before_holds_is_saved(
    which: Which, device: Device, clock: ManualClock
) -> None:
    device = original(which).put_into(device.home / "other", clock)
    directory = {"cold": device.directories.cold, "hot": device.directories.hot}[which]
    with closing(sqlite3.connect(directory / FILE)) as file, file:
        file.execute("UPDATE sessions SET account = x'00' WHERE sequence = 2")
    without_checksums(directory)
    rescue = Rescue()
    await rescue.run(device, clock)
    rescue.assert_consistent_with(original(which).samples)
    assert len(rescue.given) == SESSIONS * SAMPLES


async def test_a_hot_tier_that_was_left_behind_is_known_by_an_older_cold_one(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    samples = device.keep(4)
    left = {path: path.read_bytes() for path in device.directories.hot.iterdir()}
    for _ in range(3):
        device.tiers.flush()
    device.close()
    for path, data in left.items():
        path.write_bytes(data)
    (device.directories.hot / "spool.ids").unlink()
    for directory in (device.directories.hot, device.directories.cold):
        without_checksums(directory)
    device.start()
    assert "is older than the spool on the disk" in caplog.text
    assert names(await device.drain()) == names(samples)
    device.close()
    assert device.ledger().balanced


def test_the_migration_reads_and_writes_no_row(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with closing(connect(path, MIGRATIONS[:-1], "off")) as file:
        file.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
            " INSERT INTO samples SELECT 1, i, zeroblob(28) FROM n"
        )
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1

    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.set_progress_handler(count, 1000)
        file.executescript(f"BEGIN; {MIGRATIONS[-1]}; COMMIT")
    assert rounds < 20
