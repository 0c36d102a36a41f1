"""Events and standings in older and damaged stores."""

from contextlib import closing
from pathlib import Path

import pytest
from support.events import Threshold, events, rows, state
from support.store import (
    change,
    header,
    lines_in,
    sample,
    select,
    send_on,
)

from broker.model import Alarm, Answer, Learning, Standing
from broker.recorder.opening import open_reader
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.records import Batch, Event, EventKind, Opened
from broker.status import read
from quartet.database import connect


async def test_a_store_of_schema_4_has_no_events_and_goes_on(path: Path) -> None:
    with closing(connect(path, MIGRATIONS[:4], "normal")) as connection:
        connection.executescript("""
            INSERT INTO lines VALUES (1, 'a', '1.2.3.4:5', NULL);
            INSERT INTO sessions
                VALUES (1, 1, hex(zeroblob(16)), 0, 0, 1, 1, 0, 0, 0, 'd', 0, NULL);
            INSERT INTO samples VALUES (1, 1, 1, 0, zeroblob(16), 0, 0, 1, NULL)
        """)
    with lines_in(path, Threshold, digest="d") as lines:
        found = await state(path)
        assert (found.standing, found.stream, found.begun) == (Standing(), None, None)
        with await lines.open(header(1, at_ns=10, period_ns=1)) as stream:
            await send_on(stream, rows(1, 9.0))
        assert (await state(path)).standing.alarm == Alarm(10, "sensor1 at 9")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("certificate_until_ns", "'soon'"),
        ("learned", "'few'"),
        ("to_learn", "1.5"),
        ("alarm_since_ns", "x'ff'"),
        ("alarm_reason", "x'ff'"),
        ("shift", "x'ff'"),
    ],
)
async def test_a_standing_that_is_damaged_is_left_out_found_and_mended(
    path: Path, column: str, value: str
) -> None:
    with SqliteRecorder(path, "d", Keeping()) as recorder:
        claim = await recorder.claim(header(), "")
        batch = Batch(claim, [sample(0)], [Answer(0, False)])
        batch.opened, batch.standing = Opened(7), Standing(Learning(1, 2), Alarm(3, "hot"), "far")
        await recorder.record(batch)
    change(path, f"UPDATE standings SET {column} = {value}")  # noqa: S608
    assert (await read(open_reader(path))).to_text()
    (problem,) = SqliteUpkeep(path).check().problems
    assert problem.what == "how line 1 stands cannot be read"
    SqliteUpkeep(path).repair()
    assert SqliteUpkeep(path).check().problems == []
    assert (await read(open_reader(path))).to_text()


async def test_a_repair_keeps_events_and_standings_and_a_check_finds_nothing(path: Path) -> None:
    standing = Standing(Learning(1, 2), Alarm(3, "sensor2"), "8 spreads off")
    with SqliteRecorder(path, "d", Keeping()) as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            batch = Batch(claim, [sample(0)], [Answer(0, True)])
            batch.opened, batch.standing = Opened(7), standing
            await recorder.record(batch)
            recorder.release(claim, Event(EventKind.ENDED, "1"))
    assert SqliteUpkeep(path).check().problems == []
    change(path, "UPDATE events SET kind = 'noise' WHERE line = 2 AND text = '1'")
    change(path, "INSERT INTO events VALUES (NULL, 99, 0, 'opened', 'of a line that is lost')")
    change(path, "INSERT INTO standings (line) VALUES (99)")
    (problem,) = SqliteUpkeep(path).check().problems
    assert problem.what == "1 event cannot be read"
    SqliteUpkeep(path).repair()
    assert SqliteUpkeep(path).check().problems == []
    assert await events(path) == [("opened", "from "), ("ended", "1")]
    assert await events(path, "b") == [("opened", "from ")]
    for table in ("events", "standings"):
        assert select(path, f"SELECT DISTINCT line FROM {table} ORDER BY 1") == [(1,), (2,)]  # noqa: S608
    for agent in "ab":
        found = await state(path, agent)
        assert (found.standing, found.certificate_until_ns) == (standing, 7)
