"""The rows of a database that move elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from broker.recorder.moving import (
    Milestones,
    MovedAside,
    MovedCommand,
    MovedEvent,
    MovedExplanation,
    MovedGap,
    MovedLabels,
    MovedLine,
    MovedLoss,
    MovedSample,
    MovedSession,
    MovedSnapshot,
    MovedStanding,
    Row,
    at_once,
)
from broker.recorder.postgres.brokers import refuse_served
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import ARRIVED, VALUES
from broker.recorder.postgres.schema import check_same_version, version_of
from broker.recorder.postgres.server import check, connect, told
from quartet.errors import StoreError

_LINES = "SELECT line FROM lines WHERE heard_at IS NOT NULL AND peer != 'nobody'"

_QUERIES = {
    MovedLine: f"""
        SELECT line, agent_id, peer, is_rehearsal, head,
            (SELECT count(DISTINCT position) FROM recorded WHERE recorded.line = lines.line),
            coalesce((SELECT id FROM sessions WHERE sessions.line = lines.line
                ORDER BY session DESC LIMIT 1), ''),
            (extract(epoch FROM heard_at) * 1000000)::bigint * 1000
        FROM lines WHERE line IN ({_LINES}) ORDER BY line
    """,
    # When one was opened is not on record: that is when the oldest of its samples arrived.
    MovedSession: f"""
        SELECT session, sessions.line, sessions.id, first_id, last_id, received, answered,
            duplicates, refused, gaps, digest,
            (extract(epoch FROM coalesce((
                SELECT arrived_at FROM recorded WHERE recorded.session = sessions.session
                ORDER BY recorded.id LIMIT 1
            ), heard_at)) * 1000000)::bigint * 1000
        FROM sessions JOIN lines USING (line) WHERE line IN ({_LINES}) ORDER BY session
    """,
    MovedGap: f"""
        SELECT session, first, last FROM gaps JOIN sessions USING (session)
        WHERE line IN ({_LINES}) ORDER BY session, first
    """,
    MovedLabels: f"""
        SELECT session, line, sensors FROM labels WHERE line IN ({_LINES}) ORDER BY session
    """,
    MovedSample: f"""
        SELECT line, position, session, id, {VALUES}, sampled_at_ns, {ARRIVED}, prediction
        FROM recorded WHERE line IN ({_LINES}) ORDER BY round, line, position
    """,
    MovedExplanation: f"""
        SELECT line, position, session, id, sampled_at_ns, {ARRIVED}, text FROM explanations
        WHERE line IN ({_LINES}) AND EXISTS (
            SELECT 1 FROM recorded WHERE recorded.line = explanations.line
                AND recorded.position = explanations.position
        ) ORDER BY line, position
    """,
    MovedSnapshot: f"""
        SELECT line, position, digest, state, {ARRIVED}, kept FROM snapshots
        WHERE line IN ({_LINES}) ORDER BY line, position
    """,
    MovedAside: f"""
        SELECT line, position, head - position, digest, state, {ARRIVED}
        FROM asides JOIN lines USING (line) WHERE line IN ({_LINES}) ORDER BY line, position
    """,
    MovedCommand: """
        SELECT commands.agent_id, coalesce(line, 0) AS line, name, at_ns, position
        FROM commands LEFT JOIN lines USING (agent_id) ORDER BY command
    """,
    MovedEvent: f"""
        SELECT line, at_ns, kind, text FROM events WHERE line IN ({_LINES}) ORDER BY event
    """,
    MovedStanding: f"""
        SELECT line, certificate_until_ns, learned, to_learn, alarm_since_ns, alarm_reason, shift
        FROM standings WHERE line IN ({_LINES})
    """,
    MovedLoss: "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY loss",
}

_RANKED = (MovedExplanation, MovedSnapshot, MovedAside)
_BETWEEN = """
    SELECT count(DISTINCT position) FROM recorded
    WHERE line = $1 AND position > $2 AND position <= $3
"""

# A broker that is about to begin waits for the end of the move.
_ALONE = "LOCK TABLE lines IN SHARE MODE"
_PATIENCE = "SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'"


@asynccontextmanager
async def open_source(url: str) -> AsyncIterator["PostgresSource"]:
    """A database in one state, without a broker, while entered.

    What the server says meanwhile is a StoreError.
    """
    connection = await connect(url)
    try:
        with told(url):
            await check(connection, url, "normal")
            if not await version_of(connection, url):
                raise StoreError(
                    f"{url}: has no records to move: name the store with the records first, and the"
                    " new one behind it"
                )
            await check_same_version(connection, url)
            await connection.execute(_PATIENCE)
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute(_ALONE)
                await refuse_served(Link(connection), url)
                yield PostgresSource(connection)
    finally:
        connection.terminate()


class PostgresSource:
    """A MoveSource in a database."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._milestones = Milestones()

    async def rows(self, kind: type[Row]) -> AsyncIterator[Row]:
        """All rows of a kind."""
        before: tuple[int, int] | None = None
        async for row in self._connection.cursor(_QUERIES[kind], prefetch=at_once(kind)):
            if kind is MovedSample:
                line, position, *_ = row
                if before == (line, position):  # see the view `recorded`
                    continue
                before = line, position
                self._milestones.add(line, position)
                yield _sample(*row)
            elif kind is MovedLine:
                yield MovedLine(*row)
            elif kind is MovedCommand:
                agent_id, line, name, at_ns, position = row
                rank = None if position is None else await self._rank(line, position)
                yield MovedCommand(agent_id, line, name, at_ns, rank)
            elif kind in _RANKED:
                line, position, *more = row
                yield kind(line, await self._rank(line, position), *more)
            else:
                yield kind(*row)

    async def _rank(self, line: int, position: int) -> int:
        """How many samples of a line are on record up to a position."""
        rank, at, is_dense = self._milestones.before(line, position)
        if not rank or is_dense:
            return rank + position - at if rank else 0
        more = await self._connection.fetchval(_BETWEEN, line, at, position)
        return rank + int(more)


def _sample(line: int, _: int, session: int, id_: int, *row: Any) -> MovedSample:
    *values, sampled_at_ns, arrived_at_ns, prediction = row
    return MovedSample(line, session, id_, (*values,), sampled_at_ns, arrived_at_ns, prediction)
