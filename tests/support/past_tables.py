"""A database that a test fills as it likes, as support.past does a file."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
from support.past import Taken
from support.postgres import Database

from broker.recorder.postgres.moment import moment
from broker.recorder.postgres.reader import PostgresReader

_COLUMNS = (
    *("line", "position", "session", "round", "sampled_at_ns", "arrived_at", "id"),
    *("sensor1", "sensor2", "sensor3", "sensor4", "prediction"),
)
_SAID = ("line", "position", "session", "id", "sampled_at_ns", "arrived_at", "text")

# Of a server that has had more transactions than any test has rounds.
_AHEAD = "UPDATE quartet_store SET ahead = 1000000000"


class PastTables:
    """Rows of a database, as brokers would have written them. Each sample is a round."""

    def __init__(self, database: Database, host: str = "1.2.3.4") -> None:
        """`host`: of all its agents."""
        self.reader = PostgresReader(database.url)
        """As the console gets it."""
        self.lines: dict[str, int] = {}
        self._database = database
        self._host = host
        self._heads: dict[int, int] = {}
        self._round = 0
        self._arrived_at_ns = 0
        self._do(lambda rows: rows.execute(_AHEAD))

    def add(self, agent: str | None, samples: Iterable[Taken]) -> None:
        """Record samples behind all others; an agent that is None is a plain peer."""
        self._do(lambda rows: self._add(rows, agent, [*samples]))

    async def _add(self, rows: asyncpg.Connection, agent: str | None, samples: list[Taken]) -> None:
        key = agent or "#"
        if key not in self.lines:
            self.lines[key] = line = await rows.fetchval(
                "INSERT INTO lines (agent_id, peer, claimer, generation, is_rehearsal, heard_at)"
                " VALUES ($1, '', '', 0, false, now()) RETURNING line",
                agent,
            )
            self._heads[line] = 0
            await rows.execute(
                "UPDATE lines SET peer = $1 WHERE line = $2", f"{self._host}:{line}", line
            )
        line = self.lines[key]
        records, said = [], []
        for taken in samples:
            self._heads[line] += 1
            self._round += 1
            # Rounds arrive one after the other, whenever their samples were taken.
            self._arrived_at_ns = max(taken.at_ns, self._arrived_at_ns + 1000)
            position, at = self._heads[line], moment(self._arrived_at_ns)
            values = *taken.values, taken.prediction
            records.append((line, position, 0, self._round, taken.at_ns, at, 0, *values))
            if taken.said:
                said.append((line, position, 0, 0, taken.at_ns, at, taken.said))
        await rows.copy_records_to_table("samples_kept", columns=_COLUMNS, records=records)
        await rows.copy_records_to_table("explanations", columns=_SAID, records=said)
        await self._mend(rows, line)

    def prune(self, agent: str, before_ns: int) -> None:
        """Delete samples as retention does."""
        query = "DELETE FROM samples_kept WHERE line = $1 AND sampled_at_ns < $2"
        self._do(lambda rows: rows.execute(query, self.lines[agent], before_ns))

    def lose_newest(self, count: int) -> None:
        """Have the database end before its newest samples, as a backup does."""

        async def lose(rows: asyncpg.Connection) -> None:
            self._round -= count
            await rows.execute("DELETE FROM samples_kept WHERE round > $1", self._round)
            for line in self._heads:
                query = "SELECT coalesce(max(position), 0) FROM samples_kept WHERE line = $1"
                self._heads[line] = await rows.fetchval(query, line)
                await self._mend(rows, line)

        self._do(lose)

    def forget(self, agent: str) -> None:
        """Delete all of an agent, as `broker forget` does."""
        line = self.lines.pop(agent)
        del self._heads[line]

        async def forget(rows: asyncpg.Connection) -> None:
            for table in ("samples_kept", "explanations", "lines"):
                await rows.execute(f"DELETE FROM {table} WHERE line = $1", line)  # noqa: S608

        self._do(forget)

    async def _mend(self, rows: asyncpg.Connection, line: int) -> None:
        """Have a line know its newest sample."""
        await rows.execute(
            "UPDATE lines SET head = $2, newest_at = (SELECT arrived_at FROM samples_kept"
            " WHERE line = $1 AND position = $2) WHERE line = $1",
            *(line, self._heads[line]),
        )

    def _do(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> None:
        """Have it done before anything else: in a thread with a loop of its own."""

        async def do() -> None:
            rows = await asyncpg.connect(self._database.url)
            try:
                async with rows.transaction():
                    await work(rows)
            finally:
                await rows.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, do()).result()

    async def close(self) -> None:
        """End the connections of its reader."""
        self.reader.close()
        await asyncio.sleep(0)
