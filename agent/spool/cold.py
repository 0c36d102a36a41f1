"""The tier on disk: opened when it can be, said when it cannot, replaced when it is damaged."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

from agent.model import Sample, Session
from agent.spool.account import Account
from agent.spool.adopt import adopt
from agent.spool.books import Books, Sessions
from agent.spool.places import occupy
from agent.spool.rescue import open_tier, replace_damaged
from agent.spool.tier import FILE, Key, Row, Tier, pack
from quartet.errors import DamagedError, StoreError

log = logging.getLogger(__name__)

# A disk that is full or read-only is tried again this often.
_RETRY_S = 5.0


class Cold:
    """What the hot tier hands over lies here. Disk thread, or before it starts.

    What this tier cannot do is said here, and tried again; raises StoreError
    for the hot tier, and at start where the directory cannot be used or belongs
    to a running agent. `held` gives the samples that are still in memory, for
    when the disk has lost them.
    """

    def __init__(
        self, directory: Path, hot: Tier, books: Books, held: Callable[[], Iterable[Sample]]
    ) -> None:
        self._path = directory / FILE
        self._hot = hot
        self._books = books
        self._held = held
        self._lock = occupy(directory, "spool.directory")
        self._tier: Tier | None = None
        self._was_open = False
        self._failing_since_s: float | None = None
        self._retry_at_s = 0.0
        self.move = hot.moves()
        """The number of the last move, as both tiers count them."""
        self.suspect = False
        """Whether the rows must be counted against the books: some of them were damaged."""
        self.reopened = False
        """Whether samples have come back that are older than those read since; for who reads."""

    def close(self) -> None:
        """Let go of the file and of the directory."""
        self._close_tier()
        if self._lock:
            self._lock.close()

    @property
    def failing(self) -> bool:
        """Whether it cannot be written."""
        return self._failing_since_s is not None

    @property
    def may_try(self) -> bool:
        """Whether it is well, or has been left alone for long enough."""
        return time.monotonic() >= self._retry_at_s

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return self._tier is not None

    @property
    def away(self) -> bool:
        """Whether it was read since the start, and now cannot be."""
        return self._was_open and self._tier is None

    @property
    def has_all_sessions(self) -> bool:
        """Whether it may be told of its own rows alone."""
        return self.is_open and not self.suspect

    def take_all(self, samples: Sequence[Sample] = (), done: Sequence[Key] = ()) -> bool:
        """Take all rows of the hot tier, and delete what is settled; whether that succeeded.

        Further samples that the hot tier has no room for, and what is done with since.
        """
        return self._attempt(lambda tier: self._take_all(tier, samples, done))

    def delete_settled(self) -> bool:
        """Delete what is settled; whether that succeeded."""
        return self._attempt(lambda tier: self._write(tier, self._books.for_cold_alone()))

    def fold(self) -> None:
        """Sum up the oldest sessions, if there are too many. The hot tier must not know them."""
        if surplus := self._books.surplus():
            total = self._books.sum_up(surplus)
            if self._attempt(lambda tier: _fold(tier, total, surplus)):
                self._books.fold(surplus, total)

    def read(self, after: Key, limit: int) -> list[Row]:
        """The next rows; where it can give none, its samples come when it is back."""
        try:
            try:
                return self._tier.read(after, limit) if self._tier else []
            except DamagedError as error:
                return self._replace(error).read(after, limit)
        except OSError as error:
            self._failed(error)
            self._close_tier()
            return []

    def _attempt(self, write: Callable[[Tier], None]) -> bool:
        try:
            try:
                write(self._tier or self._open())
            except DamagedError as error:
                if error.path != self._path:
                    raise
                write(self._replace(error))
        except OSError as error:
            if isinstance(error, StoreError) and error.path == self._hot.path:
                raise
            self._failed(error)
            return False
        self._recovered()
        return True

    def _take_all(self, tier: Tier, samples: Sequence[Sample], done: Sequence[Key]) -> None:
        rows = chain(self._hot.rows(), map(pack, samples))
        self._write(tier, self._books.for_cold(), rows, done)
        if self.suspect:
            self._reconcile(tier)

    def _write(
        self,
        tier: Tier,
        sessions: Sessions,
        rows: Iterable[Row] = (),
        done: Iterable[Key] = (),
    ) -> None:
        settled = chain(self._hot.settled(), done)
        tier.write(sessions=sessions, rows=rows, delete=settled, move=self.move + 1)
        self.move += 1

    def _reconcile(self, tier: Tier) -> None:
        """Count what a damaged file has lost. All rows are in this tier now.

        One that went back to an older state also holds rows that were answered since. In one
        whose keys are out of order, rows can be neither found nor deleted: DamagedError.
        """
        tier.check()
        tier.forget_before(Key(s.sequence, account.done_below) for s, account in self._books)
        if lost := self._books.reconcile(tier.counts()):
            log.error("%s: %d samples are not in it, and booked as unknown", self._path, lost)
        tier.forget_strays(self._books)
        self._write(tier, self._books.for_cold())
        self.suspect = False

    def _open(self) -> Tier:
        self._lock = self._lock or occupy(self._path.parent, "spool.directory")
        if self._lock is None:
            raise StoreError(f"{self._path.parent}: cannot be written")
        tier, moves, replaced = open_tier(self._path, "full", Tier.moves)
        try:
            if moves < self.move and not replaced:
                log.error("%s: has lost what was written to it last", self._path)
            self.suspect |= replaced or moves < self.move
            self.move = max(moves, self.move)
            self._join(tier)
        except DamagedError as error:
            tier.close()
            if error.path != self._path:
                raise
            self.suspect = True
            tier = replace_damaged(self._path, "full", str(error))
            self._join(tier)
        except BaseException:
            tier.close()
            raise
        self._tier, self.reopened, self._was_open = tier, True, True
        return tier

    def _join(self, tier: Tier) -> None:
        """Take in what was set aside, and learn what there is."""
        sessions = tier.sessions()
        known = {entry[0].id: entry for entry in (*sessions, *self._books)}
        if adopt(tier, self._hot.path, known):
            self.suspect = True
            sessions = tier.sessions()
        self._meet(tier, sessions)
        self._put_back(tier)

    def _meet(self, tier: Tier, sessions: Sessions) -> None:
        """Learn the sessions of the file; they come before those that it does not know."""
        books = self._books
        known = {session.id for session, _ in books}
        met = {session.id for session, _ in sessions}
        unknown = [(session, account) for session, account in sessions if session.id not in known]
        own = [session.sequence for session, _ in books if session.id not in met]
        if books.first_place is not None:
            own.append(books.first_place)
        if unknown and own and unknown[-1][0].sequence >= min(own):
            tier.shift_sessions(min(own) - 1 - max(session.sequence for session, _ in sessions))
            unknown = [entry for entry in tier.sessions() if entry[0].id not in known]
        for session, account in unknown:
            books.enter(session, account)
            if books.first_place is not None:
                books.met_late += account.waiting
            if not account.ended:  # and nothing of it in RAM
                books.end(session.sequence, power_lost=True)

    def _replace(self, error: DamagedError) -> Tier:
        """Go on with a fresh file, what could be read of the old one, and what is in memory."""
        self._close_tier()
        self.suspect = True
        self._books.cold_begins_anew()
        tier = replace_damaged(self._path, "full", str(error))
        self._put_back(tier)
        self._tier = tier
        return tier

    def _put_back(self, tier: Tier) -> None:
        """Give a file that was damaged what is still in memory of it."""
        if self.suspect:
            tier.write(rows=[pack(s) for s in self._held() if Key.of(s) <= self._books.moved])

    def _close_tier(self) -> None:
        if self._tier:
            self._tier.close()
            self._tier = None

    def _failed(self, error: Exception) -> None:
        self._retry_at_s = time.monotonic() + _RETRY_S
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
            log.error("%s; samples are kept in RAM until it can be written again", error)
        else:
            log.debug("%s", error)

    def _recovered(self) -> None:
        if self._failing_since_s is not None:
            outage_s = time.monotonic() - self._failing_since_s
            log.info("%s: is written again, after %.1f s without", self._path.parent, outage_s)
        self._failing_since_s, self._retry_at_s = None, 0.0


def _fold(tier: Tier, total: tuple[Session, Account], sequences: list[int]) -> None:
    tier.write(sessions=[total], forget=sequences)
