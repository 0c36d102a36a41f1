"""Which lines a store has: since when, when they were heard last, and about how much they hold."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from weakref import ref

from broker.recorder.sqlite.keeping import NOBODY, REHEARSAL
from broker.records import Batch, Claim
from quartet.clock import Clock

# Measured: what a sample and what a line with a session take, with their places in the indexes.
_SAMPLE_BYTES = 80
_LINE_BYTES = 160

# Number of lines read, and of samples counted, in one step: it takes some milliseconds.
_LINES = 200
_SAMPLES = 5000

_YOUNG_NS = 86_400 * 10**9

Holder = str | int
"""Who claims: an agent by its id, a plain peer by the number of its line."""


@dataclass(slots=True)
class Resident:
    """What is known of one line."""

    line: int
    agent_id: str | None
    born_ns: int
    """When its first session began, by the broker's clock."""
    heard: int = 0
    """The position of its newest sample: the lower, the longer it has been silent."""
    samples: int = 0
    """Counted while the line is young, as bytes are."""
    bytes: float = _LINE_BYTES
    """An estimate."""
    snapshot_bytes: int = 0
    is_rehearsal: bool = False
    """Only simulations have streamed."""
    is_empty: bool = True
    """Nothing is left but the last ids of its sessions."""
    is_cut: bool = False
    """Its history was given up since it was heard last."""


