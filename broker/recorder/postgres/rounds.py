"""What is recorded: all that gathers while a commit is under way is the next one."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from broker.errors import RecordError, TakenError, UncertainError
from broker.recorder.postgres import partitions
from broker.recorder.postgres.held import Held
from broker.recorder.postgres.leases import Leases
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.primary import Primary
from broker.recorder.postgres.writing import Writing
from broker.records import Batch, Claim, Event, Lease
from quartet.foreign import shown
from quartet.outage import Outage

log = logging.getLogger(__name__)

# An agent waits as long for an answer, and then goes to another broker.
_ROUND_S = 10.0

# From one round to the next, at least. A round costs the server and its standby as much processor
# time as some 25 samples: without this, a hundred agents would be three of them in each.
_APART_S = 0.003

# A deadlock with a claim is over with the next try; and a day that is missing is made once.
_TRIES = 5

# Of one commit. What a thousand agents send after an outage, or a megabyte of state for each of
# them, would take longer than that, again and again; and a gigabyte is refused.
_MOST_BYTES = 4 << 20
_SAMPLE_BYTES = 64

# Ends of streams that wait for a commit: more than there are streams.
_MOST_ENDS = 65_536

_BEGIN_PLAIN = """
    INSERT INTO lines (peer, owner, claimer, generation, is_rehearsal)
    SELECT peer, $2, '', 0, false FROM unnest($1::text[]) AS given (peer) RETURNING line
"""
_OWNERS = "SELECT line, epoch, claimer FROM lines WHERE line = ANY($1::bigint[])"

_NO_SAMPLES = "samples cannot be recorded, their streams are ended: %s"
_NO_ENDS = "ends of streams cannot be recorded yet: %s"


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A stream of an agent that has ended: when, and how."""

    claim: Claim
    at_ns: int
    ended: Event


@dataclass(slots=True)
class _Round:
    """What gathers while the round before is under way."""

    entries: list[Batch | StreamEnd] = field(default_factory=list)
    """In the order in which they came."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when all entries are committed, or their leases failed."""


class PendingCommit:
    """The commit that a batch is part of, to be awaited. RecordError: the batch is lost."""

    __slots__ = ("_lease", "_settled")

    def __init__(self, settled: asyncio.Event | None, lease: Lease) -> None:
        self._settled = settled
        self._lease = lease

    def __await__(self) -> Generator[Any, None, None]:
        if self._settled:
            yield from self._settled.wait().__await__()
        self._lease.check()


