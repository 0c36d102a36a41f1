"""Of two brokers on one database, one alone can commit to a line, whatever happens between them."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.relay import relayed
from support.store import header

from broker.errors import RecordError, TakenError
from broker.model import Answer, Sample
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.postgres.rounds import PendingCommit
from broker.records import (
    MAX_SNAPSHOT_BYTES,
    Batch,
    Claim,
    Event,
    EventKind,
    Opened,
    Snapshot,
)


@pytest.fixture
async def database(postgres: Server) -> Database:
    return await postgres.emptied()


def broker(database: Database, **more: object) -> PostgresRecorder:
    return PostgresRecorder(more.pop("url", database.url), "d1", FleetKeeping(), **more)


def batch(claim: Claim, *ids: int, **more: object) -> Batch:
    return Batch(
        claim,
        [Sample(id_, (0.0, 1.0, 2.0, 3.0)) for id_ in ids],
        [Answer(id_, id_ % 2 == 1) for id_ in ids],
        **more,
    )


# A commit has its lines by then, and waits at what it counts.
_HOLD = "SELECT 1 FROM sessions FOR UPDATE"


async def ids(database: Database) -> list[tuple[str, int, int]]:
    return await database.select(
        "SELECT agent_id, position, id FROM samples JOIN lines USING (line) ORDER BY 1, 2"
    )


@asynccontextmanager
async def other(database: Database, script: str) -> AsyncIterator["asyncpg.Connection"]:
    """A program that has done something in a transaction that is not over."""
    connection = await asyncpg.connect(database.url)
    await connection.execute(f"BEGIN; {script}")
    try:
        yield connection
    finally:
        connection.terminate()


async def waits(database: Database, query: str) -> None:
    """Return when a statement that begins so waits for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while not await database.select(  # noqa: ASYNC110 - it tells nobody
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND"
            " datname = current_database() AND ltrim(query, E'\\n ') LIKE $1",
            f"{query}%",
        ):
            await asyncio.sleep(0.01)


async def test_a_claim_waits_for_a_commit_under_way_and_sees_it(database: Database) -> None:
    """It looks at who is in its way, and leaves a commit alone that waits for something else."""
    async with broker(database) as one, broker(database, look_s=0.01) as two:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        async with other(database, _HOLD) as lock:
            commit = asyncio.ensure_future(one.record(batch(claim, 1, 2)))
            await waits(database, "WITH")
            claiming = asyncio.create_task(two.claim(header(3), ""))
            await waits(database, "INSERT INTO lines")
            await asyncio.wait([claiming], timeout=0.1)  # it has looked some times
            assert not claiming.done()
            await lock.execute("COMMIT")
            await commit
            fresh = await claiming
        assert fresh.last_id == 2
        with pytest.raises(TakenError):
            await one.record(batch(claim, 3))
        await two.record(batch(fresh, 3))
        assert await two.answers(fresh, 0, 9) == [Answer(n, n % 2 == 1) for n in range(4)]
    assert await ids(database) == [("a", n + 1, n) for n in range(4)]


async def test_a_commit_that_waited_for_a_claim_writes_nothing(database: Database) -> None:
    async with broker(database) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        claimed = f"UPDATE lines SET epoch = epoch + 1, claimer = '{7:032x}'"  # noqa: S608
        async with other(database, claimed) as claimer:
            late = batch(claim, 1, 2, snapshot=Snapshot(1, b"one"), gaps=[(5, 6)])
            commit = asyncio.ensure_future(one.record(late))
            await waits(database, "WITH")
            await claimer.execute("COMMIT")
            with pytest.raises(TakenError) as raised:
                await commit
        assert raised.value.session_id == f"{7:032x}"
    assert await ids(database) == [("a", 1, 0)]
    for table in ("snapshots", "gaps"):
        assert await database.select(f"SELECT 1 FROM {table}") == []  # noqa: S608
    assert await database.select("SELECT received, last_id FROM sessions") == [(1, 0)]


