"""What sensors are called: on record with their session, and never in the way of a sample."""

import contextlib
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.chain import Chain
from support.read import Place
from support.store import change, header, lines_in, sample, select, send_on

from broker.labels import LabelCheck
from broker.ledger import Ledger
from broker.model import Answer
from broker.recorder.opening import open_reader
from broker.recorder.reader import LineState, Reader, SessionAccount
from broker.recorder.sqlite.checksums import labels_checksum
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.records import Batch, Opened
from broker.status import read
from quartet.database import connect
from quartet.foreign import in_json
from wire.metadata import StreamHeader
from wire.sensors import Label, Sensors, encode

OIL: Sensors = (Label("oil temperature", "°C"), None, Label("vibration", "g"), Label("sensor4"))
WATER: Sensors = (Label("water", "bar"), Label("b"), Label("c"), Label("d"))
EVIL: Sensors = (Label("\x1b[2J\n<0>", "\x9b"), None, None, None)


def labelled(
    sensors: Sensors | None, session: int = 0, agent: str = "a", first_id: int = 0
) -> StreamHeader:
    encoded = encode(sensors) if sensors else b""
    return replace(header(first_id, session, agent), sensors=encoded)


async def stream(
    where: Path | Place, *headers: StreamHeader, keeping: Keeping | None = None
) -> None:
    """A sample of each of these streams, one after the other, on record."""
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(where, Path):
            lines = stack.enter_context(lines_in(where, Chain, keeping=keeping))
        else:
            lines = await stack.enter_async_context(where.lines(Chain))  # noqa: ASYNC240 - no path
        for each in headers:
            with await lines.open(each) as opened:
                await send_on(opened, [sample(each.first_id)])


def reader_of(where: Path | Place) -> Reader:
    return open_reader(where) if isinstance(where, Path) else where.reader


async def line(where: Path | Place, agent: str = "a") -> LineState:
    found = await reader_of(where).line(agent)
    assert found
    return found


async def sessions(where: Path | Place) -> list[SessionAccount]:
    return [*(await reader_of(where).accounts()).sessions]


# On record


async def test_they_are_read_with_the_line_and_with_each_session(place: Place) -> None:
    await stream(place, labelled(OIL), labelled(None, 1), labelled(WATER, 2, "b"))
    assert [each.sensors for each in await sessions(place)] == [OIL, None, WATER]
    newest = (await place.reader.sessions("a", 9)).newest
    assert newest == [each for each in await sessions(place) if each.agent_id == "a"][::-1]
    assert OIL in [each.sensors for each in newest]
    assert {each.agent_id: each.sensors for each in await place.reader.lines()} == {
        "a": OIL,
        "b": WATER,
    }
    assert (await line(place)).sensors == OIL  # of the newest session that told some


async def test_a_line_that_nobody_told_of_has_none(place: Place) -> None:
    await stream(place, labelled(None), labelled(None, 1))
    assert (await line(place)).sensors is None
    assert [each.sensors for each in await sessions(place)] == [None, None]


async def test_the_newest_session_decides_also_when_an_older_one_streams_again(
    place: Place,
) -> None:
    await stream(place, labelled(OIL), labelled(WATER, 1), labelled(OIL, 0, first_id=1))
    assert (await line(place)).sensors == WATER


async def test_a_session_that_tells_at_its_next_stream_has_them_from_then_on(place: Place) -> None:
    await stream(place, labelled(None))
    await stream(place, labelled(OIL, first_id=1))
    assert (await line(place)).sensors == OIL
    await stream(place, labelled(WATER, first_id=2), labelled(None, first_id=3))
    assert (await line(place)).sensors == WATER
    assert await place.select("SELECT count(*) FROM labels") == [(1,)]


async def test_those_of_the_latest_sessions_are_kept_and_go_with_them(path: Path) -> None:
    headers = [labelled(OIL, session) for session in range(6)]
    await stream(path, *headers, keeping=Keeping(labels=4))
    assert select(path, "SELECT session FROM labels") == [(3,), (4,), (5,), (6,)]
    await stream(path, labelled(None, 9), keeping=Keeping(sessions=2))
    assert select(path, "SELECT session FROM labels") == [(6,)]


async def test_an_agent_that_is_forgotten_takes_them_along(place: Place) -> None:
    await stream(place, labelled(OIL), labelled(WATER, 1, "b"))
    await place.reader.command_forget("a")
    assert await place.reader.line("a") is None
    assert await place.select("SELECT line FROM labels") == [(2,)]


