"""The two tiers as one store: RAM while all is well, disk for samples that wait long."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from agent.model import Sample
from agent.spool.account import Sessions
from agent.spool.books import Books
from agent.spool.cold import Cold
from agent.spool.condition import ColdState
from agent.spool.directories import FILE, Directories, occupy
from agent.spool.rescue import TierFile
from agent.spool.row import BEFORE_ALL, Key, pack, unpack
from agent.spool.tier import OpenTier, Tier
from quartet.clock import Clock
from quartet.errors import StoreError


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
    was cut short is done again. StoreError at start where a directory cannot
    be used or belongs to a running agent; later where the hot tier cannot be
    written. `held` gives the samples in memory.
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
        with ExitStack() as undo:
            lock = occupy(directories.hot, "spool.hot_directory")
            if lock is None:
                raise StoreError(f"spool.hot_directory: {directories.hot} cannot be written")
            self._hot_lock = lock
            undo.callback(lock.close)
            hot_file = TierFile(directories.hot / FILE, "off", open_tier)
            self._hot, found, replaced = hot_file.open(_look)
            undo.callback(self._hot.close)
            for session, account in found.sessions:
                books.enter(session, account)
                books.end(session.sequence)
            books.note_strays(found.rows)
            self._hot_rows = sum(count for count, _ in found.rows.values())
            self._undeleted = found.settled
            self._cold = Cold(
                directories.cold,
                self._hot,
                books,
                held,
                suspect=replaced,
                clock=clock,
                open_tier=open_tier,
            )
            undo.callback(self._cold.close)
            self._newest = BEFORE_ALL
            self.flush()
            undo.pop_all()
        self.first_sequence = books.start()
        """The sequence of the first session of this start; those before are of earlier ones."""
        self._newest = books.moved

    def close(self) -> None:
        """Let go of the files."""
        self._cold.close()
        self._hot.close()
        self._hot_lock.close()

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

    def commit(self, samples: Sequence[Sample], done: Sequence[Key]) -> None:
        """Keep samples, and forget others that are settled, as the books say."""
        settled = [key for key in done if key <= self._books.moved]
        deleted = self._hot.write(
            sessions=self._books.for_hot(),
            rows=map(pack, samples),
            delete=done,
            settled=settled,
        )
        self._books.note_written()
        self._hot_rows += len(samples) - deleted
        self._undeleted += len(settled)
        if samples:
            self._newest = Key.of(samples[-1])

    def flush(self) -> bool:
        """Carry everything over to the cold tier; whether that succeeded."""
        if not self._cold.store_all():
            return False
        self._books.note_moved(self._newest)
        self._hot.clear(self._cold.move, self._books.for_hot())
        self._books.note_written()
        self._hot_rows = self._undeleted = 0
        self._cold.fold()
        return True

    def save(self, samples: Sequence[Sample], done: Sequence[Key]) -> bool:
        """At the end: put all on the disk past a hot tier that takes no commit; it is deleted."""
        if not self._cold.store_all(samples, done):
            return False
        self._hot.delete()
        return True

    def delete_settled(self) -> bool:
        """Delete the settled samples from the cold tier; whether that succeeded."""
        if not self._cold.has_all_sessions:
            return self.flush()
        if not self._cold.delete_settled():
            return False
        self._books.note_deleted()
        self._hot.forget_settled(self._cold.move)
        self._undeleted = 0
        return True

    def read(self, after: Key, limit: int) -> Page:
        """The samples that come next, at most `limit`."""
        rows = self._cold.read(after, limit)
        if self.cold_state is ColdState.AWAY:
            return Page([], [], after, more=True)
        last = rows[-1].key if rows else after
        settled = set(self._hot.settled(after, last)) if self._undeleted else ()
        if len(rows) < limit:
            rows += self._hot.read(last, limit - len(rows))
        page = Page([], [], rows[-1].key if rows else after, more=len(rows) == limit)
        for row in rows:
            session = self._books.find(row.session)
            if session is None or row.key in settled:
                continue
            sample = unpack(row, session)
            if sample:
                page.samples.append(sample)
            else:
                page.damaged.append(row.key)
        return page


class _Found(NamedTuple):
    sessions: Sessions
    rows: dict[int, tuple[int, int]]
    settled: int


def _look(hot: Tier) -> _Found:
    """Check the whole of a hot tier, which is small, and use it: damage shows at once."""
    hot.check()
    hot.read(BEFORE_ALL, 1)
    hot.write(move=hot.moves())
    return _Found(hot.sessions(), hot.counts(), sum(1 for _ in hot.settled()))