async def test_one_that_is_fenced_costs_the_others_of_its_round_nothing(
    database: Database,
) -> None:
    async with broker(database) as one, broker(database) as two:
        claims = {agent: await one.claim(header(agent=agent), "") for agent in "abcde"}
        for number in range(3):
            await two.claim(header(agent="c"), "")
            commits = [one.record(batch(claims[agent], number)) for agent in claims]
            for agent, commit in zip(claims, commits, strict=True):
                if agent == "c":
                    with pytest.raises(TakenError):
                        await commit
                else:
                    await commit
            claims["c"] = await one.claim(header(agent="c"), "")
    assert await ids(database) == [(agent, n + 1, n) for agent in "abde" for n in range(3)]


async def test_nothing_is_built_upon_records_that_are_not_those_that_were_left(
    database: Database,
) -> None:
    async with broker(database) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        await database.select("UPDATE lines SET head = head + 1")
        with pytest.raises(RecordError, match="others were recorded"):
            await one.record(batch(claim, 1))
        assert not claim.lease.is_good
        fresh = await one.claim(header(), "")
        await one.record(batch(fresh, 1))
    assert await ids(database) == [("a", 1, 0), ("a", 3, 1)]


async def test_an_epoch_that_is_given_twice_is_that_of_one_broker(database: Database) -> None:
    """By a standby that had not heard of the first claim when it took over."""
    async with broker(database) as one, broker(database) as two, broker(database) as three:
        await one.record(batch(await one.claim(header(), ""), 0))
        unheard = await two.claim(header(), "")
        await database.select("UPDATE lines SET epoch = 1, owner = NULL")
        heard = await three.claim(header(), "")
        assert heard.lease.token == unheard.lease.token
        with pytest.raises(RecordError):
            await two.record(batch(unheard, 1))
        assert (await two.claim(header(), "")).lease is not unheard.lease
    assert await ids(database) == [("a", 1, 0)]


async def test_what_gathers_is_committed_in_portions(database: Database) -> None:
    """Those of an agent stay in their order."""
    state = b"s" * MAX_SNAPSHOT_BYTES
    async with broker(database) as one:
        claims = {agent: await one.claim(header(agent=agent), "") for agent in "abcdef"}
        commits = [
            one.record(batch(claims[agent], first, first + 1, snapshot=Snapshot(2, state)))
            for first in (0, 2)
            for agent in claims
        ]
        for commit in commits:
            await commit
    assert await ids(database) == [(agent, n + 1, n) for agent in claims for n in range(4)]
    assert await database.select("SELECT count(DISTINCT round) FROM samples") == [(4,)]


async def test_a_lease_that_fails_while_it_is_claimed_again_is_not_given(
    database: Database,
) -> None:
    async with broker(database) as one:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        async with other(database, "LOCK standings") as lock:
            claiming = asyncio.create_task(one.claim(header(), ""))
            await waits(database, "SELECT epoch")
            await database.select("UPDATE lines SET head = head + 1")
            with pytest.raises(RecordError, match="others were recorded"):
                await one.record(batch(claim, 1))
            await lock.execute("COMMIT")
            fresh = await claiming
        await one.record(batch(fresh, 1))
    assert await ids(database) == [("a", 1, 0), ("a", 3, 1)]


async def test_a_claim_that_another_one_overtakes_before_it_has_read_anything_is_void(
    database: Database,
) -> None:
    """It would go on from the head that the other one has moved."""
    async with broker(database) as one:
        async with other(database, "LOCK standings") as lock:
            claiming = asyncio.create_task(one.claim(header(), ""))
            await waits(database, "SELECT epoch")
            await database.select("UPDATE lines SET epoch = epoch + 1, claimer = 'another'")
            await lock.execute("COMMIT")
            claim = await claiming
        assert not claim.lease.is_good
        with pytest.raises(TakenError):
            await one.record(batch(claim, 0))
    assert await ids(database) == []


# Raised by a statement of the broker, as the server would.
_RAISES = """
    CREATE SEQUENCE times;
    CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('times') = 1 THEN RAISE {}; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER says BEFORE INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION says()
"""


@pytest.fixture
async def own(postgres: Server) -> AsyncIterator[Database]:
    """A database whose tables are this test's alone."""
    database = await postgres.create()
    await database.prepare()
    yield database
    await database.drop()