class Rounds:
    """Commits one round after the other. Loop only."""

    def __init__(
        self,
        primary: Primary,
        leases: Leases,
        writing: Callable[[], Writing],
        at: Callable[[], datetime | None],
    ) -> None:
        """`at`: the time of arrival, in place of the server's."""
        self._primary = primary
        self._leases = leases
        self._writing = writing
        self._at = at
        self._gathering = _Round()
        self._running: _Round | None = None
        self._due = asyncio.Event()
        self._is_closed = False
        self._ends: deque[StreamEnd] = deque(maxlen=_MOST_ENDS)
        self._recording = Outage(log)
        self._noting = Outage(log)
        self.owner = 0
        """The number of this broker."""

    def record(self, batch: Batch) -> asyncio.Event:
        """Add a batch; what tells that it was dealt with. RecordError: the recorder is closed."""
        self.check()
        self._gathering.entries.append(batch)
        self._due.set()
        return self._gathering.settled

    def release(self, released: StreamEnd) -> None:
        """Add the end of a stream; in no hurry."""
        self._gathering.entries.append(released)

    def check(self) -> None:
        """Raise RecordError where the recorder is closed."""
        if self._is_closed:
            raise RecordError("the recorder is closed")

    def flush(self) -> None:
        """Have what gathered be committed, also where nobody waits for it."""
        if self._gathering.entries or self._ends:
            self._due.set()

    def close(self) -> None:
        """Make this round the last."""
        self._is_closed = True
        self._due.set()

    async def settled(self) -> None:
        """Return when all that was recorded before is committed, or its leases failed."""
        last = self._gathering if self._due.is_set() else self._running
        if last:
            await last.settled.wait()

    async def run(self) -> None:
        """Commit until closed, and all that has gathered by then."""
        began_s = -math.inf
        while self._gathering.entries or not self._is_closed:
            if not self._is_closed:
                await self._due.wait()
                await asyncio.sleep(began_s + _APART_S - time.monotonic())
            self._due.clear()
            began_s = time.monotonic()
            self._running, self._gathering = self._gathering, _Round()
            try:
                for portion in _portions(self._running.entries):
                    await self._write(portion)
            finally:
                self._running.settled.set()
                self._running = None

    async def _write(self, entries: Sequence[Batch | StreamEnd]) -> None:
        batches = [each for each in entries if isinstance(each, Batch)]
        ends = [*self._ends, *(each for each in entries if isinstance(each, StreamEnd))]
        if not (batches or ends):
            return
        try:
            link = await self._primary.link()
            await self._begin_plain(link, batches)
            writing = self._writing()
            for each in [*self._ends, *entries]:
                self._add(writing, each)
            if not writing.is_empty:
                owned = await self._commit(link, writing)
                await self._tell_others(link, writing.lines - owned, batches)
        except asyncio.CancelledError:
            for batch in batches:
                batch.claim.lease.fail(RecordError("the recorder is closed"))
            raise
        except Exception as error:  # whatever it is: streams wait to hear of it
            self._fail(batches, error)
            self._ends = deque(ends, _MOST_ENDS)
            return
        self._ends.clear()
        self._noting.ended("ends of streams are recorded again")
        if batches:
            self._recording.ended("samples are recorded again")

    def _add(self, writing: Writing, each: Batch | StreamEnd) -> None:
        """Add what does not rest on something lost."""
        lease = each.claim.lease
        held = self._leases.held(lease)
        if held is None:
            return
        if isinstance(each, StreamEnd):
            if held.is_begun:
                writing.happened(held, each.at_ns, each.ended)
        elif lease.is_good:
            writing.add(each, held)

    async def _begin_plain(self, link: Link, batches: Sequence[Batch]) -> None:
        """Make the lines of plain peers whose first batch this is."""
        leases = {
            each.claim.lease: each.claim.peer
            for each in batches
            if each.claim.header is None and not self._leases.held(each.claim.lease)
        }
        if leases:
            rows = await link.commit(
                _BEGIN_PLAIN, [*leases.values()], self.owner, timeout_s=_ROUND_S
            )
            for lease, row in zip(leases, rows, strict=True):
                self._leases.add(None, lease, Held(row["line"], 1, 0, is_passing=True, streams=1))

    async def _commit(self, link: Link, writing: Writing) -> set[int]:
        """Write it; the lines that were owned."""
        query, arguments = writing.built(self._at())
        for _ in range(_TRIES):
            try:
                rows = await link.commit(query, *arguments, timeout_s=_ROUND_S)
            except asyncpg.DeadlockDetectedError as error:
                failed: asyncpg.PostgresError = error
            except asyncpg.CheckViolationError as error:  # it has no partition for this day
                failed = error
                now = self._at() or (await link.ask("SELECT now()"))[0]["now"]
                await partitions.make(link, now.date())
            else:
                return {row["line"] for row in rows}
        raise failed

    async def _tell_others(self, link: Link, lines: set[int], batches: Sequence[Batch]) -> None:
        """Fail the leases of lines that another one has claimed: nothing of them was written."""
        if not lines:
            return
        owners = {row["line"]: row for row in await link.ask(_OWNERS, [*lines])}
        for each in batches:
            lease = each.claim.lease
            held = self._leases.held(lease)
            if held is None or held.line not in lines:
                continue
            owner = owners.get(held.line)
            if owner is None:
                lease.fail(RecordError("its records were deleted"))
            elif owner["epoch"] != held.epoch:
                lease.fail(TakenError(owner["claimer"]))
            else:
                lease.fail(RecordError("the broker cannot record samples: others were recorded"))

    def _fail(self, batches: Sequence[Batch], error: Exception) -> None:
        """End the streams that wait for a round that failed, or of which nobody knows."""
        # A primary that was told to be one no more ends no connection.
        if isinstance(error, UncertainError | asyncpg.ReadOnlySQLTransactionError):
            self._primary.lose(shown(error))
        outage = self._recording if batches else self._noting
        outage.failed(_NO_SAMPLES if batches else _NO_ENDS, shown(error))
        for batch in batches:
            batch.claim.lease.fail(RecordError(f"the broker cannot record samples: {shown(error)}"))


def _portions(entries: Sequence[Batch | StreamEnd]) -> Iterator[Sequence[Batch | StreamEnd]]:
    """What is committed at once, in the order in which it came; one portion at least."""
    first, size = 0, 0
    for number, each in enumerate(entries):
        if isinstance(each, StreamEnd):
            continue
        state = each.snapshot.state if each.snapshot else None
        added = _SAMPLE_BYTES * len(each.samples) + len(state or b"")
        if size and size + added > _MOST_BYTES:
            yield entries[first:number]
            first, size = number, 0
        size += added
    yield entries[first:]
