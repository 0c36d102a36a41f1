"""Reads the store into console.db: each sample once, in the order of the records."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from broker.console.book import another, tables
from broker.console.book.database import Database
from broker.console.book.endings import Endings
from broker.console.book.pending import Pending
from broker.recorder.reader import Bulk, Reader
from quartet.clock import Clock
from quartet.errors import InUseError, StoreError
from quartet.lock import FileLock
from quartet.plural import counted

# Samples that are read at once: some 30 ms, and 3 MB of memory.
CHUNK = 20_000

# How long samples may wait to be saved: written each second, the same buckets of a fleet would
# cost a disk 40 GB a day.
SAVE_S = 60.0


# A clock that is further ahead is wrong, and its buckets would be in the way for ever.
AHEAD_NS = 86_400 * 10**9

# Agents in a remark.
_MOST_NAMED = 5

# Between two looks at what is too old, or gone: of one agent each.
HOUSE_S = 2.0


class Feed:
    """One task at a time reads. What is pending is guarded by: the database's thread."""

    def __init__(self, database: Database, clock: Clock, chunk: int = CHUNK) -> None:
        self.database = database
        self._clock = clock
        self._chunk = chunk
        self._reading = asyncio.Lock()
        self.pending = Pending("", "")
        self._is_loaded = False
        self._is_known = False
        self._is_tidy = False
        self._lock: FileLock | None = None
        self._owner = ""
        self._saved_s = clock.monotonic()
        self._is_behind = True
        self._are_runs_written = True
        self.read_at_s = float("-inf")
        """All alarms of what was on record then, by the monotonic clock, are in the file."""
        self._trouble = ""
        self._house_s = clock.monotonic()
        self._asked = 0
        self._endings = Endings()
        self._damaged = 0
        self._ahead: Counter[str] = Counter()
        self._remarks: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """What became of the history, for a page."""
        found = [*self._remarks]
        if self._owner:
            found.append(
                f"process {self._owner} reads the history for this console, too: both use"
                f" {self.database.path}"
            )
        if self._ahead:
            named = ", ".join(sorted(self._ahead)[:_MOST_NAMED])
            found.append(
                f"{counted(self._ahead.total(), 'sample', 'is', 'are')} not in the history: more"
                f" than a day ahead of this machine's clock. Set the clock of {named}"
            )
        if self._damaged:
            found.append(
                f"{counted(self._damaged, 'damaged sample', 'is', 'are')} not in the history:"
                " 'broker store check' tells which"
            )
        return found

    async def step(self, reader: Reader) -> bool:
        """Read the next samples, or keep house where all are read; whether there may be more."""
        async with self._reading:
            try:
                has_more = await self._step(reader)
            except StoreError as error:
                self._trouble = f"history is not read now: {error}"
                raise
            self._trouble = ""
            return has_more

    def behind(self) -> str:
        """Up to when the store is read, for a page; empty: to its end."""
        if self._trouble or not self._is_behind:
            return self._trouble
        at_ns = self.pending.arrived_at_ns
        if not at_ns:
            return "history is being read"
        at = datetime.fromtimestamp(at_ns / 1e9, UTC)
        return f"history is being read: up to {at:%Y-%m-%d %H:%M} UTC"

    def is_pending(self, rows: sqlite3.Connection) -> bool:
        """Whether what is pending is to be added to what the file has. In the database's thread."""
        return self._is_loaded and tables.progress(rows)[0] == self.pending.base

    def cursor(self, rows: sqlite3.Connection) -> str:
        """Behind the samples that are in the file or pending. In the database's thread."""
        return self.pending.cursor if self.is_pending(rows) else tables.progress(rows)[0]

    def close(self) -> None:
        """Let another console read."""
        if self._lock:
            self._lock.close()
        self._lock = None

    async def save(self) -> None:
        """Save what is pending. StoreError: it stays pending."""
        if self.pending.cursor == self.pending.base:
            return
        pending = self.pending

        def save(rows: sqlite3.Connection) -> None:
            if tables.save(rows, pending):
                pending.saved()  # where this is not committed, all of it is void, and read again

        await self.database.write(save)
        self._saved_s = self._clock.monotonic()

    async def _step(self, reader: Reader) -> bool:
        await self.database.read(self._load)
        if not self._may_read():
            self._is_behind = False
            late_s = (self._clock.time_ns() - self.pending.arrived_at_ns) / 1e9
            self.read_at_s = self._clock.monotonic() - max(0.0, late_s)
            return False
        if self.pending.cursor and not self._is_known:
            await self._check(reader)
        self._is_known = True
        if self._is_due():
            await self.save()
        asked_at_s = self._clock.monotonic()
        bulk = await reader.bulk(self.pending.cursor, self._chunk)
        returned = await self.database.read(lambda rows: self._returned(rows, bulk))
        # Samples of former times, of lines that are new: of a store that was put in its place.
        is_older = (bulk.arrived_at_ns or 0) < self.pending.arrived_at_ns
        if bulk.is_another or (returned and is_older):
            await self._begin_again(reader, bulk.cursor if bulk.is_another else "")
            return await self._step(reader)
        for agent_id in returned:
            await self._forget(agent_id)
        if bulk.cursor != self.pending.cursor:
            await self._take(bulk)
            self._damaged += bulk.damaged
        if bulk.is_last and not self._is_tidy:
            tails = self.pending.tails
            await self.database.write(lambda rows: tables.end_alarms(rows, tails))
            self._is_tidy = True
        if bulk.is_last and self._are_runs_written:
            self.read_at_s = asked_at_s
        self._is_behind = not bulk.is_last
        if bulk.is_last and self._clock.monotonic() - self._house_s >= HOUSE_S:
            self._house_s = self._clock.monotonic()
            await self._end_alarms(reader)
            await self._keep_house(reader)
        return not bulk.is_last

    def _may_read(self) -> bool:
        """Whether no other console reads into the same file: one of them does, the others look."""
        if self._lock is None:
            path = self.database.path.resolve()
            try:
                self._lock = FileLock(path.with_name(f"{path.name}.lock"))
            except InUseError as error:
                self._owner = error.owner
                return False
            except OSError as error:
                raise StoreError(f"{path}: cannot be locked: {error.strerror}", path) from error
            self._owner = ""
        return True

    def _load(self, rows: sqlite3.Connection) -> None:
        """Go back to what the file has, where something else has written to it."""
        if not self.is_pending(rows):
            cursor, arrived_at_ns = tables.progress(rows)
            self.pending = Pending(cursor, cursor, arrived_at_ns)
            self._is_loaded, self._is_tidy, self.read_at_s = True, False, float("-inf")

    def _is_due(self) -> bool:
        is_late = self._clock.monotonic() - self._saved_s >= SAVE_S
        return self.pending.samples >= self._chunk or is_late

    async def _take(self, bulk: Bulk) -> None:
        if await self.database.read(self._taking(bulk)) or not self._are_runs_written:
            self._are_runs_written = False
            runs = self.pending.runs
            await self.database.write(lambda rows: tables.save_runs(rows, runs))
            self._are_runs_written = True

    def _taking(self, bulk: Bulk) -> Callable[[sqlite3.Connection], bool]:
        def take(rows: sqlite3.Connection) -> bool:
            for strip in bulk.strips:
                self._look_up(rows, strip.agent_id)
            until_ns = self._clock.time_ns() + AHEAD_NS
            changed, ahead = self.pending.take(bulk, until_ns)
            self._ahead.update(ahead)
            return changed

        return take

    def _look_up(self, rows: sqlite3.Connection, agent_id: str) -> str:
        """Have what is pending know a line; its peer."""
        if agent_id not in self.pending.tails:
            self.pending.tails[agent_id] = tables.tail(rows, agent_id)
            self.pending.peers[agent_id] = tables.peer(rows, agent_id)
        return self.pending.peers[agent_id]

    def _returned(self, rows: sqlite3.Connection, bulk: Bulk) -> list[str]:
        """Agents of which another line was read: they were forgotten, and are back."""
        found = []
        for strip in bulk.strips:
            known = self._look_up(rows, strip.agent_id)
            if strip.peer and known not in {"", strip.peer}:
                found.append(strip.agent_id)
        return found

    async def _check(self, reader: Reader) -> None:
        """Tell another store from this one, where the cursor does not: before anything is taken."""
        lines = await reader.lines()
        if await self.database.read(lambda rows: another.is_foreign(rows, lines)):
            await self._begin_again(reader, "")
            await self.database.read(self._load)

    async def _begin_again(self, reader: Reader, cursor: str) -> None:
        """Go on in a store that does not have what was read of it; all that is known is kept."""
        await self.save()
        lines = await reader.lines()
        same = await self.database.read(lambda rows: another.known(rows, lines))
        if same:
            said = (
                "the store was moved or restored, or has lost its newest samples: the history has"
                " them"
            )
        else:
            said = "the store is another one: what it has is read again"
            cursor = ""
            for line in lines:
                while await self.database.write(lambda rows: another.delete_step(rows, line)):  # noqa: B023
                    pass
        await self.database.write(lambda rows: another.go_on(rows, same, cursor))
        self._is_loaded, self._is_behind = False, True
        self._are_runs_written, self.read_at_s = True, float("-inf")
        self._remarks.append(f"{said}; older history, notes and acknowledgements are kept")

    async def _keep_house(self, reader: Reader) -> None:
        """Look after one agent, or delete a part of what was forgotten."""
        if await self.database.write(tables.delete_step):
            return
        agents = await self.database.read(tables.agents)
        if not agents:
            return
        agent_id = agents[self._asked % len(agents)]
        was_known = await self.database.read(lambda rows: bool(self._look_up(rows, agent_id)))
        if was_known and await reader.line(agent_id) is None:
            await self._forget(agent_id)
            return
        now_ns = self._clock.time_ns()
        if not await self.database.write(lambda rows: tables.prune_step(rows, agent_id, now_ns)):
            self._asked += 1

    async def _end_alarms(self, reader: Reader) -> None:
        agents = await self.database.read(tables.in_alarm)
        for agent_id in await self._endings.find(reader, agents, self._clock.time_ns()):
            await self.save()
            await self.database.write(partial(tables.end_alarm, agent_id=agent_id))
            self.pending.tails.pop(agent_id, None)

    async def _forget(self, agent_id: str) -> None:
        await self.save()
        await self.database.write(lambda rows: tables.forget(rows, agent_id))
        self.pending.tails.pop(agent_id, None)
        self.pending.peers.pop(agent_id, None)
