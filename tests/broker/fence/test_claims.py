"""Of two brokers on one database, one alone can commit to a line, whatever they claim meanwhile."""

import asyncio
import math
import struct

import pytest
from support.fence import HOLD, batch, broker, ids, other, waits
from support.postgres import Database
from support.store import header

from broker.errors import RecordError, TakenError
from broker.model import Answer, Sample
from broker.records import (
    MAX_SNAPSHOT_BYTES,
    Batch,
    Event,
    EventKind,
    Opened,
    Snapshot,
)


async def test_a_claim_waits_for_a_commit_under_way_and_sees_it(database: Database) -> None:
    """It looks at who is in its way, and leaves a commit alone that waits for something else."""
    async with broker(database) as one, broker(database, look_s=0.01) as two:
        claim = await one.claim(header(), "")
        await one.record(batch(claim, 0))
        async with other(database, HOLD) as lock:
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
