"""What sensors are called is kept with their session; where it is damaged, it alone is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.damages import Which
from support.spools import Blocked, Device, empty, name

from agent.config import SpoolSettings
from agent.model import Reading, Sample, Session
from agent.spool.checksums import sealed, unsealed
from agent.spool.directories import FILE, open_directories
from agent.spool.schema import MIGRATIONS
from agent.spool.spool import Spool
from wire.sensors import Label, encode

many = settings(derandomize=True, deadline=None, max_examples=200)

OIL = encode((Label("oil temperature", "°C"), None, Label("vibration", "g"), Label("sensor4")))
WATER = encode((Label("water", "bar"), Label("b"), Label("c"), Label("d")))


def told(samples: list[Sample]) -> list[bytes]:
    """What is sent of the labels, in the order of the sessions."""
    return [*dict.fromkeys(sample.session.sensors for sample in samples)]


def directory_of(device: Device, which: Which) -> Path:
    return {"cold": device.directories.cold, "hot": device.directories.hot}[which]


def change(directory: Path, query: str, *parameters: object) -> None:
    """Change rows of a file that nobody has open."""
    with closing(sqlite3.connect(directory / FILE)) as file, file:
        assert file.execute(query, parameters).rowcount >= 1


def left(device: Device, which: Which, *labels: bytes) -> list[Sample]:
    """A session for each of the labels, whose samples wait in one tier; the agent is killed."""
    device.start()
    samples: list[Sample] = []
    block = None
    for sensors in labels:
        device.begin_session(sensors)
        samples += device.keep(1)
        if which == "hot" and not block:
            block = Blocked(device.directories.cold)
        samples += device.keep(3)
    if block:
        block.close()
    else:
        device.tiers.flush()
    device.kill()
    return samples


# The seal


@many
@given(st.binary(max_size=40), st.integers(0, 400), st.text("0123456789abcdef", max_size=32))
def test_labels_with_a_flipped_bit_or_of_another_session_are_none(
    sensors: bytes, bit: int, id_: str
) -> None:
    labels = sealed(Session(1, id_, 0, 0, sensors))
    assert unsealed(id_, labels) == sensors
    if labels is None:
        assert not sensors
        return
    flipped = bytearray(labels)
    flipped[bit // 8 % len(labels)] ^= 1 << bit % 8
    assert unsealed(id_, bytes(flipped)) == b""
    assert unsealed(f"{id_}0", labels) == b""
    assert all(unsealed(id_, labels[:size]) == b"" for size in range(len(labels)))


# In the tiers


@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_a_backlog_is_sent_with_the_labels_it_was_recorded_with(
    which: Which, device: Device
) -> None:
    samples = left(device, which, OIL, b"", WATER)
    device.start()
    new = device.begin_session(OIL)
    device.keep(2)
    drained = await device.drain()
    assert [name(each) for each in drained[:-2]] == [name(each) for each in samples]
    assert told(drained[:-2]) == [OIL, b"", WATER]
    assert {each.session for each in drained[-2:]} == {new}
    assert drained[-1].session.sensors == OIL
    device.close()
    assert device.ledger().balanced


async def test_they_move_to_the_disk_and_outlive_the_power(device: Device) -> None:
    left(device, "cold", OIL, WATER)
    empty(device.directories.hot)
    device.start()
    assert told(await device.drain()) == [OIL, WATER]


async def test_they_come_back_with_a_file_of_a_newer_version_that_was_set_aside(
    device: Device,
) -> None:
    newer = (*MIGRATIONS, "CREATE TABLE of_the_next_version (x)")
    device.files.migrations = newer
    samples = left(device, "cold", OIL)
    device.files.migrations = MIGRATIONS
    samples += left(device, "cold", WATER)
    device.files.migrations = newer
    device.start()
    drained = await device.drain()
    assert [name(each) for each in drained] == [name(each) for each in samples]
    assert told(drained) == [OIL, WATER]


async def test_a_file_that_is_replaced_while_it_is_open_is_written_again_with_them(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.begin_session(OIL)
    samples = device.keep(3)
    device.tiers.flush()
    (device.directories.cold / FILE).unlink()
    clock.advance(6)
    device.step()
    clock.advance(6)
    samples += device.keep(1)
    device.tiers.flush()
    device.cut_power()
    device.start()
    drained = await device.drain()
    assert [name(each) for each in drained] == [name(each) for each in samples]
    assert told(drained) == [OIL]


# Damage


DAMAGES: dict[str, str] = {
    "flipped": "CAST(replace(sensors, 'oil', 'pil') AS BLOB)",
    "text": "CAST(x'ff' || sensors AS TEXT)",
    "number": "7",
    "empty": "x''",
    "short": "x'00'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_damaged_labels_are_lost_alone(which: Which, damage: str, device: Device) -> None:
    samples = left(device, which, OIL, WATER)
    only_here = "cold" if which == "hot" else "hot"
    query = f"UPDATE sessions SET sensors = {damage} WHERE sequence = 1"  # noqa: S608
    change(directory_of(device, which), query)
    with closing(sqlite3.connect(directory_of(device, only_here) / FILE)) as file, file:
        file.execute("UPDATE sessions SET sensors = NULL")
    device.start()
    drained = await device.drain()
    assert [name(each) for each in drained] == [name(each) for each in samples]
    assert told(drained) == [b"", WATER]
    device.close()
    ledger = device.ledger()
    assert ledger.balanced
    assert not any(entry.fates for entry in ledger.sessions)
    assert [*device.directories.cold.glob("*damaged*")] == []


async def test_labels_that_are_damaged_in_ram_come_from_the_disk(device: Device) -> None:
    left(device, "hot", OIL)
    change(device.directories.hot, "UPDATE sessions SET sensors = x'00'")
    device.start()
    assert told(await device.drain()) == [OIL]


@pytest.mark.parametrize("damage", ["sensors", *DAMAGES.values()], ids=["none", *DAMAGES])
@pytest.mark.parametrize("which", ["cold", "hot"])
async def test_a_file_that_is_saved_keeps_the_labels_that_are_whole(
    which: Which, damage: str, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    samples = left(device, which, OIL, WATER)
    account = "CAST(replace(account, '\"sampled\"', '\"sampled \"') AS BLOB)"
    query = f"UPDATE sessions SET account = {account}, sensors = {damage} WHERE sequence = 1"  # noqa: S608
    change(directory_of(device, which), query)
    device.start()
    drained = await device.drain()
    assert "is damaged" in caplog.text
    assert [name(each) for each in drained] == [name(each) for each in samples]
    is_known = damage == "sensors" or which == "hot"  # of that, the disk knows the session
    assert told(drained) == [OIL if is_known else b"", WATER]


# Files of older versions


async def test_a_spool_of_the_version_before_has_no_labels_and_gets_them(device: Device) -> None:
    samples = left(device, "hot", OIL)
    for directory in (device.directories.hot, device.directories.cold):
        with closing(sqlite3.connect(directory / FILE)) as file, file:
            file.execute("ALTER TABLE sessions DROP COLUMN sensors")
            file.execute("PRAGMA user_version = 2")
    assert device.ledger().balanced  # before the first start of this version
    device.start()
    device.begin_session(WATER)
    samples += device.keep(2)
    device.kill()
    device.start()
    drained = await device.drain()
    assert [name(each) for each in drained] == [name(each) for each in samples]
    assert told(drained) == [b"", WATER]


# The spool as a whole


async def test_a_session_has_the_labels_that_the_source_told_before_it(tmp_path: Path) -> None:
    reading = Reading((1.0, 2.0, 3.0, 4.0), 1)
    settings = SpoolSettings(directory=str(tmp_path / "cold"), hot_directory=str(tmp_path / "hot"))
    for directory in ("cold", "hot"):
        (tmp_path / directory).mkdir()
    with open_directories(settings, simulated=False) as directories:
        spool = Spool(directories, settings, 1, max_id=1)
        spool.describe(OIL)
        for _ in range(3):
            spool.append(reading)
        spool.finish()
        samples = [*await spool.read(2)]
        samples += await spool.read(2) if len(samples) < 3 else []
        spool.close()
    assert len({each.session.id for each in samples}) == 2
    assert told(samples) == [OIL]
