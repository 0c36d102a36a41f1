"""The tier in RAM: takes each commit while it can, and is taken back when it can again."""

import heapq
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.spool.account import Sessions
from agent.spool.leftover import Found, look, look_only
from agent.spool.place import Place
from agent.spool.rescue import TierFile, move_aside
from agent.spool.row import AFTER_ALL, BEFORE_ALL, Key, Row
from agent.spool.salvage import readable
from agent.spool.tail import Records, adopt
from agent.spool.tier import OpenTier, Tier, delete, is_stale
from quartet.clock import Clock
from quartet.errors import DamagedError, StoreError
from quartet.outage import Outage

log = logging.getLogger(__name__)

# A tier that failed is tried again after this long; twice as long after each time that it
# failed again soon, so that a directory that somebody else keeps filling is not logged for ever.
_RETRY_S = 5.0
_MOST_RETRY_S = 60.0

# What the file in RAM is copied to where it can be opened in no other way.
COPY = "spool.hot.db"


class Hot:
    """Takes commits while `is_well`; what it holds then can be read until drop(). Disk thread.

    A failure of this tier is logged here, once. What it holds and the disk does not have is
    lost only where its file cannot be read either.
    """

    def __init__(
        self, place: Place, copies: Path, *, clock: Clock = time, open_tier: OpenTier = Tier
    ) -> None:
        self._place = place
        self._file = TierFile(place.file, "off", open_tier)
        self._copy = copies / COPY
        self._open_tier = open_tier
        self._clock = clock
        self._outage = Outage(log, clock)
        self._tier: Tier | None = None
        self._is_well = False
        self._is_usable = False  # what is open can be written, and its path leads to it
        self._is_damaged = False
        self._left = False  # its file could not be deleted
        # In memory, in place of a file that cannot be read:
        self._held: list[Row] = []
        self._settled: list[Key] = []
        self._more: list[Row] = []  # of the tail, which its file could not take at the start
        self._retry_s = _RETRY_S
        self._retry_at_s = self._well_since_s = clock.monotonic()

    @property
    def path(self) -> Path:
        """The path of its file."""
        return self._file.path

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that its errors name."""
        return self._file.path, self._copy

    @property
    def is_well(self) -> bool:
        """Whether commits go here. If not, they go straight to the disk."""
        return self._is_well

    @property
    def is_due(self) -> bool:
        """Whether it failed, and may be tried again now."""
        return not self._is_well and self._clock.monotonic() >= self._retry_at_s

    # At the start

    def start(self, cold: tuple[int, Sessions] | None, tail: Records) -> Found:
        """Open the file, and tell what is in it; also of one that can only be read.

        `cold` is the last move and the sessions of the cold tier, where it can be read. Samples
        of the `tail` that no account counts are added.
        """
        try:
            if not self._place.own():
                raise StoreError(f"{self._place.directory}: cannot be written", self.path)
            in_cold = {session.id for session, _ in cold[1]} if cold else set()
            tier, found, replaced = self._file.open(look, in_cold)
            if cold and not replaced and is_stale((tier.moves(), found.sessions), cold):
                tier.close()
                self._set_aside("stale", f"{self.path}: is older than the spool on the disk")
                tier, found, replaced = self._file.open(look)
        except OSError as error:
            self.failed(error)
            self._tier, found = look_only(self.path, self._copy, self._open_tier, cold)
            if self._tier:
                self._place.note()
        else:
            self._use(tier)
            found = found._replace(replaced=replaced)
        return self._adopt(found, cold, tail)

    def _adopt(self, found: Found, cold: tuple[int, Sessions] | None, tail: Records) -> Found:
        known = found.sessions, cold[1] if cold else []
        sessions, rows = adopt(tail, *known, name_gaps=not found.replaced)
        if rows:
            self._more = rows
            if self._is_well:
                try:
                    self._opened.write(sessions=sessions, rows=rows)
                    self._more = []
                except StoreError as error:
                    self.failed(error)
        return found.with_more(sessions, rows)

    # Commits

    def write(
        self,
        *,
        sessions: Sessions,
        rows: Iterable[Row],
        delete: Iterable[Key],
        settled: Iterable[Key],
    ) -> int:
        """Do all of this or nothing; the number of rows that were deleted."""
        deleted = self._opened.write(sessions=sessions, rows=rows, delete=delete, settled=settled)
        self._outage.ended("%s: takes the samples again", self._place.directory)
        return deleted

    def clear(self, move: int, sessions: Sessions) -> None:
        """Forget all rows and keys: they are on the disk."""
        self._opened.clear(move, sessions)

    def forget_settled(self, move: int) -> None:
        """Forget all keys that are settled: the disk has deleted their rows."""
        self._opened.forget_settled(move)

    def moves(self) -> int:
        """The number of the last move that it knows; 0 where it is not open."""
        return self._tier.moves() if self._tier else 0

    def learn_move(self, move: int) -> None:
        """The cold tier knows of more moves."""
        if self._is_well and self.moves() != move:
            try:
                self._opened.write(move=move)
            except StoreError as error:
                self.failed(error)

    @property
    def _opened(self) -> Tier:
        if self._tier is None:
            raise StoreError(f"{self.path}: is not open", self.path)
        return self._tier

    # What it holds

    def rows(self) -> Iterator[Row]:
        """All rows in their order, a few at a time."""
        return heapq.merge(self._tier.rows() if self._tier else self._held, self._more)

    def read(self, after: Key, limit: int) -> list[Row]:
        """The next rows in their order."""
        rows = self._tier.read(after, limit) if self._tier else self._held
        if self._tier and not self._more:
            return rows
        return sorted(row for row in (*rows, *self._more) if row.key > after)[:limit]

    def settled(self, after: Key = BEFORE_ALL, last: Key = AFTER_ALL) -> Iterator[Key]:
        """The keys that are settled, of those after the one and up to the other."""
        if self._tier:
            return self._tier.settled(after, last)
        return (key for key in self._settled if after < key <= last)

    # Failures

    def failed(self, error: Exception) -> None:
        """It takes no commit: they go to the disk until it does again."""
        now_s = self._clock.monotonic()
        if self._is_well and now_s - self._well_since_s < _MOST_RETRY_S:
            self._retry_s = min(2 * self._retry_s, _MOST_RETRY_S)
        elif self._is_well:
            self._retry_s = _RETRY_S
        self._is_well = False
        self._is_damaged |= isinstance(error, DamagedError)
        self._retry_at_s = now_s + self._retry_s
        self._outage.failed(
            "%s; every sample is now written to the disk at once, which wears it: see 'df -h %s',"
            " 'df -i %s' and 'mount'",
            error,
            self._place.directory,
            self._place.directory,
        )

    def watch(self) -> None:
        """Notice a file that was removed or replaced while it is open."""
        if self._is_well:
            try:
                self._place.check()
            except StoreError as error:
                self.failed(error)
                self._is_usable = False
                self._retry_at_s = self._clock.monotonic()

    def try_again(self, move: int, sessions: Sessions) -> None:
        """Use it again if that is possible; a fresh file begins with these accounts.

        The next write() shows whether it works.
        """
        try:
            if not self._place.own():
                raise StoreError(f"{self._place.directory}: cannot be written", self.path)
            if self._tier is None and not self._held:
                tier = self._fresh(move, sessions)
            elif self._tier and not (self._is_usable and self._place.holds_own_file()):
                tier = self._file.restore(self._tier)
                self._tier.close()
            else:
                tier = self._opened
            if self._more:
                tier.write(rows=self._more)
        except OSError as error:
            self.failed(error)
            return
        self._use(tier)

    def _fresh(self, move: int, sessions: Sessions) -> Tier:
        if self._left:
            delete(self.path)
        elif self.path.exists():
            self._set_aside("replaced", f"{self.path}: belongs to another program")
        tier = None
        try:
            tier = self._open_tier(self.path, "off")
            tier.write(sessions=sessions, move=move)
        except BaseException:
            if tier:
                tier.close()
            delete(self.path)
            raise
        return tier

    def give_up(self, held: Iterable[Row]) -> None:
        """It cannot be read as a whole: what is left is in memory, and what can be read."""
        rows, self._settled = readable(self.path)
        if self._tier:
            self._tier.close()
        self._tier = None
        self._is_damaged = True
        found = {row.key: row for row in (*rows, *self._more, *held)}
        self._more = []
        self._held = [found[key] for key in sorted(found)]

    def drop(self) -> None:
        """The disk has all that it held, while it is not well: forget it."""
        self._more = []
        if self._tier is None and not self._held:
            return
        is_there = self._place.holds_own_file()
        tier, self._tier, self._held, self._settled = self._tier, None, [], []
        try:
            if self._is_damaged:
                if tier:
                    tier.close()
                self._set_aside("damaged", f"{self.path}: is damaged")
            elif tier and is_there and tier.path == self.path:
                tier.delete()
            elif tier:
                tier.close()
                if is_there:
                    delete(self.path)
            delete(self._copy)
        except OSError as error:
            log.debug("%s: cannot be deleted: %s", self.path, error)
            self._left = True
        self._is_damaged = False
        self._place.forget()

    def close(self) -> None:
        """Let go of the file and of the directory."""
        if self._tier:
            self._tier.close()
        self._tier = None
        self._place.close()

    def _use(self, tier: Tier) -> None:
        self._tier = tier
        self._held, self._settled, self._more = [], [], []
        self._is_well = self._is_usable = True
        self._is_damaged = self._left = False
        self._well_since_s = self._clock.monotonic()
        self._place.note()

    def _set_aside(self, why: str, what: str) -> None:
        aside = move_aside(self.path, why)
        log.warning("%s; it was renamed to %s, and a new one is used", what, aside)
