"""The spool as the other stages see it: readings in, samples out, nothing forgotten between."""

import logging
import os
import threading
import time
from collections.abc import Mapping

from agent.config import SpoolSettings
from agent.model import Reading, Sample, Session
from agent.spool.books import Books
from agent.spool.coming import PATIENCE_S, Coming
from agent.spool.directories import FILE, Directories
from agent.spool.keeper import Keeper
from agent.spool.queue import Queue
from agent.spool.register import FILE as REGISTER
from agent.spool.schedule import WriteSchedule
from agent.spool.tail import FILE as TAIL
from agent.spool.tier import OpenTier, Tier
from agent.spool.tiers import Tiers
from quartet.clock import Clock
from wire import MAX_ID

log = logging.getLogger(__name__)

# The disk thread beats at least this often.
_TICK_S = 2.0

# A hot tier that takes no commit is tried again this often.
_RETRY_S = 0.5

# A stop waits this long for a disk that hangs. Committed samples are safe in RAM.
_JOIN_S = 5.0


class Spool:
    """Gives out ids, and keeps samples over crashes, outages and restarts. Owns the disk thread.

    read() gives a sample only when its commit would survive the death of the
    process; earlier sessions come first. `append` and `finish` are called on
    the bus thread, everything else on the loop that it was made on. StoreError
    where the directories cannot be used.
    """

    def __init__(
        self,
        directories: Directories,
        settings: SpoolSettings,
        period_ns: int,
        *,
        clock: Clock = time,
        open_tier: OpenTier = Tier,
        max_id: int = MAX_ID,
        join_s: float = _JOIN_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._period_ns = period_ns
        self._clock = clock
        self._max_id = max_id
        self._join_s = join_s
        self._queue = Queue(coming=Coming(patience_s=patience_s, clock=clock), clock=clock)
        self._books = Books()
        tiers = Tiers(directories, self._books, self._queue.held, clock=clock, open_tier=open_tier)
        schedule = WriteSchedule(settings, clock=clock)
        self._keeper = Keeper(tiers, self._books, self._queue, schedule, settings, clock=clock)
        self._register, self._tail = tiers.register, tiers.tail
        self.first_sequence = tiers.first_sequence
        """The sequence of the first session of this start; those before are of earlier ones."""
        self._next_sequence = self.first_sequence
        self._sensors = b""
        self._session: Session | None = None  # guarded by: bus thread
        self._next_id = 0  # guarded by: bus thread
        self._files = [
            os.path.join(directory, name)  # noqa: PTH118 - cheaper, and asked often
            for directory in (directories.cold, directories.hot)
            for name in (FILE, f"{FILE}-wal", REGISTER, TAIL)
        ]
        self.private = directories.private
        """Whether unanswered samples are deleted at the end of the process."""
        self._found = self._books.kept
        self._lost_before = self._books.lost
        self.latest: Sample | None = None
        self.sampled = 0
        self.answered = 0
        self.unanswerable = 0
        self._beat_ns = clock.monotonic_ns()  # written by: disk thread
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="disk", daemon=True)
        self._thread.start()

    @property
    def earlier(self) -> int:
        """Number of samples of earlier sessions that were kept at the start, as far as known."""
        return self._found + self._books.met_late

    @property
    def dropped(self) -> int:
        """Number of samples that were dropped because the spool was full."""
        return self._keeper.dropped

    @property
    def dropped_by(self) -> Mapping[str, int]:
        """The same, by the reason: full, refused, stalled."""
        return {fate.name.lower(): count for fate, count in self._keeper.dropped_by.items()}

    @property
    def size(self) -> int:
        """Bytes of its files, on disk and in RAM. They are open: their sizes are in memory."""
        return sum(map(_size, self._files))

    @property
    def lost(self) -> int:
        """Number of samples since the start that a damaged file did not give back."""
        return self._books.lost - self._lost_before

    @property
    def from_memory(self) -> int:
        """Number of samples since the start that were sent while no tier had them."""
        return self._queue.from_memory

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in a few words, if anything is."""
        return "spool: samples are kept in memory alone" if self._queue.is_alone else None

    @property
    def beat_ns(self) -> int:
        """When the disk thread last gave a sign of life, on the monotonic clock.

        While a disk hangs and samples are in memory alone, a restart would only lose them. While
        they pass it by way of the tail, it would only end the sampling.
        """
        queue = self._queue
        is_needed = queue.is_alone or queue.is_held_up or queue.has_news
        return self._clock.monotonic_ns() if is_needed else self._beat_ns

    @property
    def unanswered(self) -> int:
        """Number of samples that are kept."""
        done = self.answered + self.unanswerable + self.dropped + self.lost
        return self.earlier + self.sampled - done

    def describe(self, sensors: bytes) -> None:
        """The labels of the sensors, as they are sent, of sessions that begin from now on."""
        self._sensors = sensors

    def append(self, reading: Reading) -> None:
        """Give a reading its id and keep it until it is answered."""
        if self._session is None or self._next_id > self._max_id:
            self._session, self._next_id = self._begin(reading.sampled_at_ns), 0
        sample = Sample(self._session, self._next_id, reading.values, reading.sampled_at_ns)
        self._next_id += 1
        self.sampled += 1
        self.latest = sample
        is_noted = self._tail.note(sample)
        if not is_noted:
            self._register.note(sample.session, self._next_id)
        self._queue.append(sample, is_noted=is_noted)

    def finish(self) -> None:
        """No reading comes any more: after the last sample, read() gives an empty list."""
        self._queue.finish()

    async def read(self, limit: int) -> list[Sample]:
        """Give the next 1 to `limit` samples to send, oldest first; wait until there are some.

        An empty list when none will come any more.
        """
        return await self._queue.read(limit)

    def rewind(self) -> None:
        """Let read() give every sample again that it gave and that is not settled."""
        self._queue.rewind()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample that read() gave: it was answered, or is unanswerable."""
        self._queue.settle(sample, answered=answered)
        if answered:
            self.answered += 1
        else:
            self.unanswerable += 1

    def close(self) -> None:
        """Write all unanswered samples to the disk, and end the disk thread. Bounded."""
        self._queue.close()
        self._closed.set()
        self._thread.join(self._join_s)
        if self._thread.is_alive():
            log.error("the disk does not answer: unanswered samples may be in RAM alone")

    def _begin(self, started_at_ns: int) -> Session:
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        session_id = os.urandom(16).hex()
        return Session(sequence, session_id, self._period_ns, started_at_ns, self._sensors)

    def _keep(self) -> None:
        try:
            while True:
                self._beat_ns = self._clock.monotonic_ns()
                work = self._queue.gather(_TICK_S)
                self._keeper.step(work)
                if work.closing:
                    return self._keeper.close()
                if self._keeper.failing:
                    self._closed.wait(_RETRY_S)
        except BaseException as error:
            self._queue.fail(error)
            raise


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - cheaper
    except OSError:
        return 0
