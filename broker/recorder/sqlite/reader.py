"""The Reader of a store: each question on a connection of its own, beside the broker's."""

import asyncio
import re
import sqlite3
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from broker.recorder.reader import (
    Accounts,
    Bucket,
    Command,
    LineState,
    News,
    PlainAccount,
    RecordedExplanation,
    RecordedSample,
    SessionAccount,
    Span,
    outline,
)
from broker.recorder.sqlite import commands
from broker.recorder.sqlite.beside import checked
from broker.recorder.sqlite.checksums import SENSORS
from broker.recorder.sqlite.keeping import CUT
from broker.recorder.sqlite.schema import MIGRATIONS, damage_told
from broker.recorder.upkeep import Loss
from quartet.clock import Clock
from quartet.database import connect_to_read, store_error, transaction_to_read
from quartet.errors import DamagedError
from quartet.plural import counted

Result = TypeVar("Result")

# Looked at in one transaction: some milliseconds, in which the file's log cannot be emptied.
_CHUNK = 500

# How far a device's clock may be ahead of the broker's.
_MARGIN_NS = 3600 * 10**9

_CURSOR = re.compile("[0-9]{0,18}")

_SAMPLE = (
    "SELECT lines.agent_id, ifnull(sessions.id, ''), samples.id, sensors, sampled_at_ns,"
    " arrived_at_ns, prediction, position FROM samples JOIN lines ON lines.line = samples.line"
    " LEFT JOIN sessions ON sessions.session = samples.session"
)
_EXPLANATION = (
    "SELECT ifnull(sessions.id, ''), explanations.id, sampled_at_ns, text FROM explanations"
    " JOIN samples USING (position)"
    " LEFT JOIN sessions ON sessions.session = explanations.session"
)


