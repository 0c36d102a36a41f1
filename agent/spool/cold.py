"""The tier on disk: opened when it can be, tried again when it fails, replaced when damaged."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path

from agent.model import Sample, Session
from agent.spool import runs
from agent.spool.account import Account, Sessions
from agent.spool.books import Books
from agent.spool.condition import ColdState, Condition
from agent.spool.hot import Hot
from agent.spool.place import Place
from agent.spool.rescue import TierFile, adopt
from agent.spool.row import Key, Row, pack
from agent.spool.runs import Runs
from agent.spool.tier import OpenTier, Tier, delete
from quartet.clock import Clock
from quartet.errors import DamagedError, StoreError
from quartet.outage import Outage
from quartet.plural import counted

log = logging.getLogger(__name__)


class Cold:
    """Takes over what the hot tier hands it. Disk thread, or before it starts.

    A failure of this tier is logged here, and tried again. StoreError for a failure of the hot
    tier; also at the start, where the directory cannot be used or belongs to a running agent.
    `held` gives the samples in memory, for when the disk has lost them. `suspect`: some rows
    may have been lost, so they are counted.
    """

    def __init__(
        self,
        place: Place,
        hot: Hot,
        books: Books,
        held: Callable[[], Iterable[Sample]],
        *,
        suspect: bool,
        clock: Clock = time,
        open_tier: OpenTier = Tier,
    ) -> None:
        self._place = place
        self._file = TierFile(place.file, "full", open_tier)
        self._hot = hot
        self._books = books
        self._held = held
        self._open_tier = open_tier
        self._tier: Tier | None = None
        self._is_unchecked = False
        self._is_gone = False  # the path leads to no file any more, or to another one
        self._condition = Condition(clock)
        self._outage = Outage(log, clock)
        self._reads = Outage(log, clock)
        self._move = hot.moves()
        self._suspect = suspect
        self._imported: list[Path] = []  # files that were set aside, and are not deleted yet

    def close(self) -> None:
        """Let go of the file and of the directory."""
        self._close_tier()
        self._place.close()

    @property
    def state(self) -> ColdState:
        """What this tier can do now."""
        return self._condition.state

    @property
    def openings(self) -> int:
        """Number of times that the file was opened, each time perhaps with older samples."""
        return self._condition.openings

    @property
    def is_due(self) -> bool:
        """Whether a write may be tried now."""
        return self._condition.is_due

    @property
    def move(self) -> int:
        """The number of the last move, as both tiers count them."""
        return self._move

    @property
    def has_all_sessions(self) -> bool:
        """Whether it may be told of its own rows alone."""
        return self.state.is_open and not self._suspect

    def watch(self) -> None:
        """Notice a file that was removed or replaced while it is open, and make it again."""
        if not self._tier or self._is_gone:
            return
        try:
            self._place.check()
        except StoreError as error:
            self._is_gone = True
            self._condition.displaced()
            self._say(error)

    def found_damage(self) -> None:
        """A reader missed rows, or met damaged ones: the next store_all() counts all rows."""
        self._suspect = True

    def store_all(
        self, newest: Key, samples: Sequence[Sample] = (), done: Sequence[Key] = ()
    ) -> bool:
        """Store all rows of the hot tier, and delete the settled ones; whether that succeeded.

        Also further samples that the hot tier has no room for, and keys that were settled since.
        The newest of all has the key `newest`: the books know once it may be here.
        """
        return self._attempt(lambda tier: self._store_all(tier, newest, samples, done))

    def delete_settled(self) -> bool:
        """Delete the rows of settled samples; whether that succeeded."""
        return self._attempt(lambda tier: self._write(tier, self._books.for_cold_alone()))

    def fold(self) -> None:
        """Sum up the oldest sessions, if there are too many. The hot tier must not know them."""
        if surplus := self._books.surplus():
            total = self._books.sum_of(surplus)
            if self._attempt(lambda tier: _fold(tier, total, surplus)):
                self._books.fold(surplus, total)

    def read(self, after: Key, limit: int) -> list[Row]:
        """The next rows; none where the file cannot be read."""
        try:
            try:
                rows = self._tier.read(after, limit) if self._tier else []
            except DamagedError as error:
                rows = self._replace(error).read(after, limit)
        except OSError as error:
            self._close_tier()
            self._condition.read_failed()
            self._reads.failed("%s; no sample is sent until those in it can be read", error)
            return []
        if self._tier:
            self._reads.ended("%s: can be read again", self._file.path.parent)
        return rows

    def open(self) -> None:
        """Open the file, if that is possible now."""
        try:
            self._usable()
        except OSError as error:
            if _file_of(error) in self._hot.paths:
                raise
            self._failed(error)

    def _attempt(self, write: Callable[[Tier], None]) -> bool:
        try:
            try:
                write(self._usable())
            except DamagedError as error:
                if error.path != self._file.path:
                    raise
                write(self._replace(error))
        except OSError as error:
            if _file_of(error) in self._hot.paths:
                raise
            self._failed(error)
            return False
        self._condition.written()
        self._outage.ended("%s: can be written again", self._file.path.parent)
        return True

    def _usable(self) -> Tier:
        if self._tier is None:
            return self._open()
        if self._is_gone:
            self._own()
            gone, self._tier = self._tier, self._file.restore(self._tier)
            gone.close()
            self._is_gone = False
            self._place.note()
        return self._tier

    def _store_all(
        self, tier: Tier, newest: Key, samples: Sequence[Sample], done: Sequence[Key]
    ) -> None:
        if self._is_unchecked:
            tier.check()  # what is written into a damaged file may be lost in it
            self._is_unchecked = False
        rows = chain(self._hot.rows(), map(pack, samples))
        self._write(tier, self._books.for_cold(), rows, done)
        self._books.note_moved(newest)
        if self._suspect:
            self._reconcile(tier)

    def _write(
        self,
        tier: Tier,
        sessions: Sessions,
        rows: Iterable[Row] = (),
        done: Iterable[Key] = (),
    ) -> None:
        settled = chain(self._hot.settled(), done)
        # A hot tier that was left behind must never be taken for a flush that was cut short.
        move = self._move + (1 if self._hot.is_well else 2)
        tier.write(sessions=sessions, rows=rows, delete=settled, move=move)
        self._move = move

    def _reconcile(self, tier: Tier) -> None:
        """Count what a damaged file has lost. All rows are in this tier now.

        One that went back to an older state also holds rows that were answered since. In one
        whose keys are out of order, rows can be neither found nor deleted: DamagedError.
        """
        tier.check()
        tier.forget_before(Key(s.sequence, account.done_below) for s, account in self._books)
        if lost := self._books.reconcile(_ids(tier)):
            missing = counted(lost, "sample", "is", "are")
            log.error("%s: %s missing and counted as unknown", self._file.path, missing)
        self._book_strays(tier, tier.strays(self._books))
        self._write(tier, self._books.for_cold())
        self._suspect = False
        while self._imported:
            delete(path := self._imported.pop())
            log.warning("%s: imported again", path)

    def _open(self) -> Tier:
        self._own()
        tier, moves, replaced = self._file.open(Tier.moves)
        try:
            if moves < self._move and not replaced:
                log.error("%s: its latest writes are lost", self._file.path)
            self._suspect |= replaced or moves < self._move
            self._move = max(moves, self._move)
            self._hot.learn_move(self._move)
            self._join(tier)
        except DamagedError as error:
            tier.close()
            if error.path != self._file.path:
                raise
            self._suspect = True
            tier = self._file.replace(str(error))
            self._join(tier)
        except BaseException:
            tier.close()
            raise
        self._use(tier)
        return tier

    def _own(self) -> None:
        """Own the directory; StoreError where its disk is full, read-only or broken now."""
        if not self._place.own():
            raise StoreError(f"{self._place.directory}: cannot be written", self._file.path)

    def _join(self, tier: Tier) -> None:
        """Import what was set aside, learn the sessions of the file, and give back lost rows."""
        sessions = tier.sessions()
        known = {entry[0].id: entry for entry in (*sessions, *self._books)}
        adopted = adopt(tier, self._hot.path, known, self._open_tier)
        if adopted.any:
            self._suspect = True
            self._imported = adopted.paths
            sessions = tier.sessions()
        in_file = {session.sequence for session, _ in sessions}
        strays = tier.strays(in_file | self._books.before_start())
        if shift := self._books.shift_for(sessions):
            tier.shift_sessions(shift)
            sessions = tier.sessions()
            strays = {sequence + shift: count for sequence, count in strays.items()}
        self._books.meet(sessions)
        self._books.rejoin(adopted.rejoined)
        self._book_strays(tier, strays)
        self._put_back(tier)

    def _book_strays(self, tier: Tier, strays: dict[int, int]) -> None:
        """Book samples whose session nobody can tell, as its row is damaged, and delete them."""
        if strays:
            count = sum(strays.values())
            total = self._books.sum_with_strays(count)
            tier.forget_strays(strays, total)
            self._books.fold([], total)
            log.error(
                "%s: %s without a session, as its name is damaged; counted as unknown",
                *(self._file.path, counted(count, "sample", "is", "are")),
            )

    def _replace(self, error: DamagedError) -> Tier:
        """Use a fresh file with all that could be read of the old one, and what is in memory."""
        self._close_tier()
        self._suspect = True
        self._books.note_cold_replaced()
        tier = self._file.replace(str(error))
        try:
            self._put_back(tier)
        except BaseException:
            tier.close()
            raise
        self._use(tier)
        return tier

    def _put_back(self, tier: Tier) -> None:
        """Give a file that was damaged those of its samples that are still in memory."""
        if self._suspect:
            tier.write(rows=[pack(s) for s in self._held() if Key.of(s) <= self._books.moved])

    def _use(self, tier: Tier) -> None:
        self._tier = tier
        self._is_unchecked, self._is_gone = True, False
        self._place.note()
        if not self.state.is_open:
            self._condition.opened()

    def _close_tier(self) -> None:
        if self._tier:
            self._tier.close()
            self._tier = None
            self._place.forget()

    def _failed(self, error: Exception) -> None:
        if self._tier:
            self._condition.write_failed()
        else:
            self._condition.read_failed()
        self._say(error)

    def _say(self, error: Exception) -> None:
        self._outage.failed("%s; samples are kept in RAM until it can be written again", error)


def _file_of(error: OSError) -> Path | None:
    """The file that an error is about, where it is one of a tier."""
    return error.path if isinstance(error, StoreError) else None


def _ids(tier: Tier) -> dict[int, Runs]:
    """The ids of the rows of each session."""
    return {
        session: runs.gather(key.id for key in keys)
        for session, keys in groupby(tier.keys(), attrgetter("session"))
    }


def _fold(tier: Tier, total: tuple[Session, Account], sequences: list[int]) -> None:
    tier.write(sessions=[total], forget=sequences)
