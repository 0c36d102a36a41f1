"""Of two brokers on one database, one alone can commit to a line, whatever fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from support.fence import HOLD, batch, broker, ids, other, waits
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.relay import relayed
from support.store import header

from broker.errors import RecordError
from broker.model import Answer
from broker.recorder.postgres.rounds import PendingCommit

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
            lock = "" if is_committed else HOLD
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