async def test_a_round_that_was_the_victim_of_a_deadlock_is_tried_again(own: Database) -> None:
    await own.do(_RAISES.format("EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'"))
    async with broker(own) as one:
        claims = [await one.claim(header(agent=agent), "") for agent in "ab"]
        for commit in [one.record(batch(claim, 0, 1)) for claim in claims]:
            await commit
    assert await ids(own) == [(agent, n + 1, n) for agent in "ab" for n in range(2)]


async def test_a_commit_that_no_standby_has_confirmed_leaves_no_answer(own: Database) -> None:
    """The server says so by a warning: it is committed there, and nobody may build upon it."""
    await own.do(_RAISES.format("WARNING 'canceling wait for synchronous replication'"))
    async with broker(own) as one:
        claim = await one.claim(header(), "")
        with pytest.raises(RecordError, match="canceling wait"):
            await one.record(batch(claim, 0, 1))
        fresh = await one.claim(header(2), "")
        assert (fresh.last_id, fresh.lease is claim.lease) == (1, False)
        await one.record(batch(fresh, 2))
    assert await ids(own) == [("a", n + 1, n) for n in range(3)]


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_commit_whose_answer_is_lost_is_found_or_not_by_the_next_claim(
    is_committed: bool, postgres: Server, database: Database
) -> None:
    async with relayed(postgres.port) as relay:
        url = postgres.url(database.name, port=relay.port)
        async with broker(database, url=url) as one:
            claim = await one.claim(header(), "")
            await one.record(batch(claim, 0))
            lock = "" if is_committed else _HOLD
            async with other(database, lock):
                relay.is_mute = True
                commit = asyncio.ensure_future(one.record(batch(claim, 1, 2)))
                if is_committed:
                    async with asyncio.timeout(PATIENCE_S):
                        while len(await ids(database)) < 3:  # noqa: ASYNC110 - nor does it
                            await asyncio.sleep(0.01)
                else:
                    await waits(database, "WITH")
                relay.cut()
                relay.is_mute = False
                if not is_committed:
                    # After the cut, so that the broker sees all its connections go at once.
                    await database.select(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE wait_event_type = 'Lock' AND ltrim(query, E'\\n ') LIKE 'WITH%'"
                    )
                with pytest.raises(RecordError, match="cannot record"):
                    await commit
            async with asyncio.timeout(PATIENCE_S):
                while True:  # until it has connected again
                    with suppress(RecordError):
                        another = await one.claim(header(agent="b"), "")
                        await one.record(batch(another, 0))
                        break
            with pytest.raises(RecordError):  # and nothing is built upon it
                await one.record(batch(claim, 3))
            fresh = await one.claim(header(), "")
            assert fresh.last_id == (2 if is_committed else 0)
            with pytest.raises(RecordError):
                await one.record(batch(claim, 3))
            following = (fresh.last_id or 0) + 1
            await one.record(batch(fresh, following))
            assert [each.id for each in await one.answers(fresh, 0, 9)] == [*range(following + 1)]


async def test_a_broker_that_froze_amid_its_commit_is_cut_off(database: Database) -> None:
    async with broker(database) as one, broker(database, look_s=0.01) as two:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        # What the server has got of its commit: all but the end.
        async with other(database, "UPDATE lines SET head = head + 5") as frozen:
            fresh = await two.claim(header(1), "")
            assert fresh.last_id == 0
            await two.record(batch(fresh, 1))
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await frozen.execute("COMMIT")
    assert await ids(database) == [("a", 1, 0), ("a", 2, 1)]


