"""The two tiers as one store: RAM while all is well, disk for what waits long."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from agent.model import Sample
from agent.spool.books import Books, Sessions
from agent.spool.cold import Cold
from agent.spool.places import occupy
from agent.spool.rescue import open_tier
from agent.spool.tier import BEFORE_ALL, FILE, Key, Tier, pack, unpack
from quartet.errors import StoreError


class Page(NamedTuple):
    """The next samples in their order, keys of those that are damaged, and where it ended."""

    samples: list[Sample]
    damaged: list[Key]
    last: Key
    more: bool


class Tiers:
    """Keeps samples from commit() on until they are done with. Disk thread, or before it starts.

    The hot tier is also the write-ahead log of the cold one: it takes each
    commit, and flush() carries all of it over. Whenever the process dies, the
    hot tier's accounts are at least as new as the cold tier's, and a flush that
    was cut short is done again. StoreError at start where a directory cannot
    be used or belongs to a running agent; later where the hot tier cannot be
    written.
    """

    def __init__(
        self, hot_directory: Path, directory: Path, held: Callable[[], Iterable[Sample]]
    ) -> None:
        with ExitStack() as undo:
            lock = occupy(hot_directory, "spool.hot_directory")
            if lock is None:
                raise StoreError(f"spool.hot_directory: {hot_directory} cannot be written")
            self._hot_lock = lock
            undo.callback(lock.close)
            self._hot, found, replaced = open_tier(hot_directory / FILE, "off", _look)
            undo.callback(self._hot.close)
            self.books = Books()
            for session, account in found.sessions:
                self.books.enter(session, account)
                self.books.end(session.sequence)
            self.books.has_strays(found.rows)
            self.hot_rows = sum(count for count, _ in found.rows.values())
            self.unsettled = found.settled
            """How many samples are done with, and still lie in the cold tier."""
            self.cold = Cold(directory, self._hot, self.books, held)
            undo.callback(self.cold.close)
            self.cold.suspect = replaced
            self._newest = BEFORE_ALL
            self.flush()
            undo.pop_all()
        # What earlier sessions left may be in either tier.
        self.books.first_place = self.books.next_sequence()
        self._newest = self.books.moved = Key(self.books.first_place, -1)

    def close(self) -> None:
        """Let go of the files."""
        self.cold.close()
        self._hot.close()
        self._hot_lock.close()

    def commit(self, samples: Sequence[Sample], done: Sequence[Key]) -> None:
        """Keep samples, and forget others that are done with, as the books say."""
        settled = [key for key in done if key <= self.books.moved]
        deleted = self._hot.write(
            sessions=self.books.for_hot(),
            rows=map(pack, samples),
            delete=done,
            settle=settled,
        )
        self.books.hot_has_heard()
        self.hot_rows += len(samples) - deleted
        self.unsettled += len(settled)
        if samples:
            self._newest = Key.of(samples[-1])

    def flush(self) -> bool:
        """Carry everything over to the cold tier; whether that succeeded."""
        if not self.cold.take_all():
            return False
        self.books.cold_has_all(self._newest)
        self._hot.empty(self.cold.move, self.books.for_hot())
        self.books.hot_has_heard()
        self.hot_rows = self.unsettled = 0
        self.cold.fold()
        return True

    def save(self, samples: Sequence[Sample], done: Sequence[Key]) -> bool:
        """At the end: put all on the disk past a hot tier that takes no commit; it is deleted."""
        if not self.cold.take_all(samples, done):
            return False
        self._hot.delete()
        return True

    def settle(self) -> bool:
        """Delete from the cold tier what is done with; whether that succeeded."""
        if not self.cold.has_all_sessions:
            return self.flush()
        if not self.cold.delete_settled():
            return False
        self.books.cold_has_heard()
        self._hot.forget_settled(self.cold.move)
        self.unsettled = 0
        return True

    def read(self, after: Key, limit: int) -> Page:
        """The samples that come next, at most `limit`."""
        rows = self.cold.read(after, limit)
        if self.cold.away:
            return Page([], [], after, more=True)
        last = rows[-1].key if rows else after
        settled = set(self._hot.settled(after, last)) if self.unsettled else ()
        if len(rows) < limit:
            rows += self._hot.read(last, limit - len(rows))
        page = Page([], [], rows[-1].key if rows else after, more=len(rows) == limit)
        for row in rows:
            session = self.books.find(row.session)
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
    """Check the whole of a hot tier, which is small, and write to it: damage shows at once."""
    hot.check()
    hot.write(move=hot.moves())
    return _Found(hot.sessions(), hot.counts(), sum(1 for _ in hot.settled()))
