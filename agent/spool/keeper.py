"""What is kept, what is dropped, and when the disk is written."""

import logging
import time
from collections.abc import Mapping, Sequence

from agent.config import SpoolSettings
from agent.model import Sample, Session
from agent.spool.account import Fate
from agent.spool.books import Books
from agent.spool.coming import MOST_UNCOMMITTED
from agent.spool.condition import ColdState
from agent.spool.fullness import Fullness
from agent.spool.queue import Queue, Work
from agent.spool.row import AFTER_ALL, BEFORE_ALL, SAMPLE_BYTES, Key
from agent.spool.schedule import WriteSchedule
from agent.spool.tiers import Page, Tiers
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.outage import Outage
from quartet.plural import counted

log = logging.getLogger(__name__)

# The spool is full until it holds no more than this part, or each sample would be an episode.
_ROOM_AGAIN = 0.9


class Keeper:
    """Keeps the samples of the queue, and brings the next ones to its reader. Disk thread."""

    def __init__(
        self,
        tiers: Tiers,
        books: Books,
        queue: Queue,
        schedule: WriteSchedule,
        settings: SpoolSettings,
        *,
        clock: Clock = time,
    ) -> None:
        self._tiers = tiers
        self._books = books
        self._queue = queue
        self._settings = settings
        self._schedule = schedule
        self._room = settings.max_bytes // SAMPLE_BYTES
        self._hot_room = settings.hot_max_bytes // SAMPLE_BYTES
        self._session: Session | None = None
        self._uncommitted: list[Sample] = []
        self._undelivered: list[Sample] = []
        self._done: list[Key] = []
        self._cursor = BEFORE_ALL  # where delivery goes on, when behind
        self._behind = True
        self._openings = 0  # of the cold tier, when delivery started over
        self._delivered: frozenset[Key] = frozenset()  # those after the cursor, not to repeat
        self._fullness = Fullness()
        self._outage = Outage(log, clock)

    @property
    def dropped(self) -> int:
        """Number of samples that were dropped because the spool was full."""
        return self._fullness.count

    @property
    def dropped_by(self) -> Mapping[Fate, int]:
        """The same, by the reason."""
        return self._fullness.counts

    @property
    def failing(self) -> bool:
        """Whether no tier takes a commit: samples gather in memory."""
        return self._outage.is_on

    def step(self, work: Work) -> None:
        """Book, commit and deliver what gathered; write the disk where that is due."""
        self._book(work)
        is_kept = self._keep(work)
        try:
            if self._openings != self._tiers.cold_openings:
                self._start_over()
            self._deliver(is_kept=is_kept)
        except StoreError as error:
            self._failed(error)

    def _keep(self, work: Work) -> bool:
        """Bring all that gathered into a tier; whether one took it."""
        try:
            self._tiers.watch()
            self._make_room()
            self._commit()
            if self._session and self._settings.durability == "ram":
                self._tiers.keep_tail(self._session.sequence, work.noted)
            self._write_disk(closing=work.closing)
        except StoreError as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: StoreError) -> None:
        self._outage.failed("%s; they are kept in memory alone until one can be written", error)

    def close(self) -> None:
        """Let go of the tiers, after the last step."""
        self._fullness.closed()
        if self.failing and not self._tiers.save(self._uncommitted, self._done):
            log.error(
                "%s could not be saved: the next start counts them as unknown, and"
                " may send answered"
                " samples again",
                counted(len(self._uncommitted), "sample"),
            )
        self._tiers.close()

    def _book(self, work: Work) -> None:
        sessions = [each.session for each in work.appended]
        sessions += [each.session for each in work.passed]
        by_sequence = {each.sequence: each for each in sessions}
        for sequence in sorted(by_sequence):
            if by_sequence[sequence] != self._session:
                self._begin(by_sequence[sequence])
        for sample in work.appended:
            self._books.book_sample(Key.of(sample))
        for run in work.passed:
            self._books.book_passed(run.session.sequence, run.first, run.last, run.fate)
            if run.fate is Fate.STALLED:
                self._fullness.dropped(run.fate, run.last - run.first + 1, self._bound())
        for sample, answered in work.settled:
            key = Key.of(sample)
            self._done.append(key)
            if answered:
                self._books.book_answer(key)
            else:
                self._books.book_fate(Fate.UNANSWERABLE, key)
        self._uncommitted += work.appended
        if work.closing and self._session:
            self._books.end(self._session.sequence)

    def _begin(self, session: Session) -> None:
        if self._session:
            self._books.end(self._session.sequence)
        self._session = session
        self._books.begin(session)
        self._schedule.flush_soon()

    # Room

    def _make_room(self) -> None:
        self._refuse(Fate.STALLED, len(self._uncommitted) - MOST_UNCOMMITTED)
        excess = self._books.kept - self._room
        excess_in_ram = 0
        if self._disk_fails:
            freed = sum(key > self._books.moved for key in self._done)
            in_ram = self._tiers.hot_rows + len(self._uncommitted) - freed
            excess_in_ram = in_ram - self._hot_room
        if self._settings.when_full == "refuse_new":
            self._refuse(Fate.REFUSED, max(excess, excess_in_ram))
        else:
            freed_in_ram = self._drop_oldest(excess, BEFORE_ALL)
            self._drop_oldest(excess_in_ram - freed_in_ram, self._books.moved)
        if self._books.kept <= _ROOM_AGAIN * self._room and excess_in_ram <= 0:
            self._fullness.ended()

    def _refuse(self, fate: Fate, count: int) -> None:
        """Turn the newest samples away; what is committed stays."""
        if count > 0:
            self._refuse_these(fate, self._uncommitted[-count:])

    def _refuse_these(self, fate: Fate, samples: list[Sample]) -> list[Key]:
        """Turn samples away, except those that were sent from memory; the keys."""
        keys = [*map(Key.of, self._queue.refuse(samples))]
        gone = set(keys)
        self._uncommitted = [each for each in self._uncommitted if Key.of(each) not in gone]
        self._drop(fate, keys)
        return keys

    def _drop_oldest(self, count: int, after: Key) -> int:
        """Drop the oldest samples after this key that were not sent; the number in RAM alone."""
        if count <= 0:
            return 0
        dropped = self._drop_kept(self._queue.withdraw(count, after))
        position = max(self._cursor, after)
        gone = self._delivered.union(self._done)
        while len(dropped) < count and self._behind:
            page = self._tiers.read(position, count - len(dropped))
            if page.last == position:
                break
            position = page.last
            if after <= self._cursor:
                self._cursor = position
            self._lose_damaged(page)
            dropped += self._drop_kept(
                [sample for sample in page.samples if Key.of(sample) not in gone]
            )
        if len(dropped) < count:
            newest = self._uncommitted[: count - len(dropped)]
            dropped += self._refuse_these(Fate.FULL, newest)
        return sum(key > self._books.moved for key in dropped)

    def _drop_kept(self, samples: list[Sample]) -> list[Key]:
        keys = [Key.of(sample) for sample in samples]
        self._done += keys
        self._drop(Fate.FULL, keys)
        return keys

    def _drop(self, fate: Fate, keys: Sequence[Key]) -> None:
        for key in keys:
            self._books.book_fate(fate, key)
        self._fullness.dropped(fate, len(keys), self._bound())

    def _bound(self) -> str:
        """The setting whose bound is reached, in brackets, where it is one."""
        if self._books.kept >= self._room:
            return " (spool.max_bytes)"
        return " (spool.hot_max_bytes, and no disk)" if self._disk_fails else ""

    def _lose_damaged(self, page: Page) -> None:
        """Give up the samples of damaged rows, unless they are in memory or in another row."""
        if not page.damaged:
            return
        safe = self._delivered.union(map(Key.of, page.samples), map(Key.of, self._queue.held()))
        keys = [key for key in dict.fromkeys(page.damaged) if key not in safe]
        # A row whose key is damaged may name a sample that never was.
        lost = [key for key in keys if self._books.may_hold(key)]
        if lost:
            damaged = counted(len(lost), "sample", "is", "are")
            log.error("%s damaged in the spool, from %s on", damaged, lost[0])
        for key in lost:
            self._books.book_fate(Fate.DAMAGED, key)
        self._done += keys

    # Commits

    @property
    def _disk_fails(self) -> bool:
        return self._tiers.cold_state is not ColdState.WELL

    def _commit(self) -> None:
        if self._tiers.cold_state.is_open and self._openings == self._tiers.cold_openings:
            self._books.raise_done_below(self._oldest())
        self._skip_answered()
        self._tiers.commit(self._uncommitted, self._done)
        if self._uncommitted:
            self._schedule.committed(Key.of(self._uncommitted[0]))
        self._undelivered += self._uncommitted
        self._uncommitted, self._done = [], []
        self._outage.ended("samples are stored safely again")

    def _skip_answered(self) -> None:
        """Write no row of what was sent from memory and is settled before its commit."""
        if self._done and self._uncommitted:
            done, unwritten = set(self._done), set(map(Key.of, self._uncommitted))
            self._uncommitted = [each for each in self._uncommitted if Key.of(each) not in done]
            self._done = [key for key in self._done if key not in unwritten]

    def _oldest(self) -> Key:
        """A key before which every sample is settled."""
        keys = [Key.of(sample) for sample in (*self._undelivered[:1], *self._uncommitted[:1])]
        if oldest := self._queue.oldest():
            keys.append(oldest)
        if self._behind:
            keys.append(self._cursor._replace(id=self._cursor.id + 1))
        return min(keys, default=BEFORE_ALL)

    def _write_disk(self, *, closing: bool) -> None:
        """Carry all over to the disk where that is due; otherwise delete settled samples there."""
        self._note_settled()
        if not (closing or self._tiers.cold_is_due):
            return
        must_be_durable = self._settings.durability == "disk" and bool(self._undelivered)
        if (
            closing
            or self._disk_fails
            or must_be_durable
            or self._schedule.flush_is_due(self._tiers.hot_rows)
        ):
            self._schedule.tried()
            if self._tiers.flush():
                self._schedule.flushed()
        elif self._schedule.delete_is_due(self._tiers.undeleted):
            self._schedule.tried()
            self._tiers.delete_settled()

    def _note_settled(self) -> None:
        oldest = self._queue.oldest()
        if oldest is None and not self._behind:
            oldest = Key.of(self._undelivered[0]) if self._undelivered else AFTER_ALL
        if oldest:
            self._schedule.settled_before(oldest)

    # Delivery

    def _deliver(self, *, is_kept: bool) -> None:
        """Bring the next samples to the reader; `is_kept`: all that gathered is in a tier."""
        samples, self._undelivered = self._undelivered, []
        taken = self._queue.take_over(samples, behind=self._behind)
        if taken:
            self._cursor = Key.of(samples[taken - 1])
        self._behind = self._behind or taken < len(samples)
        self._queue.deliver([], behind=self._behind, blocked=self._is_blocked, well=is_kept)
        # While the next samples lie on a disk that cannot be read, no newer one is delivered.
        if self._behind and self._queue.wants_more and not self._is_blocked:
            self._read_on(is_kept=is_kept)

    @property
    def _is_blocked(self) -> bool:
        return self._behind and self._tiers.cold_state is ColdState.AWAY

    def _read_on(self, *, is_kept: bool) -> None:
        page = self._tiers.read(self._cursor, self._queue.room)
        self._cursor, self._behind = page.last, page.more
        self._lose_damaged(page)
        samples = [each for each in page.samples if Key.of(each) not in self._delivered]
        self._queue.deliver(samples, behind=self._behind, blocked=self._is_blocked, well=is_kept)
        # Now all kept samples are in memory; otherwise a file has lost some without an error.
        missing = is_kept and not page.more and self._books.kept != len(self._queue.held())
        if page.damaged or (missing and self._tiers.cold_state.is_open):
            self._tiers.found_damage()
            self._schedule.flush_soon()

    def _start_over(self) -> None:
        """Read from the start: the cold tier was opened, perhaps with older samples than all."""
        self._openings = self._tiers.cold_openings
        self._queue.take_over(self._undelivered, behind=True)
        self._undelivered.clear()
        self._delivered = self._queue.start_over().union(self._done)
        self._cursor, self._behind = BEFORE_ALL, True