class Census:
    """Knows all lines once load() has read them. One thread; load() raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._residents: dict[int, Resident] = {}
        self._claims: dict[Holder, list[ref[Claim]]] = {}
        # Lines above this one begin in this process: each is seen as it does.
        self._last_stored: int = connection.execute(
            "SELECT ifnull(max(line), 0) FROM lines"
        ).fetchone()[0]
        self._loading: Iterator[None] | None = self._load()

    def load(self) -> bool:
        """Read a part of what the store had at the start; whether there is more."""
        if self._loading is None:
            return False
        try:
            next(self._loading)
        except StopIteration:
            self._loading = None
        except sqlite3.Error:
            self._loading = self._load()
            raise
        return self._loading is not None

    # What happens

    def claimed(self, claim: Claim) -> Claim:
        """An agent's stream begins; the same claim. It lasts until its release, or its end."""
        if claim.header:
            self._hold(claim.header.agent_id, claim)
        return claim

    def released(self, claim: Claim, line: int) -> None:
        """A stream has ended."""
        holder = claim.header.agent_id if claim.header else line
        self._claims[holder] = [
            each for each in self._claims.get(holder, ()) if each() not in {None, claim}
        ]
        if not self._claims[holder]:
            del self._claims[holder]

    def added(self, line: int, batch: Batch, position: int) -> None:
        """A batch is committed; the newest sample in the store is at this position now."""
        claim = batch.claim
        resident = self._residents.get(line)
        if resident is None:
            if line <= self._last_stored:
                return  # not read yet
            resident = self._residents[line] = _newcomer(line, batch)
        if resident.is_rehearsal:
            resident.is_rehearsal = claim.is_rehearsal
        if claim.header is None and line not in self._claims:
            self._hold(line, claim)
        if count := len(batch.samples):
            resident.is_empty = resident.is_cut = False
            resident.heard = position
            resident.samples += count
            resident.bytes += count * _SAMPLE_BYTES
        for explanation in batch.explanations:
            resident.bytes += _SAMPLE_BYTES + len(explanation.text)
        if batch.snapshot:
            size = len(batch.snapshot.state or b"")
            resident.bytes += size - resident.snapshot_bytes
            resident.snapshot_bytes = size

    def dropped(self, lines: Mapping[int, int]) -> float:
        """Note the number of samples deleted from each line; the bytes freed of young lines."""
        freed = 0.0
        for line, count in lines.items():
            resident = self._residents.get(line)
            if resident and resident.samples:
                left = max(0, resident.samples - count)
                fixed = _LINE_BYTES + resident.snapshot_bytes
                kept = (resident.bytes - fixed) * left / resident.samples
                freed += resident.bytes - fixed - kept
                resident.bytes, resident.samples = fixed + kept, left
        return freed

    def emptied(self, resident: Resident) -> None:
        """Its samples and snapshots are deleted."""
        resident.is_empty = True
        resident.samples = resident.snapshot_bytes = 0
        resident.bytes = _LINE_BYTES

    def removed(self, line: int) -> None:
        """The line is there no more."""
        self._residents.pop(line, None)

    # What is asked

    def is_live(self, resident: Resident) -> bool:
        """Whether a stream of it is open."""
        holder = resident.line if resident.agent_id is None else resident.agent_id
        return any(each() for each in self._claims.get(holder, ()))

    def rehearsals(self) -> list[Resident]:
        """The simulations without a stream, the longest silent first. Costs a look at each."""
        return self.silent(each for each in self._residents.values() if each.is_rehearsal)

    @property
    def empty(self) -> int:
        """How many lines have nothing but sessions. Costs a look at each."""
        return sum(each.is_empty for each in self._residents.values())

    def get(self, line: int) -> Resident | None:
        """What is known of a line."""
        return self._residents.get(line)

    def young(self) -> list[Resident]:
        """The lines of the last day. A stamp of the future tells nothing: not young."""
        now_ns = self._clock.time_ns()
        return [each for each in self._residents.values() if 0 <= now_ns - each.born_ns < _YOUNG_NS]

    def silent(self, residents: Iterable[Resident] | None = None) -> list[Resident]:
        """Those without an open stream (of all), the longest silent first."""
        those = self._residents.values() if residents is None else residents
        silent = (each for each in those if not self.is_live(each))
        return sorted(silent, key=lambda each: (each.heard, each.line))

    def heard_since(self, position: int) -> list[Resident]:
        """The lines with a sample behind a position, the longest silent first."""
        heard = (each for each in self._residents.values() if each.heard > position)
        return sorted(heard, key=lambda each: each.heard)

    def _hold(self, holder: Holder, claim: Claim) -> None:
        live = [each for each in self._claims.get(holder, ()) if each()]
        self._claims[holder] = [*live, ref(claim)]

    def _load(self) -> Iterator[None]:
        last = 0
        while rows := self._connection.execute(
            "SELECT line, agent_id,"
            " (SELECT min(opened_at_ns) FROM sessions WHERE sessions.line = lines.line),"
            " (SELECT arrived_at_ns FROM samples WHERE samples.line = lines.line"
            "  ORDER BY position LIMIT 1),"
            " (SELECT max(position) FROM samples WHERE samples.line = lines.line),"
            " (SELECT length(state) FROM snapshots WHERE snapshots.line = lines.line"
            "  ORDER BY position DESC LIMIT 1),"
            " (SELECT length(state) FROM former_snapshots"
            "  WHERE former_snapshots.line = lines.line),"
            " EXISTS (SELECT 1 FROM commands"
            "  WHERE commands.agent_id = lines.agent_id AND name = ?)"
            " FROM lines WHERE line > ? AND line <= ?"
            " AND (agent_id IS NOT NULL OR peer != ?) ORDER BY line LIMIT ?",
            (REHEARSAL, last, self._last_stored, NOBODY, _LINES),
        ).fetchall():
            young = []
            now_ns = self._clock.time_ns()
            for line, agent_id, opened_ns, arrived_ns, heard, *states, is_rehearsal in rows:
                last = line
                size = next((state for state in states if state is not None), 0)
                # Of a line with many sessions the first ones are forgotten, of another
                # one the first samples.
                born_ns = min(each for each in (opened_ns, arrived_ns, now_ns) if each is not None)
                resident = Resident(line, agent_id, born_ns, heard or 0, snapshot_bytes=size)
                resident.is_rehearsal = bool(is_rehearsal)
                resident.bytes += size
                resident.is_empty = heard is None and states == [None, None]
                self._residents[line] = resident
                if heard and now_ns - born_ns < _YOUNG_NS:
                    young.append((resident, heard))
            # Known from here on: what becomes of them meanwhile is seen.
            for resident, heard in young:
                yield from self._count(resident, heard)
            yield

    def _count(self, resident: Resident, last: int) -> Iterator[None]:
        """Count a line's samples up to a position; those behind it are seen as they come."""
        position = 0
        while True:
            count, end = self._connection.execute(
                "SELECT count(*), max(position) FROM (SELECT position FROM samples"
                " WHERE line = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?)",
                (resident.line, position, last, _SAMPLES),
            ).fetchone()
            if not count:
                return
            resident.samples += count
            resident.bytes += count * _SAMPLE_BYTES
            position = end
            if count == _SAMPLES:
                yield


def _newcomer(line: int, batch: Batch) -> Resident:
    """A line that begins with this batch."""
    claim = batch.claim
    agent_id = claim.header.agent_id if claim.header else None
    resident = Resident(line, agent_id, batch.arrived_at_ns)
    resident.is_rehearsal = claim.is_rehearsal
    return resident
