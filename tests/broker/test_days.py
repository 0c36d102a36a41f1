"""A database keeps samples by the day: days are made ahead, and go once nobody needs them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from support.chain import Chain, Forgetful
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.postgres import Database, Server
from support.store import OpenLines, expected, header, sample, send, send_on

from broker.predictors import Predictor
from broker.recorder.postgres.bases import Bases
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.reader import PostgresReader
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.reader import Span
from broker.records import Basis

DAY_S = 86_400.0
REPLAY = 30


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


@asynccontextmanager
async def running(
    database: Database,
    clock: ManualClock,
    make: Callable[[], Predictor],
    digest: str = "d1",
    *,
    every: int = 25,
    **more: float,
) -> AsyncIterator[OpenLines]:
    keeping = FleetKeeping(replay=REPLAY, max_age_days=2)
    short = {"tick_s": 0.01, "house_s": 0.01, **more}
    async with PostgresRecorder(database.url, digest, keeping, clock, **short) as recorder:
        yield OpenLines(make, recorder, snapshot_every=every)


def today(clock: ManualClock) -> date:
    return datetime.fromtimestamp(clock.time_ns() / 1e9, UTC).date()


async def days(database: Database) -> list[date]:
    names = await database.select(
        "SELECT relname FROM pg_class WHERE relname ~ '^samples_[0-9]+$' ORDER BY 1"
    )
    return [datetime.strptime(name, "samples_%Y%m%d").date() for (name,) in names]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def test_days_are_made_ahead(database: Database) -> None:
    clock = ManualClock()
    async with running(database, clock, Chain):
        first = today(clock)
        wanted = [first + timedelta(days=number) for number in range(-1, 8)]
        assert await days(database) == wanted
        clock.advance(DAY_S)

        async def is_there() -> bool:
            return first + timedelta(days=8) in await days(database)

        await until(is_there)


async def test_a_day_that_nobody_has_made_is_made_by_the_first_commit(database: Database) -> None:
    """A clock that was set ahead; and no broker keeps house."""
    clock = ManualClock()
    async with running(database, clock, Chain, house_s=3600.0) as lines:
        box = Chain()
        assert (await send(lines, range(3)))[0] == expected(box, range(3))
        clock.advance(100 * DAY_S)
        assert (await send(lines, range(3, 6)))[0] == expected(box, range(3, 6))
        assert today(clock) in await days(database)


@pytest.mark.parametrize("make", [Chain, Forgetful])
async def test_an_old_day_goes_but_for_what_black_boxes_are_rebuilt_from(
    make: type[Chain], database: Database
) -> None:
    clock = ManualClock()
    box = make()
    async with running(database, clock, make) as lines:
        await send(lines, range(110))
        with await lines.open(None) as plain:
            await send_on(plain, [sample(0)] * 50)
        clock.advance(DAY_S)
        await send(lines, range(1000), agent="b")
        old = today(clock) - timedelta(days=1)
        clock.advance(1.5 * DAY_S)
        await until(lambda: is_gone(database, old))
        kept = await database.select("SELECT position FROM samples_kept ORDER BY position")
        assert kept == [(at,) for at in range(101 if make is Chain else 81, 111)]
        assert await database.select("SELECT count(*) FROM samples") == [(1000,)]
    if make is Chain:
        expected(box, range(110))
    else:
        expected(box, range(80, 110))
    async with running(database, clock, make) as lines:
        reader = PostgresReader(database.url)
        found = [each.id async for some in reader.samples("a", Span()) for each in some]
        assert found == [at - 1 for (at,) in kept]
        account = (await reader.sessions("a", 1)).newest[0]
        assert (account.answered, account.last_id) == (110, 109)
        reader.close()
        assert (await send(lines, range(110, 150)))[0] == expected(box, range(110, 150))
        clock.advance(3 * DAY_S)  # nor are those needed any more that were kept

        async def is_let_go() -> bool:
            wanted = [] if make is Chain else [(at,) for at in range(121, 151)]
            return wanted == await database.select(
                "SELECT position FROM samples_kept JOIN lines USING (line)"
                " WHERE agent_id = 'a' ORDER BY position"
            )

        await until(is_let_go)


async def test_the_state_of_a_former_predictor_is_as_old_as_its_samples(
    database: Database,
) -> None:
    clock = ManualClock()
    first = today(clock)
    async with running(database, clock, Chain, "old") as lines:
        await send(lines, range(110))
        await send(lines, range(110), agent="b")
    clock.advance(DAY_S)
    async with running(database, clock, Chain, "old") as lines:
        await send(lines, range(110), agent="c")
    async with running(database, clock, Chain, "new") as lines:
        for agent in "abc":
            await send(lines, range(110, 150), agent=agent)
    async with running(database, clock, Chain, "old", every=1000) as lines:
        await send(lines, range(150, 153))  # it is back, and has told no other state yet
    clock.advance(1.5 * DAY_S)
    async with running(database, clock, Chain, "new") as lines:
        clock.advance(4000.0)
        await until(lambda: is_gone(database, first))

        async def is_let_go() -> bool:
            kept = "SELECT agent_id, digest, asides.position FROM asides JOIN lines USING (line)"
            return await database.select(f"{kept} ORDER BY 1, 2") == [
                ("a", "new", 136),
                ("a", "old", 100),
                ("c", "old", 100),
            ]

        await until(is_let_go)
    kept = "SELECT agent_id, position FROM samples_kept JOIN lines USING (line) ORDER BY 2"
    assert await database.select(kept) == [("a", at) for at in range(101, 111)]
    async with running(database, clock, Chain, "old") as lines:
        box = Chain()
        expected(box, range(153))
        assert (await send(lines, range(153, 190)))[0] == expected(box, range(153, 190))


async def test_no_more_than_the_bound_is_replayed_for_a_predictor_that_is_back(
    database: Database,
) -> None:
    clock = ManualClock()
    for digest, ids in (("old", range(50)), ("new", range(50, 100))):
        async with running(database, clock, Chain, digest) as lines:
            await send(lines, ids)
    async with running(database, clock, Chain) as lines:
        await lines.open(header(100))
        await database.do("DELETE FROM samples WHERE position <= 85")
        link = Link(await asyncpg.connect(database.url))
        try:
            bases = Bases("old", replay=REPLAY, most_since=20)
            basis = await bases.basis(link, "a", None, None, with_snapshot=True)
        finally:
            link.close()
    assert basis.snapshot
    assert basis == Basis(80, basis.snapshot, is_back=True, takes_over=True, missing=35)


async def is_gone(database: Database, day: date) -> bool:
    return day not in await days(database)


async def test_a_clock_that_was_just_set_calls_nothing_old(database: Database) -> None:
    clock = ManualClock()
    async with running(database, clock, Chain) as lines:
        await send(lines, range(10))
    ahead = ManualClock(wall_s=1_750_000_000.0 + 400 * DAY_S)
    async with running(database, ahead, Chain) as lines:
        await send(lines, range(10, 20))
        ahead.advance(3500.0)

        async def is_kept() -> bool:
            return today(ahead) + timedelta(days=7) in await days(database)

        await until(is_kept)
        assert today(clock) in await days(database)
        ahead.advance(200.0)
        await until(lambda: is_gone(database, today(clock)))


async def test_who_reads_all_days_for_long_delays_their_end_and_no_commit(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    async with running(database, clock, Chain) as lines:
        box = Chain()
        await send(lines, range(10))
        expected(box, range(10))
        old = today(clock)
        reading = await asyncpg.connect(database.url)
        try:
            await reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await reading.fetch("SELECT * FROM samples")
            clock.advance(4 * DAY_S)

            async def is_refused() -> bool:
                return "old samples cannot be deleted" in caplog.text

            await until(is_refused)
            assert (await send(lines, range(10, 20)))[0] == expected(box, range(10, 20))
            assert not await is_gone(database, old)
            assert (await reading.fetch("SELECT count(*) FROM samples"))[0]["count"] == 10
        finally:
            await reading.close()
        await until(lambda: is_gone(database, old))
        assert (await send(lines, range(20, 30)))[0] == expected(box, range(20, 30))


async def test_a_drop_that_was_broken_off_is_finished(database: Database) -> None:
    clock = ManualClock()
    async with running(database, clock, Chain) as lines:
        await send(lines, range(10))
        old = today(clock)
    await database.do(f"ALTER TABLE samples DETACH PARTITION samples_{old:%Y%m%d}")
    clock.advance(4 * DAY_S)
    async with running(database, clock, Chain):
        clock.advance(4000.0)
        await until(lambda: is_gone(database, old))


async def test_one_broker_at_a_time_keeps_house(database: Database) -> None:
    clock = ManualClock()
    async with running(database, clock, Chain) as lines, running(database, clock, Chain):
        await send(lines, range(10))
        clock.advance(4 * DAY_S)
        await until(lambda: is_gone(database, today(ManualClock())))
        assert (await lines.recorder.claim(header(), "")).last_id == 9
