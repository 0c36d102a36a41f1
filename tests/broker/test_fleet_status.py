"""`broker status` of several brokers: which of them owns which line, and what the database is."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.store import OpenLines, header, sample, send_on

from broker.recorder.postgres.brokers import LIVE
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.postgres.upkeep import PostgresUpkeep
from broker.status import read
from broker.watching import show, watch
from quartet.errors import StoreError

S_NS = 10**9
NOW_NS = 1_750_000_000 * S_NS
_BROKERS = f"SELECT count(*) FROM brokers WHERE broker IN {LIVE}"  # noqa: S608


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


async def stream(recorder: PostgresRecorder, agent: str, ids: range) -> None:
    lines = OpenLines(Chain, recorder)
    with await lines.open(header(ids[0], agent=agent)) as stream:
        assert (await send_on(stream, [sample(id_) for id_ in ids]))[1] is None


async def until_brokers(database: Database, count: int) -> None:
    """Return once no more live: the server ends the session of one that left a little later."""
    async with asyncio.timeout(PATIENCE_S):
        while await database.select(_BROKERS) != [(count,)]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def test_each_line_is_of_the_broker_that_claimed_it_last(database: Database) -> None:
    reader = PostgresReader(database.url)
    one = PostgresRecorder(database.url, "d", FleetKeeping())
    async with PostgresRecorder(database.url, "d", FleetKeeping()) as two:
        async with one:
            await stream(one, "a", range(3))
            await stream(one, "b", range(3))
            await stream(two, "b", range(3, 6))
            status = await read(reader)
            first, second = status.fleet.brokers
            assert first.since_ns > second.since_ns or first.name == second.name
            owners = {each.agent_id: each for each in status.fleet.owners}
            assert all(each.is_running for each in owners.values())
            assert owners["b"].since_ns > owners["a"].since_ns
            assert owners["b"].committed_at_ns >= owners["b"].since_ns
            assert "2 brokers have run for up to " in status.to_text()
        await until_brokers(database, 1)
        gone = await read(reader)
        assert [(each.agent_id, each.is_running) for each in gone.fleet.owners] == [
            ("a", False),
            ("b", True),
        ]
        assert " (gone)" in gone.to_text()
        out = io.StringIO()
        await show(reader, as_json=True, out=out)
        told = json.loads(out.getvalue())["fleet"]
        assert told["server"]["is_standby"] is False
        assert f"database: 127.0.0.1:{database.server.port}, the primary" in gone.to_text()
        assert told["owners"][1]["agent_id"] == "b"
    reader.close()


async def test_a_broker_that_has_left_is_live_no_more(database: Database) -> None:
    await database.prepare()
    asking = await asyncpg.connect(database.url)
    asked = await asking.prepare(_BROKERS)
    for _ in range(10):
        async with PostgresRecorder(database.url, "d", FleetKeeping(), tick_s=0.01):
            assert await asked.fetchval() == 1
        assert await asked.fetchval() == 0
    await asking.close()


async def test_who_watches_sees_a_broker_go(database: Database) -> None:
    reader, out = PostgresReader(database.url), io.StringIO()
    looks = 0
    async with AsyncExitStack() as broker:
        recorder = PostgresRecorder(database.url, "d", FleetKeeping())
        await stream(await broker.enter_async_context(recorder), "a", range(3))

        async def pause(_: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 2:
                raise asyncio.CancelledError
            await broker.aclose()
            await until_brokers(database, 0)

        with suppress(asyncio.CancelledError):
            await watch(reader, as_json=False, out=out, pause=pause)
    first, second, _ = out.getvalue().split("\n\n")
    assert "the broker has run for " in first
    assert first.count("\nbroker ") == 1
    assert "no broker runs" in second
    assert " (gone)" in second
    assert "\nbroker " not in second
    reader.close()


async def test_whether_a_standby_confirms_is_told_by_each_server() -> None:
    with running() as primary, running(primary) as standby:
        database = await primary.create()
        await database.do("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (walreceiver)'")
        # What is committed is there when the standby is asked.
        await database.do("ALTER SYSTEM SET synchronous_commit = remote_apply")
        await database.do("SELECT pg_reload_conf()")
        reader, beside = PostgresReader(database.url), PostgresReader(standby.url(database.name))
        async with PostgresRecorder(database.url, "d", FleetKeeping()) as recorder:
            await stream(recorder, "a", range(3))
            fleet = (await read(reader)).fleet
            assert [(each.name, each.confirms) for each in fleet.server.standbys] == [
                ("walreceiver", True)
            ]
            assert not fleet.server.waits
            assert "the primary; commits wait for ANY 1 (walreceiver); walreceiver confirms" in str(
                fleet.server
            )
            there = await read(beside)
            assert there.served_since_ns is not None
            assert there.fleet.server.is_standby
            assert [(each.agent_id, each.is_running) for each in there.fleet.owners] == [
                ("a", True)
            ]
            await database.do(
                "CREATE ROLE looker LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker"
            )
            hidden = (await read(PostgresReader(primary.url(database.name, "looker")))).fleet
            assert hidden.server.standbys is None
            assert "cannot see the standbys: as administrator" in str(hidden.server)
        standby.stop()
        alone = await read(reader)
        assert alone.fleet.server.waits
        assert alone.needs_person
        headline, *_, last = alone.to_text().splitlines()
        assert "; no commit is confirmed; " in headline
        assert "COMMITS WAIT for ANY 1 (walreceiver)" in last
        reader.close()
        beside.close()


# broker store check


async def test_a_check_finds_what_is_missing_and_what_does_not_balance(database: Database) -> None:
    async with PostgresRecorder(database.url, "d", FleetKeeping()) as recorder:
        await stream(recorder, "a", range(10))
        await stream(recorder, "b", range(10))
    upkeep = PostgresUpkeep(database.url)
    whole = await asyncio.to_thread(upkeep.check)
    assert (whole.problems, whole.samples) == ([], 20)
    await database.do(
        "DELETE FROM samples WHERE line = 1 AND position IN (3, 4, 10);"
        "DELETE FROM samples WHERE line = 2 AND position < 3;"  # as those that are too old
        "UPDATE sessions SET answered = 9 WHERE line = 2"
    )
    found = await asyncio.to_thread(upkeep.check)
    assert found.samples == 15
    assert [str(each).rpartition(": ")[0] for each in found.problems] == [
        f"b, session {0:032x}: its counters contradict each other: see 'broker ledger'",
        "a: 2 samples are missing amid the records",
        "a: the newest 1 sample is missing",
    ]


@pytest.mark.parametrize("verb", ["repair", "backup", "restore"])
def test_what_postgresql_does_itself_is_said(verb: str) -> None:
    upkeep = PostgresUpkeep("postgresql://127.0.0.1:1/plant")
    with pytest.raises(StoreError, match="use PostgreSQL's programs: "):
        getattr(upkeep, verb)(*([] if verb == "repair" else [Path("copy")]))
