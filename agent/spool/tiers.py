"""The two tiers as one store: RAM while all is well, disk for samples that wait long."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from agent.model import Sample, Session
from agent.spool.account import Account, Sessions
from agent.spool.books import Books
from agent.spool.cold import Cold
from agent.spool.condition import ColdState
from agent.spool.directories import Directories
from agent.spool.hot import Hot
from agent.spool.leftover import nameless
from agent.spool.place import Place
from agent.spool.register import Register
from agent.spool.rescue import is_set_aside
from agent.spool.row import BEFORE_ALL, Key, pack, unpack
from agent.spool.tail import Tail
from agent.spool.tail import read as read_tail
from agent.spool.tier import OpenTier, Tier
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.plural import counted

log = logging.getLogger(__name__)

# A file that was removed or replaced is noticed within this time.
_WATCH_EVERY_S = 1.0


class Page(NamedTuple):
    """The next samples in their order, keys of those that are damaged, and where it ended."""

    samples: list[Sample]
    damaged: list[Key]
    last: Key
    more: bool


class Tiers:
    """Keeps samples from commit() until they are settled. Disk thread, or before it starts.

    The hot tier is also the write-ahead log of the cold one: it takes each
    commit, and flush() carries all of it over. Whenever the process dies, the
    hot tier's accounts are at least as new as the cold tier's, and a flush that
    was cut short is done again. While the hot tier cannot be written, each commit goes
    straight to the cold one, and the hot one is forgotten: its number of moves tells.

    StoreError at start where a directory cannot be used or belongs to a running agent; later
    where neither tier takes a commit. `held` gives the samples in memory.
    """

    def __init__(
        self,
        directories: Directories,
        books: Books,
        held: Callable[[], Iterable[Sample]],
        *,
        clock: Clock = time,
        open_tier: OpenTier = Tier,
    ) -> None:
        self._books = books
        self._held = held
        self._clock = clock
        with ExitStack() as undo:
            hot_place = Place(directories.hot, "spool.hot_directory")
            undo.callback(hot_place.close)
            hot_place.own()
            cold_place = Place(directories.cold, "spool.directory")
            undo.callback(cold_place.close)
            cold_place.own()
            self._hot = Hot(hot_place, directories.cold, clock=clock, open_tier=open_tier)
            undo.callback(self._hot.close)
            in_cold = _peek(cold_place.file, open_tier)
            tail = (
                {}
                if is_set_aside((hot_place.file, cold_place.file))
                else read_tail(directories.hot)
            )
            found = self._hot.start(in_cold, tail)
            for session, account in found.sessions:
                books.enter(session, account)
                books.end(session.sequence)
            self.register = Register((directories.hot, directories.cold), clock=clock)
            """Tells, after a crash, of the ids that no tier knows."""
            undo.callback(self.register.close, is_settled=False)
            self.tail = Tail(directories.hot, clock=clock)
            """Has the samples that no tier has yet."""
            self._given = self.register.found
            for session in nameless(found, self._given, in_cold):
                books.enter(session, Account(ended=True))
            self._paths = hot_place.file, cold_place.file
            books.note_powered(each.session.id for each in self._given if each.this_boot)
            books.note_strays([*found.rows, *(each.session.sequence for each in self._given)])
            self._hot_rows = sum(count for count, _ in found.rows.values())
            # Sessions of which older samples than those in the hot tier lie in the cold one.
            self._split = frozenset(
                session.sequence
                for session, account in found.sessions
                if account.waiting > found.rows.get(session.sequence, (0, 0))[0]
            )
            self._undeleted = found.settled
            self._cold = Cold(
                cold_place,
                self._hot,
                books,
                held,
                suspect=found.replaced or bool(found.strays),
                clock=clock,
                open_tier=open_tier,
            )
            undo.callback(self._cold.close)
            self._newest = BEFORE_ALL
            if self._hot_rows or self._undeleted:
                self.flush()
            else:
                self._cold.open()  # the first flush reads all of it, on the disk thread
            undo.pop_all()
        self.first_sequence = books.start()
        """The sequence of the first session of this start; those before are of earlier ones."""
        self._newest = books.moved
        self._watch_at_s = clock.monotonic() + _WATCH_EVERY_S

    def close(self) -> None:
        """Let go of the files."""
        noted = self.register.noted()
        settled = all(self._books.sampled(id_) >= next_id for id_, next_id in noted.items())
        settled = settled and self._books.is_written
        self.register.close(is_settled=settled)
        self.tail.close(is_settled=settled)
        self._cold.close()
        self._hot.close()

    @property
    def has_unbooked(self) -> bool:
        """Whether the register tells of ids that are not in the books yet."""
        return bool(self._given)

    @property
    def hot_rows(self) -> int:
        """Number of rows in the hot tier."""
        return self._hot_rows

    @property
    def undeleted(self) -> int:
        """Number of samples that are settled, and still lie in the cold tier."""
        return self._undeleted

    @property
    def cold_state(self) -> ColdState:
        """What the cold tier can do now."""
        return self._cold.state

    @property
    def cold_openings(self) -> int:
        """Number of times that the cold tier was opened, each time perhaps with older samples."""
        return self._cold.openings

    @property
    def cold_is_due(self) -> bool:
        """Whether the cold tier may be written now: it is well, or was left alone for a while."""
        return self._cold.is_due

    def found_damage(self) -> None:
        """A reader missed samples, or met damaged ones: the next flush() counts all rows."""
        self._cold.found_damage()

    def watch(self) -> None:
        """Notice files that were removed or replaced, about once a second."""
        if self._clock.monotonic() >= self._watch_at_s:
            self._watch_at_s = self._clock.monotonic() + _WATCH_EVERY_S
            self._hot.watch()
            self._cold.watch()
            self.register.watch()
            self.tail.watch()

    def commit(self, samples: Sequence[Sample], done: Sequence[Key]) -> None:
        """Keep samples, and forget others that are settled, as the books say.

        StoreError where neither tier takes them.
        """
        given = self._book_given()
        self._commit(samples, done)
        self.register.forget(given)

    def keep_tail(self, sequence: int, noted: int) -> None:
        """After commit(): the tail need not keep the first of its samples, up to this number.

        It takes more of this session, if the hot tier knows it.
        """
        self.tail.release(noted)
        if self._hot.is_well:
            self.tail.serve(sequence)
        else:
            self.tail.rest()

    def _book_given(self) -> list[Session]:
        """Book the ids that no tier knew, once the cold tier's accounts are known; of sessions."""
        if not (self._given and self._cold.has_all_sessions) or is_set_aside(self._paths):
            return []
        given, self._given = self._given, []
        for each in given:
            if lost := self._books.book_given(each.session, each.next_id):
                log.error(
                    "%s in memory alone when the agent was killed, and counted as"
                    " unknown; the last is"
                    " %s of session %s",
                    *(counted(lost, "sample", "was", "were"), each.next_id - 1, each.session.id),
                )
        return [each.session for each in given]

    def _commit(self, samples: Sequence[Sample], done: Sequence[Key]) -> None:
        if self._commit_to_hot(samples, done):
            return
        stored = self._write_through(samples, done)
        if self._hot.is_due:
            self._hot.try_again(self._cold.move, self._books.running())
            stored = stored or self._commit_to_hot(samples, done)
        if not stored:
            raise StoreError("neither directory of the spool can be written")

    def _commit_to_hot(self, samples: Sequence[Sample], done: Sequence[Key]) -> bool:
        if not self._hot.is_well:
            return False
        settled = [key for key in done if key <= self._books.moved]
        try:
            deleted = self._hot.write(
                sessions=self._books.for_hot(),
                rows=map(pack, samples),
                delete=done,
                settled=settled,
            )
        except StoreError as error:
            self._hot.failed(error)
            return False
        self._books.note_written()
        self._hot_rows += len(samples) - deleted
        self._undeleted += len(settled)
        if samples:
            self._newest = Key.of(samples[-1])
        return True

    def _write_through(self, samples: Sequence[Sample], done: Sequence[Key]) -> bool:
        """Put all straight on the disk, with what is left in the hot tier; whether it is there."""
        left = self._hot_rows or self._undeleted
        if not (left or samples or done or self._books.has_news):
            return True
        return self._cold.is_due and self.save(samples, done)

    def save(self, samples: Sequence[Sample], done: Sequence[Key]) -> bool:
        """Put all on the disk past a hot tier that takes no commit; it is deleted."""
        newest = Key.of(samples[-1]) if samples else self._newest
        try:
            stored = self._cold.store_all(newest, samples, done)
        except StoreError as error:
            self._hot.failed(error)
            self._hot.give_up(pack(each) for each in self._held())
            self._cold.found_damage()
            stored = self._cold.store_all(newest, samples, done)
        if not stored:
            return False
        self._newest = newest
        self._books.note_written()
        self._hot.drop()
        self._hot_rows = self._undeleted = 0
        self._cold.fold()
        return True

    def flush(self) -> bool:
        """Carry everything over to the cold tier; whether that succeeded."""
        if self._hot.is_well:
            try:
                stored = self._cold.store_all(self._newest)
            except StoreError as error:  # about the hot tier: it cannot be read
                self._hot.failed(error)
            else:
                if stored:
                    self._forget_hot()
                return stored
        return self._write_through([], [])

    def _forget_hot(self) -> None:
        """The cold tier has all."""
        try:
            self._hot.clear(self._cold.move, self._books.for_hot())
        except StoreError as error:
            self._hot.failed(error)
            self._hot.drop()  # not used again with rows and a move that are out of date
        self._books.note_written()
        self._hot_rows = self._undeleted = 0
        self._cold.fold()

    def delete_settled(self) -> bool:
        """Delete the settled samples from the cold tier; whether that succeeded."""
        if not self._cold.has_all_sessions:
            return self.flush()
        if not self._cold.delete_settled():
            return False
        self._books.note_deleted()
        try:
            self._hot.forget_settled(self._cold.move)
        except StoreError as error:
            self._hot.failed(error)
        self._undeleted = 0
        return True

    def read(self, after: Key, limit: int) -> Page:
        """The samples that come next, at most `limit`.

        While the cold tier was never open, not those of sessions with older samples there.
        """
        rows = self._cold.read(after, limit)
        if self.cold_state is ColdState.AWAY:
            return Page([], [], after, more=True)
        last = rows[-1].key if rows else after
        try:
            settled = set(self._hot.settled(after, last)) if self._undeleted else ()
            if len(rows) < limit:
                rows += self._hot.read(last, limit - len(rows))
        except StoreError as error:
            self._hot.failed(error)
            raise
        page = Page([], [], rows[-1].key if rows else after, more=len(rows) == limit)
        held_back = self._split if self.cold_state is ColdState.UNMET else frozenset()
        for row in rows:
            session = self._books.find(row.session)
            if session is None or row.key in settled or row.session in held_back:
                continue
            sample = unpack(row, session)
            if sample:
                page.samples.append(sample)
            else:
                page.damaged.append(row.key)
        return page


def _peek(path: Path, open_tier: OpenTier) -> tuple[int, Sessions] | None:
    """The last move and the sessions that the cold tier knows, where it can be read."""
    try:
        if not path.exists():
            return None
        with closing(open_tier(path, None)) as tier:
            return tier.moves(), tier.sessions()
    except (OSError, ValueError):
        return None  # it is opened later, by one who can mend it