async def test_programs_get_them_and_no_terminal_obeys_them(
    path: Path,
) -> None:
    await stream(path, labelled(EVIL), labelled(OIL, 1, "b"), labelled(None, 2, "c"))
    status = await read(open_reader(path))
    out = in_json(status.to_json())
    assert out.isprintable()
    found = {each["agent_id"]: each["sensors"] for each in json.loads(out)["agents"]}
    empty = [None, None, None]
    assert found["a"] == [{"name": "\x1b[2J\n<0>", "unit": "\x9b"}, *empty]
    assert found["b"][:2] == [{"name": "oil temperature", "unit": "°C"}, None]
    assert found["c"] is None
    assert "oil" not in status.to_text()
    ledger = json.loads(Ledger(await open_reader(path).accounts()).to_json())
    assert ledger["sessions"][1]["sensors"] == found["b"]


# Damage


DAMAGES = {
    "flipped": "sensors = CAST(replace(sensors, 'water', 'wafer') AS BLOB)",
    "text": "sensors = CAST(x'ff' || sensors AS TEXT)",
    "number": "sensors = 7",
    "elsewhere": "line = line + 1",
    "checksum": "checksum = 'x'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_damaged_ones_are_left_out_found_and_mended(path: Path, damage: str) -> None:
    await stream(path, labelled(OIL), labelled(WATER, 1))
    assert SqliteUpkeep(path).check().problems == []
    change(path, f"UPDATE labels SET {damage} WHERE session = 2")  # noqa: S608
    assert (await line(path)).sensors == OIL
    assert [each.sensors for each in await sessions(path)] == [OIL, None]
    (problem,) = SqliteUpkeep(path).check().problems
    assert problem.what == (
        "the names of the sensors of session 2 are not what was recorded (checksum)"
    )
    await stream(path, labelled(None, 1, first_id=1))  # a broker goes on with it
    repaired = SqliteUpkeep(path).repair()
    assert repaired.losses == []
    assert SqliteUpkeep(path).check().problems == []
    assert select(path, "SELECT session FROM labels") == [(1,)]
    assert [each.answered for each in await sessions(path)] == [1, 2]


async def test_what_is_whole_by_its_checksum_and_no_labels_is_none(path: Path) -> None:
    with SqliteRecorder(path, "d", Keeping()) as recorder:
        claim = await recorder.claim(replace(header(), sensors=b"{"), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, True)], opened=Opened()))
    assert (await line(path)).sensors is None
    assert [each.sensors for each in await sessions(path)] == [None]


async def test_a_repair_and_a_backup_keep_them(path: Path, tmp_path: Path) -> None:
    await stream(path, labelled(OIL), labelled(WATER, 1, "b"))
    stray = (99, 99, b"{}")  # of a session that is not there
    change(path, "INSERT INTO labels VALUES (?, ?, ?, ?)", *stray, labels_checksum(*stray))
    change(path, "INSERT INTO labels VALUES (98, 98, x'00', 0)")
    SqliteUpkeep(path).repair()
    assert [each.sensors for each in await sessions(path)] == [OIL, WATER]
    assert select(path, "SELECT session FROM labels") == [(1,), (2,)]
    copy = tmp_path / "backup.db"
    SqliteUpkeep(path).backup(copy)
    await stream(path, labelled(WATER, 3))
    SqliteUpkeep(path).restore(copy)
    assert [each.sensors for each in await sessions(path)] == [OIL, WATER]


async def test_a_session_whose_row_is_lost_keeps_its_labels(path: Path) -> None:
    await stream(path, labelled(OIL), labelled(WATER, 1))
    change(path, "UPDATE sessions SET opened_at_ns = 1 WHERE session = 2")
    SqliteUpkeep(path).repair()
    assert [each.sensors for each in await sessions(path)] == [OIL, WATER]


# Older stores


async def test_a_store_of_schema_5_goes_on_without_and_gets_them(path: Path) -> None:
    with closing(connect(path, MIGRATIONS[:5], "normal")) as connection:
        connection.executescript("""
            INSERT INTO lines VALUES (1, 'a', '1.2.3.4:5', NULL);
            INSERT INTO sessions
                VALUES (1, 1, hex(zeroblob(16)), 0, 0, 1, 1, 0, 0, 0, 'd', 0, NULL);
            INSERT INTO samples VALUES (1, 1, 1, 0, zeroblob(16), 0, 0, 1, NULL)
        """)
    assert SqliteUpkeep(path).check().problems == []  # before this version has opened it
    await stream(path)
    assert (await line(path)).sensors is None
    await stream(path, labelled(OIL, first_id=1))
    assert (await line(path)).sensors == OIL
    assert [(each.answered, each.sensors) for each in await sessions(path)] == [(2, OIL)]


# Hostile metadata


def test_each_agent_is_warned_about_and_only_so_many_are_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check = LabelCheck(most_agents=2)
    for agent in ("a", "b", "a", "b", "c", "b", "a"):
        bad = replace(header(agent=agent), sensors=b"{")
        assert check.checked(bad) == replace(bad, sensors=b"")
        good = labelled(OIL, agent=agent)
        assert check.checked(good) == good
    assert [each[0] for each in caplog.messages] == ["a", "b", "c", "a"]
