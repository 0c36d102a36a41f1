"""The Reader of a store: each question on a connection of its own, beside the broker's."""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from broker.recorder.cursor import arrival_ns
from broker.recorder.fleet import Fleet
from broker.recorder.reader import (
    Accounts,
    Bulk,
    Command,
    Course,
    LineState,
    News,
    PlainAccount,
    RecordedEvent,
    RecordedExplanation,
    RecordedSample,
    RecordedSnapshot,
    Sessions,
    Span,
    Strip,
)
from broker.recorder.sqlite import accounts, commands, past
from broker.recorder.sqlite.beside import checked
from broker.recorder.sqlite.hold import lock_path
from broker.recorder.sqlite.keeping import CUT, REHEARSAL
from broker.recorder.sqlite.rows import (
    EVENT,
    EXPLANATION,
    SAMPLE,
    event_of,
    sample_of,
)
from broker.recorder.sqlite.schema import MIGRATIONS, damage_told
from broker.recorder.sqlite.signature import Note
from broker.recorder.sqlite.states import line_state, line_states
from broker.recorder.sqlite.strips import CHUNK, OTHERS, Walk, bulk, line_number
from quartet.clock import Clock
from quartet.database import connect_to_read, store_error, transaction_to_read
from quartet.lock import holder, read_note

Result = TypeVar("Result")

# Samples that are given at once.
_CHUNK = 500

# A position, and perhaps when its sample arrived: another store has another one there.
_CURSOR = re.compile("([0-9]{0,18})(?::([0-9]{1,19}))?")


class SqliteReader:
    """A Reader of a file. Its questions are asked in threads; one may be asked beside another."""

    def __init__(self, path: Path, clock: Clock = time) -> None:
        self._path = path
        self._clock = clock

    async def accounts(self) -> Accounts:
        """What became of each sample. Raises StoreError, as all do."""
        return await self._ask(accounts.accounts)

    async def sessions(self, agent_id: str, most: int) -> Sessions:
        """The accounts of an agent's newest sessions."""
        return await self._ask(lambda rows: accounts.sessions(rows, agent_id, most))

    async def lines(self) -> Sequence[LineState]:
        """The state of each agent's line, by agent id."""
        return await self._ask(line_states)

    async def line(self, agent_id: str) -> LineState | None:
        """The state of one agent's line; None: it has none."""
        return await self._ask(lambda rows: line_state(rows, agent_id))

    async def plain(self) -> PlainAccount:
        """The sum over the streams of plain peers that are still on record."""
        return await self._ask(accounts.plain)

    async def samples(self, agent_id: str, span: Span) -> AsyncIterator[Sequence[RecordedSample]]:
        """An agent's samples of this span, in the order of their records.

        Looks through all records of the line: no clock hides a sample, whatever it was set to.
        """
        connection = await asyncio.to_thread(self._open)
        try:
            line = await self._on(connection, lambda rows: line_number(rows, agent_id))
            behind = 0
            while end := await self._on(connection, lambda rows: _end(rows, line, behind)):  # noqa: B023
                while behind < end:
                    rows = await self._on(
                        connection,
                        lambda rows: rows.execute(
                            f"{SAMPLE} WHERE samples.line = ? AND position > ? AND position <= ?"
                            " AND sampled_at_ns >= ? AND sampled_at_ns < ?"
                            " ORDER BY position LIMIT ?",
                            (line, behind, end, span.since_ns, span.until_ns, _CHUNK),  # noqa: B023
                        ).fetchall(),
                    )
                    if rows:
                        yield [sample_of(row) for row in rows]
                    behind = rows[-1][-1] if len(rows) == _CHUNK else end
        finally:
            connection.close()

    async def recent(self, agent_id: str, since_ns: int, most: int) -> Sequence[RecordedSample]:
        """An agent's newest samples that arrived at this time or later."""
        return await self._ask(lambda rows: past.recent(rows, agent_id, since_ns, most))

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

    async def snapshot(self, agent_id: str, at_ns: int) -> RecordedSnapshot | None:
        """The newest state of a black box up to a time of sampling, or the oldest."""
        return await self._ask(lambda rows: past.snapshot(rows, agent_id, at_ns))

    async def course(self, agent_id: str, cursor: str, most: int) -> Course:
        """The next samples that a black box saw, with its states on record between them."""
        return await self._ask(lambda rows: past.course(rows, agent_id, cursor, most))

    async def served_since(self) -> int | None:
        """When the broker that runs has opened the store; None: no broker runs."""
        return await asyncio.to_thread(self._served_since)

    def _served_since(self) -> int | None:
        lock = lock_path(self._path.resolve())
        return Note.parse(read_note(lock)).signed_at_ns if holder(lock) else None

    async def fleet(self) -> Fleet | None:
        """A file has one broker."""
        return None

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
        position, _ = _position(cursor, most)
        rows = await self._select(
            f"{SAMPLE} WHERE position > ? ORDER BY position LIMIT ?", *(position, most)
        )
        position = rows[-1][-1] if rows else position
        return News([sample_of(row) for row in rows if row[0] is not None], str(position))

    async def bulk(self, cursor: str, most: int) -> Bulk:
        """The same as strips."""
        try:
            position, mark = _position(cursor, most)
        except ValueError:
            if most < 1:
                raise
            position, mark = OTHERS, arrival_ns(cursor)
        return await self._ask(lambda rows: bulk(rows, position, mark, most))

    async def strip(self, agent_id: str, span: Span, most: int, behind: str = "") -> Strip | None:
        """An agent's samples of a span as one strip, if they are not too many."""
        walk = Walk(agent_id, span, _position(behind, most)[0])
        connection = await asyncio.to_thread(self._open)
        try:
            while not walk.is_done and len(walk) <= most:
                await self._on(connection, walk.step)
        finally:
            connection.close()
        return walk.strip() if len(walk) <= most else None

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


def _position(cursor: str, most: int) -> tuple[int, int | None]:
    """What a cursor says: a position, and when its sample arrived."""
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise ValueError(f"{cursor!r} is not a cursor of this store")
    if most < 1:
        raise ValueError(f"most: at least 1 sample, not {most}")
    position, mark = match.groups()
    return int(position or 0), None if mark is None else int(mark)


def _end(rows: sqlite3.Connection, line: int, behind: int) -> int:
    """The last position of the next part of a line; 0 at the end."""
    found: int | None = rows.execute(
        "SELECT max(position) FROM (SELECT position FROM samples WHERE line = ? AND position > ?"
        " ORDER BY position LIMIT ?)",
        (line, behind, CHUNK),
    ).fetchone()[0]
    return found or 0