class SqliteReader:
    """A Reader of a file. Its questions are asked in threads; one may be asked beside another."""

    def __init__(self, path: Path, clock: Clock = time) -> None:
        self._path = path
        self._clock = clock

    async def accounts(self) -> Accounts:
        """What became of each sample. Raises StoreError, as all do."""
        return await self._ask(_accounts)

    async def lines(self) -> Sequence[LineState]:
        """The state of each agent's line, by agent id."""
        return await self._ask(_lines)

    async def samples(self, agent_id: str, span: Span) -> AsyncIterator[Sequence[RecordedSample]]:
        """An agent's samples of this span, in the order of their records.

        Looks through all records of the line from an hour before the span on: a sample arrives
        after it was taken, however late. Only what was taken by a clock that was more than an
        hour ahead of the broker's may be left out.
        """
        connection = await asyncio.to_thread(self._open)
        try:
            line, behind = await self._on(connection, lambda rows: _start(rows, agent_id, span))
            while end := await self._on(connection, lambda rows: _end(rows, line, behind)):  # noqa: B023
                rows = await self._on(
                    connection,
                    lambda rows: rows.execute(
                        f"{_SAMPLE} WHERE samples.line = ? AND position > ? AND position <= ?"
                        " AND sampled_at_ns >= ? AND sampled_at_ns < ? ORDER BY position",
                        (line, behind, end, span.since_ns, span.until_ns),  # noqa: B023
                    ).fetchall(),
                )
                if rows:
                    yield [_sample(row) for row in rows]
                behind = end
        finally:
            connection.close()

    async def outline(self, agent_id: str, span: Span, buckets: int) -> Sequence[Bucket]:
        """The samples of a span as a picture."""
        return await outline(self.samples(agent_id, span), span, buckets)

    async def explanations(self, agent_id: str, span: Span) -> Sequence[RecordedExplanation]:
        """What was said about the samples of a span."""
        rows = await self._select(
            f"{_EXPLANATION} JOIN lines ON lines.line = explanations.line"
            " WHERE agent_id = ? AND sampled_at_ns >= ? AND sampled_at_ns < ? ORDER BY position",
            *(agent_id, span.since_ns, span.until_ns),
        )
        return [RecordedExplanation(*row) for row in rows]

    async def commands(self, agent_id: str) -> Sequence[Command]:
        """The latest command that was applied, and those that wait."""
        rows = await self._select(
            "SELECT name, at_ns, position FROM commands WHERE agent_id = ? AND name != ?"
            " ORDER BY command",
            *(agent_id, CUT),
        )
        return [Command(name, at_ns, position is not None) for name, at_ns, position in rows]

    async def command_rebase(self, agent_id: str) -> None:
        """Reset a line's black box. CommandError for an agent that the store does not know."""
        await asyncio.to_thread(commands.rebase, self._path, agent_id, self._clock)

    async def command_forget(self, agent_id: str) -> int | None:
        """Delete all of an agent: at once, or by the broker that runs, which gives None."""
        return await asyncio.to_thread(commands.forget, self._path, agent_id, self._clock)

    async def tail(self) -> str:
        """The cursor behind the newest sample."""
        ((position,),) = await self._select("SELECT ifnull(max(position), 0) FROM samples")
        return str(position)

    async def news(self, cursor: str, most: int) -> News:
        """Samples of all agents behind a cursor, which is a position."""
        if not _CURSOR.fullmatch(cursor):
            raise ValueError(f"{cursor!r} is not a cursor of this store")
        if most < 1:
            raise ValueError(f"most: at least 1 sample, not {most}")
        position = int(cursor or 0)
        rows = await self._select(
            f"{_SAMPLE} WHERE position > ? ORDER BY position LIMIT ?", *(position, most)
        )
        position = rows[-1][-1] if rows else position
        return News([_sample(row) for row in rows if row[0] is not None], str(position))

    async def _select(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return await self._ask(lambda rows: rows.execute(query, parameters).fetchall())

    async def _ask(self, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = await asyncio.to_thread(self._open)
        try:
            return await self._on(connection, ask)
        finally:
            connection.close()

    async def _on(
        self, connection: sqlite3.Connection, ask: Callable[[sqlite3.Connection], Result]
    ) -> Result:
        """Ask once, of one state of the store, whatever a broker writes meanwhile.

        Also where the caller is cancelled, the thread is done with the connection at the end.
        """

        def now() -> Result:
            with damage_told(self._path):
                try:
                    with transaction_to_read(connection):
                        return ask(connection)
                except (sqlite3.Error, UnicodeDecodeError) as error:
                    raise store_error(self._path, error) from error

        asking = asyncio.create_task(asyncio.to_thread(now))
        try:
            return await asyncio.shield(asking)
        finally:
            await asyncio.wait([asking])

    def _open(self) -> sqlite3.Connection:
        with checked(self._path):
            return connect_to_read(self._path, len(MIGRATIONS))


def _sample(row: tuple[Any, ...]) -> RecordedSample:
    agent_id, session_id, id_, sensors, sampled_at_ns, arrived_at_ns, prediction, _ = row
    try:
        values = SENSORS.unpack(sensors)
    except (struct.error, TypeError) as error:
        raise DamagedError(f"sample {id_} of {agent_id} is damaged: {error}") from error
    return RecordedSample(
        agent_id, session_id, id_, values, sampled_at_ns, arrived_at_ns, bool(prediction)
    )


def _accounts(rows: sqlite3.Connection) -> Accounts:
    _look_through(rows)
    missing: dict[int, list[tuple[int, int]]] = {}
    for session, first, last in rows.execute("SELECT * FROM gaps ORDER BY session, first"):
        missing.setdefault(session, []).append((first, last))
    sessions = rows.execute(
        "SELECT session, agent_id, id, first_id, last_id, received, answered, duplicates, refused,"
        " gaps, digest FROM sessions JOIN lines USING (line) WHERE agent_id IS NOT NULL"
        " ORDER BY session"
    )
    plain = rows.execute(
        "SELECT count(*), ifnull(sum(received), 0), ifnull(sum(answered), 0)"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NULL AND id IS NULL"
    ).fetchone()
    lost = rows.execute(
        "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY rowid"
    )
    return Accounts(
        [SessionAccount(*[*row[1:], missing.get(row[0], [])]) for row in sessions],
        PlainAccount(*plain),
        [Loss(*row) for row in lost],
    )


def _look_through(rows: sqlite3.Connection) -> None:
    """Raise DatabaseError where the indexes of samples are damaged. Reads no sample."""
    by_id, by_line = rows.execute(
        "SELECT (SELECT count(*) FROM samples INDEXED BY samples_by_id WHERE session > 0),"
        " (SELECT count(*) FROM samples INDEXED BY samples_by_line WHERE line > 0)"
    ).fetchone()
    if by_id != by_line:
        raise sqlite3.DatabaseError(
            f"{counted(by_id, 'sample')} by their ids, {by_line} by their agents"
        )


def _lines(rows: sqlite3.Connection) -> list[LineState]:
    lines = rows.execute(
        "SELECT line, agent_id, peer FROM lines WHERE agent_id IS NOT NULL ORDER BY agent_id"
    ).fetchall()
    return [_line_state(rows, *line) for line in lines]


def _line_state(rows: sqlite3.Connection, line: int, agent_id: str, peer: str) -> LineState:
    oldest, latest, said = (
        rows.execute(query, (line,)).fetchone()
        for query in (
            "SELECT sampled_at_ns FROM samples WHERE line = ? ORDER BY position LIMIT 1",
            f"{_SAMPLE} WHERE samples.line = ? ORDER BY position DESC LIMIT 1",
            f"{_EXPLANATION} WHERE explanations.line = ? ORDER BY position DESC LIMIT 1",
        )
    )
    return LineState(
        agent_id,
        peer,
        oldest and oldest[0],
        latest and _sample(latest),
        said and RecordedExplanation(*said),
    )


def _start(rows: sqlite3.Connection, agent_id: str, span: Span) -> tuple[int, int]:
    """The line of an agent, 0 for none, and a position behind which all of the span lies."""
    row = rows.execute("SELECT line FROM lines WHERE agent_id = ?", (agent_id,)).fetchone()
    line: int = row[0] if row else 0
    since_ns = span.since_ns - _MARGIN_NS
    begin, end = 0, 1 + rows.execute("SELECT ifnull(max(position), 0) FROM samples").fetchone()[0]
    while begin < end:  # positions rise with the times of arrival
        middle = (begin + end) // 2
        found = rows.execute(
            "SELECT position, arrived_at_ns FROM samples WHERE line = ? AND position >= ?"
            " ORDER BY position LIMIT 1",
            (line, middle),
        ).fetchone()
        if found and found[1] < since_ns:
            begin = found[0] + 1
        else:
            end = middle
    return line, begin - 1


def _end(rows: sqlite3.Connection, line: int, behind: int) -> int:
    """The last position of the next part of a line; 0 at the end."""
    found: int | None = rows.execute(
        "SELECT max(position) FROM (SELECT position FROM samples WHERE line = ? AND position > ?"
        " ORDER BY position LIMIT ?)",
        (line, behind, _CHUNK),
    ).fetchone()[0]
    return found or 0
