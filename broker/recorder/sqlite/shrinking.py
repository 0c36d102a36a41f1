"""Brings a store that is too large within its bound: what goes first, and what goes last."""

import logging
import math
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from broker.recorder.sqlite.census import Census, Resident
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.floors import Floors
from broker.recorder.sqlite.keeping import Keeping
from quartet.clock import Clock
from quartet.database import transaction
from quartet.outage import Outage

log = logging.getLogger(__name__)

# Lines in one transaction: some milliseconds, as those of its samples are.
_LINES = 100

# After this the walks begin at the oldest sample again, and an episode is over.
_SWEEP_S = 600.0


@dataclass(slots=True)
class _Walk:
    """A walk over the samples from the oldest on, which stops where there is room again."""

    floors: Floors
    begun_s: float = -math.inf
    position: int = 0
    looked_at: int = 0
    """Lines that were not heard behind this position have nothing to give any more, once the
    walk has come to the end."""
    ended: bool = False


class Shrinking:
    """Deletes until the store fits, in steps. One thread at a time; raises sqlite3.Error.

    0. Simulations without a stream, the longest silent first.
    1. Of young lines without a stream, while they hold more than a quarter, the longest silent
       first: samples that no black box needs; then all that they have; then the lines.
    2. The oldest samples that no black box needs: of young lines, while all of them hold more
       than a quarter; then of all lines.
    3. All that lines without a stream have, the longest silent first; then the lines.
    4. The oldest samples of lines with a stream.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keeping: Keeping,
        clock: Clock,
        needed_from: Callable[[int], int],
        *,
        census: Census,
        eraser: Eraser,
        fail_lease: Callable[[str, str], None],
    ) -> None:
        self._connection = connection
        self._keeping = keeping
        self._clock = clock
        self._census = census
        self._eraser = eraser
        self._fail_lease = fail_lease
        self._share = keeping.max_bytes / 4
        self._young_walk = _Walk(Floors(connection, needed_from))
        self._walk = _Walk(Floors(connection, needed_from))
        self._losing = Outage(log, clock, level=logging.WARNING)
        self._lost = 0
        self._lost_at_s = 0.0

    def is_due(self) -> bool:
        """Whether the store is too large. To be asked again and again: tells of an end, too."""
        if self._losing.is_on and self._clock.monotonic() - self._lost_at_s >= _SWEEP_S:
            self._losing.ended("recorder.max_bytes is enough again: no agent's history is deleted")
        used, free, page_bytes = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return bool((used - free) * page_bytes > self._keeping.max_bytes)

    def run(self, most: Callable[[], int]) -> Iterator[None]:
        """Delete at most `most()` samples in each step, until the store fits."""
        self._lost = 0
        try:
            for _ in self._ways(most):
                yield
                if not self.is_due():
                    return
        finally:
            self._tell()

    def _ways(self, most: Callable[[], int]) -> Iterator[None]:
        yield from self._remove(self._census.rehearsals(), most)
        yield from self._clear_young(most, whole=False)
        yield from self._clear_young(most, whole=True)
        yield from self._remove_young(most)
        yield from self._walk_young(most)
        yield from self._walk_all(most)
        yield from self._clear(self._silent(), most, whole=True)
        yield from self._remove(self._silent(empty=True), most)
        yield from self._cut_live(most)

    def remove_empty(self, most: Callable[[], int]) -> Iterator[None]:
        """Remove lines that have nothing but sessions, where they are too many."""
        if self._census.empty <= self._keeping.empty_lines:  # asked each second
            return iter(())
        empty = self._silent(empty=True)
        return self._remove(empty[: max(0, len(empty) - self._keeping.empty_lines)], most)

    def remove_rehearsals(self, most: Callable[[], int]) -> Iterator[None]:
        """Remove simulations without a stream, where they are too many."""
        silent = self._census.rehearsals()
        return self._remove(silent[: max(0, len(silent) - self._keeping.rehearsals)], most)

    # The ways

    def _silent(self, *, empty: bool = False) -> list[Resident]:
        return [
            each
            for each in self._census.silent()
            if each.is_empty is empty and not (empty and each.agent_id is None)
        ]

    def _clear_young(self, most: Callable[[], int], *, whole: bool) -> Iterator[None]:
        silent, excess = self._young_silent()
        lines = (each for each in silent if not each.is_empty)
        return self._clear(lines, most, whole=whole, excess=excess)

    def _remove_young(self, most: Callable[[], int]) -> Iterator[None]:
        silent, excess = self._young_silent()
        for each in silent:
            if excess <= 0:
                return
            if each.is_empty:
                yield from self._remove([each], most)
                excess -= each.bytes

    def _young_silent(self) -> tuple[list[Resident], float]:
        """Young lines without a stream, the longest silent first; how much they have too much."""
        silent = self._census.silent(self._census.young())
        return silent, sum(each.bytes for each in silent) - self._share

    def _clear(
        self,
        lines: Iterable[Resident],
        most: Callable[[], int],
        *,
        whole: bool,
        excess: float = math.inf,
    ) -> Iterator[None]:
        """Delete what one line after the other has; whole: also what its black box needs."""
        queue = deque((each, each.heard) for each in lines)
        while queue and excess > 0:
            room = most()
            with transaction(self._connection):
                for _ in range(_LINES):
                    if not queue or room <= 0 or excess <= 0:
                        break
                    resident, heard = queue[0]
                    held = resident.bytes
                    # It may have come back meanwhile, and have left again.
                    if whole and (self._census.is_live(resident) or resident.heard != heard):
                        queue.popleft()
                        continue
                    if whole:
                        count = self._cut(resident, room)
                    else:
                        floor = self._walk.floors.now_of(resident.line)
                        count = self._eraser.prune(resident.line, floor, room)
                        self._census.dropped({resident.line: count})
                    if count < room:
                        queue.popleft()
                    room -= count
                    excess -= held - resident.bytes
            yield

    def _cut(self, resident: Resident, room: int) -> int:
        """Delete so much of a line; the agent that comes back begins with what is left."""
        count, is_empty = self._eraser.cut(resident.line, resident.agent_id, room)
        self._census.dropped({resident.line: count})
        if is_empty:
            self._census.emptied(resident)
        self._lose(resident)
        if resident.agent_id is not None:
            self._fail_lease(resident.agent_id, "its records were deleted to make room")
        return count

    def _walk_young(self, most: Callable[[], int]) -> Iterator[None]:
        young = self._census.young()
        excess = sum(each.bytes for each in young) - self._share
        lines = {each.line for each in young}
        return self._walk_on(self._young_walk, most, lines.__contains__, excess)

    def _walk_all(self, most: Callable[[], int]) -> Iterator[None]:
        return self._walk_on(self._walk, most, lambda _: True, math.inf)

    def _walk_on(
        self, walk: _Walk, most: Callable[[], int], is_meant: Callable[[int], bool], excess: float
    ) -> Iterator[None]:
        """Delete the oldest samples that no black box needs."""
        if excess <= 0:
            return
        now_s = self._clock.monotonic()
        if now_s - walk.begun_s >= _SWEEP_S:
            walk.begun_s, walk.position, walk.ended = now_s, 0, False
            walk.looked_at = self._newest()
            walk.floors.forget()
        while not walk.ended and excess > 0:
            rows = self._rows(walk.position, most())
            gone = [
                (at, line) for at, line in rows if is_meant(line) and at <= walk.floors.of(line)
            ]
            if gone:
                with transaction(self._connection):
                    self._eraser.delete(gone)
                excess -= self._census.dropped(Counter(line for _, line in gone))
            walk.ended = not rows
            walk.position = rows[-1][0] if rows else walk.position
            yield
        newest = self._newest()
        heard = self._census.heard_since(walk.looked_at)
        lines = (each for each in heard if is_meant(each.line))
        yield from self._clear(lines, most, whole=False, excess=excess)
        if walk.ended:
            walk.looked_at = newest

    def _remove(self, lines: Iterable[Resident], most: Callable[[], int]) -> Iterator[None]:
        for resident in lines:
            # It may have come back meanwhile, also as another line, and have left again.
            may_go = resident.is_empty or resident.is_rehearsal
            may_go = may_go and self._census.get(resident.line) is resident
            if resident.agent_id is None or not may_go or self._census.is_live(resident):
                continue
            self._fail_lease(resident.agent_id, "its records were deleted to make room")
            self._eraser.forget(resident.agent_id)
            self._census.removed(resident.line)
            while self._eraser.step(most()):
                yield
            yield

    def _cut_live(self, most: Callable[[], int]) -> Iterator[None]:
        while rows := self._rows(0, most()):
            last = {line: at for at, line in rows}
            with transaction(self._connection):
                self._eraser.delete(rows)
                for line, at in last.items():
                    resident = self._census.get(line)
                    if resident:
                        self._eraser.void(line, resident.agent_id, at, at)
                        self._lose(resident)
            self._census.dropped(Counter(line for _, line in rows))
            yield

    def _rows(self, after: int, most: int) -> list[tuple[int, int]]:
        return self._connection.execute(
            "SELECT position, line FROM samples WHERE position > ? ORDER BY position LIMIT ?",
            (after, most),
        ).fetchall()

    def _newest(self) -> int:
        newest: int = self._connection.execute(
            "SELECT ifnull(max(position), 0) FROM samples"
        ).fetchone()[0]
        return newest

    # What is told

    def _lose(self, resident: Resident) -> None:
        if not resident.is_cut and resident.agent_id is not None:
            resident.is_cut = True
            self._lost += 1

    def _tell(self) -> None:
        if self._lost:
            self._lost_at_s = self._clock.monotonic()
            self._losing.failed(
                "recorder.max_bytes (%d) is too small for what all agents need after a restart:"
                " agents whose history was deleted, the longest silent first: %d. Run 'broker"
                " forget AGENT' for agents that do not come back, set a larger recorder.max_bytes,"
                " or bound new agents by access.agents or limits.new_lines_per_minute",
                *(self._keeping.max_bytes, self._lost),
            )
