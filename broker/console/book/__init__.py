"""What the console remembers: history in few bytes, alarms, and what people did (console.db)."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from broker.console.book import writings
from broker.console.book.database import Database
from broker.console.book.feed import CHUNK, Feed
from broker.console.book.model import (
    Acknowledgement,
    Act,
    AlarmQuery,
    Note,
    RecordedAlarm,
    Series,
)
from broker.console.book.series import beginning, series
from broker.recorder.reader import Reader, Span
from quartet.clock import Clock


class Book:
    """Any task may ask. Each method raises StoreError where console.db cannot be used."""

    def __init__(self, database: Database, clock: Clock = time, chunk: int = CHUNK) -> None:
        self.database = database
        """For what else is kept in the file."""
        self._clock = clock
        self._feed = Feed(database, clock, chunk)

    @classmethod
    async def open(cls, path: Path, clock: Clock = time) -> Self:
        """Open console.db, or make it. See Database for what becomes of a damaged one."""
        return cls(await Database.open(path, clock), clock)

    @property
    def remarks(self) -> Sequence[str]:
        """What happened to the file and to the history, for a page."""
        return [*self.database.remarks, *self._feed.remarks]

    async def close(self) -> None:
        """Save what is pending, and close the file."""
        try:
            await self._feed.save()
        finally:
            await self.database.close()
            self._feed.close()

    async def feed(self, reader: Reader) -> bool:
        """Read the next samples of the store; whether there may be more. One task at a time.

        StoreError: of the store, or of console.db; the next call tries again.
        """
        return await self._feed.step(reader)

    @property
    def read_at_s(self) -> float:
        """All that was on record then, by the monotonic clock, is in open_alarms()."""
        return self._feed.read_at_s

    async def behind(self) -> str:
        """Up to when the store is read, or why not, for a page; empty: to its end."""
        return self._feed.behind()

    async def series(self, reader: Reader, agent_id: str, span: Span, most: int) -> Series:
        """An agent's samples of a span, in about `most` buckets: one for each pixel.

        ValueError for a span that ends before it begins, and unless 1 <= most <= 4000.
        """
        return await series(self._feed, reader, agent_id, span, most)

    async def begins(self, agent_id: str) -> int | None:
        """When the first sample was taken that is in an agent's history; None: there is none."""
        return await self.database.read(lambda rows: beginning(rows, self._feed, agent_id))

    async def alarms(self, query: AlarmQuery) -> Sequence[RecordedAlarm]:
        """Those that meet the query, newest first."""
        return await self.database.read(lambda rows: writings.alarms(rows, query))

    async def acknowledge(self, agent_id: str, begun_at_ns: int, by: str, note: str) -> None:
        """Note that somebody knows of the alarm that began, or was on, at this time.

        CommandError for an alarm that does not exist, and for a text that is too long.
        """
        known = Acknowledgement(by, self._clock.time_ns(), note)
        await self.database.write(
            lambda rows: writings.acknowledge(rows, agent_id, begun_at_ns, known)
        )

    async def open_alarms(self) -> Mapping[str, RecordedAlarm]:
        """The alarms that have not ended, by agent."""
        found = await self.database.read(writings.open_alarms)
        return {alarm.agent_id: alarm for alarm in found}

    async def add_note(self, agent_id: str, at_ns: int, by: str, text: str) -> None:
        """Add a note about a moment. CommandError for a text that is empty or too long."""
        note = Note(at_ns, by, text, self._clock.time_ns())
        await self.database.write(lambda rows: writings.add_note(rows, agent_id, note))

    async def notes(self, agent_id: str, span: Span) -> Sequence[Note]:
        """What was noted about an agent in a span, in its order."""
        return await self.database.read(lambda rows: writings.notes(rows, agent_id, span))

    async def resets(self, agent_id: str) -> Sequence[tuple[int, str]]:
        """When a reset of an agent's model was asked for at the console, and by whom, in order."""
        return await self.database.read(lambda rows: writings.resets(rows, agent_id))

    async def record(self, act: Act) -> None:
        """Add an act to the audit."""
        await self.database.write(lambda rows: writings.record(rows, act))

    async def acts(self, before: int, most: int) -> Sequence[tuple[int, Act]]:
        """The acts of the audit whose number is below one, with their numbers, newest first."""
        return await self.database.read(lambda rows: writings.acts(rows, before, most))
