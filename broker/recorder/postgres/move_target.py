"""Fills a database with rows that come from elsewhere, in one transaction."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from broker.recorder.moving import (
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
from broker.recorder.postgres import partitions
from broker.recorder.postgres.brokers import refuse_served
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.moment import moment
from broker.recorder.postgres.schema import GO_ON, check_same_version, migrate
from broker.recorder.postgres.server import check, connect, told
from broker.recorder.postgres.writing import storable
from quartet.errors import StoreError

_TABLES: dict[type[Row], tuple[str, str]] = {
    MovedLine: ("lines", "line agent_id peer claimer head is_rehearsal heard_at generation"),
    MovedSession: (
        "sessions",
        "session line id first_id last_id received answered duplicates refused gaps digest",
    ),
    MovedGap: ("gaps", "session first last"),
    MovedLabels: ("labels", "session line sensors"),
    MovedSample: (
        "samples",
        "line position session round sampled_at_ns arrived_at id sensor1 sensor2 sensor3 sensor4"
        " prediction",
    ),
    MovedExplanation: ("explanations", "line position session id sampled_at_ns arrived_at text"),
    MovedSnapshot: ("snapshots", "line position digest state arrived_at kept"),
    MovedAside: ("asides", "line digest position state arrived_at"),
    MovedCommand: ("commands", "agent_id name at_ns position"),
    MovedEvent: ("events", "line at_ns kind text"),
    MovedStanding: (
        "standings",
        "line certificate_until_ns learned to_learn alarm_since_ns alarm_reason shift",
    ),
    MovedLoss: ("losses", "agent_id session_id first last why at_ns"),
}

# A broker that is about to begin waits for the end of the move, and finds what it brought.
_ALONE = "LOCK TABLE lines IN SHARE ROW EXCLUSIVE MODE"
_PATIENCE = "SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'"
_IS_USED = "SELECT EXISTS (SELECT 1 FROM lines) OR EXISTS (SELECT 1 FROM sessions)"

# What brokers know of a line by its newest sample.
_NEWEST = """
    UPDATE lines SET prediction = newest.prediction, newest_at = newest.arrived_at,
        heard_at = newest.arrived_at
    FROM lines AS each CROSS JOIN LATERAL (
        SELECT prediction, arrived_at FROM samples WHERE samples.line = each.line
        ORDER BY position DESC LIMIT 1
    ) AS newest WHERE lines.line = each.line
"""

# Whoever records a sample with the number of a session that is forgotten would be mistaken for it.
_NUMBERS = """
    SELECT setval(pg_get_serial_sequence('lines', 'line'), (SELECT max(line) FROM lines)),
        setval(pg_get_serial_sequence('sessions', 'session'), (
            SELECT max(session) FROM (
                SELECT session FROM sessions UNION ALL SELECT session FROM samples
            ) AS used
        ))
"""


@asynccontextmanager
async def open_target(url: str) -> AsyncIterator["PostgresTarget"]:
    """A database that has all rows once this ends without an error, or none.

    What the server says meanwhile is a StoreError.
    """
    connection = await connect(url)
    try:
        with told(url):
            await check(connection, url, "normal")
            await connection.execute(_PATIENCE)
            async with connection.transaction():
                link = Link(connection)
                await migrate(connection, url)
                await check_same_version(connection, url)
                await connection.execute(_ALONE)
                await refuse_served(link, url)
                if await connection.fetchval(_IS_USED):
                    raise StoreError(
                        f"{url}: has records: name a database without any, or 'broker forget' them"
                    )
                yield PostgresTarget(connection, link)
                for query in (_NEWEST, _NUMBERS, GO_ON, "ANALYZE"):
                    await connection.execute(query)
    finally:
        connection.terminate()


class PostgresTarget:
    """A MoveTarget in a database."""

    def __init__(self, connection: asyncpg.Connection, link: Link) -> None:
        self._connection = connection
        self._link = link
        self._bases: dict[int, int] = {}
        """By line, how many samples were answered before the oldest on record."""
        self._heads: dict[int, int] = {}
        """By line, the position of its newest sample so far."""
        self._answered: dict[int, int] = {}
        self._round = 0
        self._columns: dict[type[Row], Callable[[Any], Sequence[object]]] = {
            MovedLine: self._line,
            MovedSession: self._session,
            MovedSample: self._sample,
            MovedExplanation: self._explanation,
            MovedSnapshot: self._snapshot,
            MovedAside: self._aside,
            MovedCommand: self._command,
        }

    async def write(self, kind: type[Row], rows: AsyncIterator[Row]) -> None:
        """Take over all rows of a kind."""
        table, columns = _TABLES[kind]
        columns_of = self._columns.get(kind, _as_it_is)
        chunk: list[Sequence[object]] = []
        async for row in rows:
            chunk.append(columns_of(row))
            if len(chunk) == at_once(kind):
                await self._copy(table, columns, chunk)
                chunk = []
        if chunk:
            await self._copy(table, columns, chunk)

    async def _copy(self, table: str, columns: str, chunk: Sequence[Sequence[object]]) -> None:
        names = columns.split()
        if table == "samples":
            at = names.index("arrived_at")
            for day in {row[at].date() for row in chunk}:  # type: ignore[attr-defined]
                await partitions.make_one(self._link, day)
        await self._connection.copy_records_to_table(table, records=chunk, columns=names)

    def _line(self, row: MovedLine) -> Sequence[object]:
        self._bases[row.line] = self._heads[row.line] = row.answered - row.on_record
        self._answered[row.line] = row.answered
        names = row.line, row.agent_id, storable(row.peer), row.latest_session
        return *names, row.answered, row.is_rehearsal, moment(row.heard_at_ns), 0

    def _session(self, row: MovedSession) -> Sequence[object]:
        return row[:-1]

    def _sample(self, row: MovedSample) -> Sequence[object]:
        self._round += 1
        position = self._heads[row.line] = self._heads[row.line] + 1
        times = row.sampled_at_ns, moment(row.arrived_at_ns)
        place = row.line, position, row.session, self._round
        return *place, *times, row.id, *row.values, row.prediction

    def _explanation(self, row: MovedExplanation) -> Sequence[object]:
        times = row.sampled_at_ns, moment(row.arrived_at_ns)
        return row.line, self._at(row), row.session, row.id, *times, storable(row.text)

    def _snapshot(self, row: MovedSnapshot) -> Sequence[object]:
        what = storable(row.digest), row.state
        return row.line, self._at(row), *what, moment(row.arrived_at_ns), row.kept

    def _aside(self, row: MovedAside) -> Sequence[object]:
        position = self._at(row)
        if not row.rank:
            position = max(0, min(position, self._answered[row.line] - row.since))
        what = storable(row.digest), position, row.state
        return row.line, *what, moment(row.arrived_at_ns)

    def _command(self, row: MovedCommand) -> Sequence[object]:
        position = self._bases.get(row.line, 0) + row.rank if row.rank else row.rank
        return row.agent_id, row.name, row.at_ns, position

    def _at(self, row: MovedExplanation | MovedSnapshot | MovedAside) -> int:
        """The position of a sample of a line by its rank."""
        return self._bases[row.line] + row.rank


def _as_it_is(row: Row) -> Sequence[object]:
    return [storable(each) if isinstance(each, str) else each for each in row]
