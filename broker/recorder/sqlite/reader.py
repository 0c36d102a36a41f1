"""The Reader of a store: each question on a connection of its own, beside the broker's."""

import asyncio
import re
import sqlite3
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
    RecordedEvent,
    RecordedExplanation,
    RecordedSample,
    SessionAccount,
    Span,
    outline,
)
from broker.recorder.sqlite import commands
from broker.recorder.sqlite.beside import checked
from broker.recorder.sqlite.hold import lock_path
from broker.recorder.sqlite.keeping import CUT, REHEARSAL
from broker.recorder.sqlite.rows import (
    EVENT,
    EXPLANATION,
    IS_REHEARSAL,
    SAMPLE,
    event_of,
    sample_of,
)
from broker.recorder.sqlite.schema import MIGRATIONS, damage_told
from broker.recorder.sqlite.signature import Note
from broker.recorder.sqlite.states import line_state, line_states
from broker.recorder.upkeep import Loss
from quartet.clock import Clock
from quartet.database import connect_to_read, store_error, transaction_to_read
from quartet.lock import holder, read_note
from quartet.plural import counted

Result = TypeVar("Result")

# Looked at in one transaction: some milliseconds, in which the file's log cannot be emptied.
_CHUNK = 500

# How far a device's clock may be ahead of the broker's.
_MARGIN_NS = 3600 * 10**9

_CURSOR = re.compile("[0-9]{0,18}")


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
        return await self._ask(line_states)

    async def line(self, agent_id: str) -> LineState | None:
        """The state of one agent's line; None: it has none."""
        return await self._ask(lambda rows: line_state(rows, agent_id))

    async def plain(self) -> PlainAccount:
        """The sum over the streams of plain peers that are still on record."""
        return await self._ask(_plain)

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
                        f"{SAMPLE} WHERE samples.line = ? AND position > ? AND position <= ?"
                        " AND sampled_at_ns >= ? AND sampled_at_ns < ? ORDER BY position",
                        (line, behind, end, span.since_ns, span.until_ns),  # noqa: B023
                    ).fetchall(),
                )
                if rows:
                    yield [sample_of(row) for row in rows]
                behind = end
        finally:
            connection.close()

    async def outline(self, agent_id: str, span: Span, buckets: int) -> Sequence[Bucket]:
        """The samples of a span as a picture."""
        return await outline(self.samples(agent_id, span), span, buckets)

    async def explanations(self, agent_id: str, span: Span) -> Sequence[RecordedExplanation]:
        """What was said about the samples of a span."""
        rows = await self._select(
            f"{EXPLANATION} JOIN lines ON lines.line = explanations.line"
            " WHERE agent_id = ? AND sampled_at_ns >= ? AND sampled_at_ns < ? ORDER BY position",
            *(agent_id, span.since_ns, span.until_ns),
        )
        return [RecordedExplanation(*row) for row in rows]

    async def events(self, agent_id: str, span: Span) -> Sequence[RecordedEvent]:
        """What happened to an agent's line in a span."""
        rows = await self._select(
            f"{EVENT} JOIN lines USING (line)"
            " WHERE agent_id = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns, event",
            *(agent_id, span.since_ns, span.until_ns),
        )
        return [event_of(row) for row in rows]

    async def served_since(self) -> int | None:
        """When the broker that runs has opened the store; None: no broker runs."""
        return await asyncio.to_thread(self._served_since)

    def _served_since(self) -> int | None:
        lock = lock_path(self._path.resolve())
        return Note.parse(read_note(lock)).signed_at_ns if holder(lock) else None

    async def commands(self, agent_id: str) -> Sequence[Command]:
        """The latest command that was applied, and those that wait."""
        rows = await self._select(
            "SELECT name, at_ns, position FROM commands WHERE agent_id = ?"
            " AND name NOT IN (?, ?) ORDER BY command",
            *(agent_id, CUT, REHEARSAL),
        )
        return [Command(name, at_ns, position is not None) for name, at_ns, position in rows]

    async def command_rebase(self, agent_id: str) -> bool:
        """Reset a line's black box; whether a broker runs, which will."""
        return await asyncio.to_thread(commands.rebase, self._path, agent_id, self._clock)

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
            f"{SAMPLE} WHERE position > ? ORDER BY position LIMIT ?", *(position, most)
        )
        position = rows[-1][-1] if rows else position
        return News([sample_of(row) for row in rows if row[0] is not None], str(position))

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


def _accounts(rows: sqlite3.Connection) -> Accounts:
    _look_through(rows)
    missing: dict[int, list[tuple[int, int]]] = {}
    for session, first, last in rows.execute("SELECT * FROM gaps ORDER BY session, first"):
        missing.setdefault(session, []).append((first, last))
    sessions = rows.execute(
        "SELECT session, agent_id, id, first_id, last_id, received, answered, duplicates, refused,"  # noqa: S608
        f" gaps, digest, {IS_REHEARSAL} FROM sessions JOIN lines USING (line)"
        " WHERE agent_id IS NOT NULL ORDER BY session",
        (REHEARSAL,),
    )
    lost = rows.execute(
        "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY rowid"
    )
    return Accounts(
        [
            SessionAccount(*[*row, missing.get(session, []), bool(is_rehearsal)])
            for session, *row, is_rehearsal in sessions
        ],
        _plain(rows),
        [Loss(*row) for row in lost],
    )


def _plain(rows: sqlite3.Connection) -> PlainAccount:
    counts = rows.execute(
        "SELECT count(*), ifnull(sum(received), 0), ifnull(sum(answered), 0)"
        " FROM sessions JOIN lines USING (line) WHERE agent_id IS NULL AND id IS NULL"
    ).fetchone()
    return PlainAccount(*counts)


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
