"""Brokers on one database, and another program that is in their way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from support.patience import PATIENCE_S
from support.postgres import Database

from broker.model import Answer, Sample
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.records import (
    Batch,
    Claim,
)


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
HOLD = "SELECT 1 FROM sessions FOR UPDATE"


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