@pytest.mark.parametrize("left", [0.5, 0.0])
async def test_a_broker_that_froze_while_it_sent_a_large_round_stops_nobody(
    left: float, postgres: Server, database: Database
) -> None:
    """Half of it is left, or one byte: then the server has its statement, and not its end."""
    agents = [f"a{number}" for number in range(16)]
    async with relayed(postgres.port) as relay:
        url = postgres.url(database.name, port=relay.port)
        async with (
            broker(database, url=url, tick_s=2 * PATIENCE_S) as one,
            broker(database, look_s=0.01) as two,
        ):
            claims = [await one.claim(header(agent=agent), "") for agent in agents]

            def send(number: int) -> list[PendingCommit]:
                ids = range(400 * number, 400 * (number + 1))
                return [one.record(batch(claim, *ids)) for claim in claims]

            for number in range(2):  # the second one is as long as those that follow
                before = relay.sent
                for commit in send(number):
                    await commit
            size = relay.sent - before
            assert size > 100_000
            relay.hold(size - max(1, round(left * size)))
            late = send(2)
            async with asyncio.timeout(PATIENCE_S):
                await relay.held.wait()
                for agent in agents:
                    fresh = await two.claim(header(800, agent=agent), "")
                    assert fresh.last_id == 799
                    await two.record(batch(fresh, 800))
            relay.release()
            for commit in late:
                with pytest.raises(RecordError):
                    await commit
    assert await ids(database) == [
        (agent, id_ + 1, id_) for agent in sorted(agents) for id_ in range(801)
    ]


async def test_a_server_that_dies_and_comes_back_has_all_that_was_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running() as server:
        database = await server.create()
        async with broker(database, trouble_s=0.0) as one:
            claim = await one.claim(header(), "")
            await one.record(batch(claim, 0, 1))
            await asyncio.to_thread(server.kill)
            with pytest.raises(RecordError, match="cannot record"):
                await one.record(batch(claim, 2))
            with pytest.raises(RecordError, match="cannot read"):
                await one.claim(header(), "")
            async with asyncio.timeout(PATIENCE_S):
                while "no PostgreSQL server answers" not in one.trouble:  # noqa: ASYNC110 - nor it
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server.restart)
            async with asyncio.timeout(PATIENCE_S):
                while one.trouble:  # noqa: ASYNC110 - it looks by itself
                    await asyncio.sleep(0.01)
            fresh = await one.claim(header(), "")
            assert fresh.last_id == 1
            await one.record(batch(fresh, 2))
            assert await one.answers(fresh, 0, 9) == [Answer(n, n % 2 == 1) for n in range(3)]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == len({*said}) >= 3  # commits, questions, the server
    assert "Traceback" not in caplog.text


async def test_what_a_fenced_broker_says_of_a_stream_does_not_look_like_the_new_one(
    database: Database,
) -> None:
    async with broker(database, tick_s=0.01) as one, broker(database) as two:
        stale = await one.claim(header(), "1.2.3.4:5")
        await one.record(batch(stale, 0, opened=Opened()))
        fresh = await two.claim(header(), "1.2.3.4:6")
        await two.record(batch(fresh, 1, opened=Opened()))
        one.release(stale, Event(EventKind.ENDED, "another broker has taken the line over"))
        mark = await one.claim(header(agent="b"), "")
        await one.record(batch(mark, 0))
    told = await database.select("SELECT kind, text FROM events ORDER BY event")
    assert told == [("opened", "from 1.2.3.4:5"), ("opened", "from 1.2.3.4:6")]


async def test_a_line_that_a_newer_predictor_has_is_not_taken_back(database: Database) -> None:
    async with broker(database, generation=7) as old, broker(database, generation=8) as new:
        claim = await old.claim(header(), "")
        await old.record(batch(claim, 0))
        fresh = await new.claim(header(), "")
        with pytest.raises(RecordError, match=r"fleet\.generation 7"):
            await old.claim(header(), "")
        await new.record(batch(fresh, 1))
        assert (await new.claim(header(), "")).last_id == 1


async def test_values_come_back_bit_for_bit(database: Database) -> None:
    numbers = [0x80000000, 1, 0x007FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x3DCCCCCD, 0]
    values = struct.unpack("<8f", struct.pack("<8I", *numbers))
    async with broker(database) as one:
        claim = await one.claim(header(), "")
        samples = [Sample(0, values[:4]), Sample(1, values[4:]), Sample(2, (math.nan,) * 4)]
        await one.record(Batch(claim, samples, [Answer(n, False) for n in range(3)]))
        (_, low), (_, high), (_, none) = await one.samples("a", 0)
    assert struct.pack("<8f", *low.values, *high.values) == struct.pack("<8I", *numbers)
    assert all(map(math.isnan, none.values))
