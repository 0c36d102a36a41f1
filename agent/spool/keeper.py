"""What is kept, what is dropped, and when the disk is written."""

import logging
import time
from collections import deque
from collections.abc import Iterable

from agent.config import SpoolSettings
from agent.model import Sample, Session
from agent.spool.account import Fate
from agent.spool.queue import Queue, Work
from agent.spool.tier import BEFORE_ALL, SAMPLE_BYTES, Key
from agent.spool.tiers import Page, Tiers
from quartet.errors import StoreError

log = logging.getLogger(__name__)

# A hot tier that takes no commit has samples pile up in memory, 30 MB at the most.
_MOST_UNCOMMITTED = 65536

# What is done with is deleted from the disk this often, in one commit.
_SETTLE_EVERY_S = 1.0
_MOST_UNSETTLED = 8192

# So often the accounts go to the disk in any case: a power cut then leaves less unknown.
_ACCOUNTS_EVERY_S = 3600.0

# How old the oldest sample in RAM is, is known to within this part of spill_after_s.
_AGE_STEP = 0.25

# A spool is full no more once this much of it is free, lest each sample be an episode.
_ROOM_AGAIN = 0.9


class Keeper:
    """Keeps what gathers in the queue, and brings what comes next to its reader. Disk thread."""

    def __init__(self, tiers: Tiers, queue: Queue, settings: SpoolSettings) -> None:
        self._tiers = tiers
        self._books = tiers.books
        self._queue = queue
        self._settings = settings
        self._room = settings.max_bytes // SAMPLE_BYTES
        self._hot_room = settings.hot_max_bytes // SAMPLE_BYTES
        self._session: Session | None = None
        self._uncommitted: list[Sample] = []
        self._undelivered: list[Sample] = []
        self._done: list[Key] = []
        self._taken = 0  # from the queue, and not delivered yet
        self._cursor = BEFORE_ALL  # where delivery goes on, when behind
        self._behind = True
        self._delivered: frozenset[Key] = frozenset()  # before, of what comes after the cursor
        self._marks: deque[tuple[float, Key]] = deque()  # since when samples from a key on wait
        self._written_at_s = self._flushed_at_s = time.monotonic()
        self._flush_now = False
        self._episode = 0  # how many samples were dropped since it began
        self.failing = False
        """Whether the hot tier takes no commit: samples gather in memory."""
        self.dropped = 0

    def step(self, work: Work) -> None:
        """Book, commit and deliver what gathered; write the disk where that is due."""
        self._book(work)
        try:
            self._make_room()
            self._commit()
            self._write_disk(closing=work.closing)
            if self._tiers.cold.reopened:
                self._start_over()
            self._deliver()
        except StoreError as error:
            self._failed(error)

    def close(self) -> None:
        """Let go of the tiers, after the last step."""
        if self._episode:
            log.warning("the spool was full; %d samples were dropped", self._episode)
        if self.failing and not self._tiers.save(self._uncommitted, self._done):
            log.error("%d samples could not be kept", len(self._uncommitted))
        self._tiers.close()

    def _book(self, work: Work) -> None:
        for sample, answered in work.settled:
            key = Key.of(sample)
            self._done.append(key)
            if answered:
                self._books.answered(key)
            else:
                self._books.book(Fate.UNANSWERABLE, key)
        for sample in work.appended:
            if sample.session is not self._session:
                self._begin(sample.session)
            self._books.sampled(Key.of(sample))
        self._uncommitted += work.appended
        self._taken += len(work.appended)
        if work.closing and self._session:
            self._books.end(self._session.sequence)

    def _begin(self, session: Session) -> None:
        if self._session:
            self._books.end(self._session.sequence)
        self._session = session
        self._books.begin(session)
        self._flush_now = True

    # What does not fit

    def _make_room(self) -> None:
        self._refuse(Fate.STALLED, len(self._uncommitted) - _MOST_UNCOMMITTED)
        excess = self._books.kept - self._room
        excess_in_ram = 0
        if self._tiers.cold.failing:
            freed = sum(key > self._books.moved for key in self._done)
            in_ram = self._tiers.hot_rows + len(self._uncommitted) - freed
            excess_in_ram = in_ram - self._hot_room
        if self._settings.when_full == "refuse_new":
            self._refuse(Fate.REFUSED, max(excess, excess_in_ram))
        else:
            freed_in_ram = self._drop_oldest(excess, BEFORE_ALL)
            self._drop_oldest(excess_in_ram - freed_in_ram, self._books.moved)
        if self._books.kept <= _ROOM_AGAIN * self._room and excess_in_ram <= 0:
            self._end_episode()

    def _refuse(self, fate: Fate, count: int) -> None:
        """Turn the newest samples away; what is committed stays."""
        if count > 0:
            refused = self._uncommitted[-count:]
            del self._uncommitted[-count:]
            self._drop(fate, map(Key.of, refused))

    def _drop_oldest(self, count: int, after: Key) -> int:
        """Drop the oldest samples after this key that are not on their way to the broker.

        Gives how many of them were in RAM alone.
        """
        if count <= 0:
            return 0
        dropped = self._drop_kept(self._queue.take_back(count, after))
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
        newest = self._uncommitted[: count - len(dropped)]
        del self._uncommitted[: len(newest)]
        dropped += map(Key.of, newest)
        self._drop(Fate.FULL, map(Key.of, newest))
        return sum(key > self._books.moved for key in dropped)

    def _drop_kept(self, samples: list[Sample]) -> list[Key]:
        keys = [Key.of(sample) for sample in samples]
        self._done += keys
        self._drop(Fate.FULL, keys)
        return keys

    def _drop(self, fate: Fate, keys: Iterable[Key]) -> None:
        count = 0
        for count, key in enumerate(keys, 1):  # noqa: B007 - counts
            self._books.book(fate, key)
        if count and not self._episode:
            log.error("the spool is full%s: %s", self._bound(), _SAID[fate])
        self._episode += count
        self.dropped += count

    def _bound(self) -> str:
        """Which bound is reached, as far as that is a setting."""
        if self._books.kept >= self._room:
            return " (spool.max_bytes)"
        return " (spool.hot_max_bytes, and no disk)" if self._tiers.cold.failing else ""

    def _end_episode(self) -> None:
        """Say how much was dropped since the spool was full, if it was."""
        if self._episode:
            log.warning("the spool has room again; %d samples were dropped", self._episode)
            self._episode = 0

    def _lose_damaged(self, page: Page) -> None:
        """Give up the samples of damaged rows, unless they are in memory or in another row."""
        if not page.damaged:
            return
        safe = self._delivered.union(map(Key.of, page.samples), map(Key.of, self._queue.held()))
        keys = [key for key in dict.fromkeys(page.damaged) if key not in safe]
        if keys:
            log.error("%d samples in the spool are damaged, from %s on", len(keys), keys[0])
        for key in keys:
            self._books.book(Fate.DAMAGED, key)
        self._done += keys

    # What is kept

    def _commit(self) -> None:
        if self._tiers.cold.is_open and not self._tiers.cold.reopened:
            self._books.nothing_waits_before(self._oldest())
        self._tiers.commit(self._uncommitted, self._done)
        if self._uncommitted:
            now_s, first = time.monotonic(), Key.of(self._uncommitted[0])
            step_s = _AGE_STEP * self._settings.spill_after_s
            if not self._marks or now_s - self._marks[-1][0] >= step_s:
                self._marks.append((now_s, first))
        self._undelivered += self._uncommitted
        self._uncommitted, self._done = [], []
        if self.failing:
            self.failing = False
            log.info("samples are kept safely again")

    def _oldest(self) -> Key:
        """A key before which nothing waits."""
        keys = [Key.of(sample) for sample in (*self._undelivered[:1], *self._uncommitted[:1])]
        if oldest := self._queue.oldest():
            keys.append(oldest)
        if self._behind:
            keys.append(self._cursor._replace(id=self._cursor.id + 1))
        return min(keys, default=BEFORE_ALL)

    def _write_disk(self, *, closing: bool) -> None:
        """Carry all over to the disk where that is due, or else delete there what is done with."""
        oldest_waits_s = self._oldest_waits_s()
        if not (closing or self._tiers.cold.may_try):
            return
        tiers, since_s = self._tiers, time.monotonic() - self._written_at_s
        if (
            closing
            or self._flush_now
            or tiers.cold.failing
            or (self._settings.durability == "disk" and self._undelivered)
            or oldest_waits_s >= self._settings.spill_after_s
            or tiers.hot_rows >= self._hot_room // 2
            or time.monotonic() - self._flushed_at_s >= _ACCOUNTS_EVERY_S
        ):
            self._flush()
        elif tiers.unsettled and (since_s >= _SETTLE_EVERY_S or tiers.unsettled >= _MOST_UNSETTLED):
            self._written_at_s = time.monotonic()
            tiers.settle()

    def _oldest_waits_s(self) -> float:
        """For how long the oldest sample that is only in RAM has been waiting."""
        oldest = self._queue.oldest()
        if oldest is None and not self._behind:
            if not self._undelivered:
                self._marks.clear()
                return 0.0
            oldest = Key.of(self._undelivered[0])
        while oldest and len(self._marks) > 1 and self._marks[1][1] <= oldest:
            self._marks.popleft()
        return time.monotonic() - self._marks[0][0] if self._marks else 0.0

    def _flush(self) -> None:
        self._written_at_s = time.monotonic()
        if self._tiers.flush():
            self._flushed_at_s = self._written_at_s
            self._flush_now = False
            self._marks.clear()

    # What is delivered

    def _deliver(self) -> None:
        samples, self._undelivered = self._undelivered, []
        if not self._behind:
            ready = samples[: self._queue.room]
            if ready:
                self._cursor = Key.of(ready[-1])
            self._behind = len(ready) < len(samples)
            self._hand_over(ready)
        else:
            self._hand_over([])
        # What comes next may lie on a disk that cannot be read: nothing passes it.
        if self._behind and self._queue.wants_more() and not self._tiers.cold.away:
            self._read_on()

    def _read_on(self) -> None:
        page = self._tiers.read(self._cursor, self._queue.room)
        self._cursor, self._behind = page.last, page.more
        self._lose_damaged(page)
        self._hand_over([s for s in page.samples if Key.of(s) not in self._delivered])
        # Now all that is kept is in memory; or a file has lost some without a word.
        missing = not page.more and self._books.kept != len(self._queue.held())
        if page.damaged or (missing and self._tiers.cold.is_open):
            self._tiers.cold.suspect = self._flush_now = True

    def _hand_over(self, samples: list[Sample]) -> None:
        blocked = self._behind and self._tiers.cold.away
        self._queue.deliver(samples, done=self._taken, behind=self._behind, blocked=blocked)
        self._taken = 0

    def _start_over(self) -> None:
        """The cold tier is there again, perhaps with samples that are older than all others."""
        self._tiers.cold.reopened = False
        self._undelivered.clear()
        self._delivered = self._queue.start_over()
        self._cursor, self._behind = BEFORE_ALL, True

    def _failed(self, error: StoreError) -> None:
        level = logging.DEBUG if self.failing else logging.ERROR
        log.log(level, "%s; samples gather in memory until it can be written", error)
        self.failing = True


_SAID = {
    Fate.FULL: "the oldest samples are dropped until the broker answers",
    Fate.REFUSED: "new samples are refused until the broker answers",
    Fate.STALLED: "new samples are dropped until a commit succeeds",
}
