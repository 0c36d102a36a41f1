"""The spool as the other stages see it: readings in, samples out, nothing forgotten between."""

import logging
import secrets
import threading
import time

from agent.config import SpoolSettings
from agent.model import Reading, Sample, Session
from agent.spool.keeper import Keeper
from agent.spool.places import Places
from agent.spool.queue import Queue
from agent.spool.tiers import Tiers
from wire import MAX_ID

log = logging.getLogger(__name__)

# The disk thread looks up at least this often.
_TICK_S = 1.0

# A hot tier that takes no commit is tried again this often.
_RETRY_S = 0.5

# What a stop waits for a disk that hangs. What is committed is safe in RAM.
_JOIN_S = 5.0


class Spool:
    """Gives out ids, and keeps samples over crashes, outages and restarts. Owns the disk thread.

    read() gives a sample only when its commit would survive the death of the
    process; earlier sessions come first. `append` and `finish` are called on
    the bus thread, everything else on the loop that it was made on. StoreError
    where the directories cannot be used.
    """

    def __init__(self, places: Places, settings: SpoolSettings, period_ns: int) -> None:
        self._period_ns = period_ns
        self._queue = Queue()
        self._tiers = Tiers(places.hot, places.cold, self._queue.held)
        self._keeper = Keeper(self._tiers, self._queue, settings)
        self.first_sequence = self._tiers.books.next_sequence()
        """The place of the first session of this start; what is before is of earlier ones."""
        self._next_sequence = self.first_sequence
        self._session: Session | None = None  # guarded by: bus thread
        self._next_id = 0  # guarded by: bus thread
        self.private = places.private
        """Whether what waits goes with the process."""
        self._waited = self._tiers.books.kept
        self._lost_before = self._tiers.books.lost
        self.latest: Sample | None = None
        self.sampled = 0
        self.answered = 0
        self.unanswerable = 0
        self.beat_ns = time.monotonic_ns()  # written by: disk thread
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="disk", daemon=True)
        self._thread.start()

    @property
    def earlier(self) -> int:
        """How many samples of earlier sessions waited at the start, as far as that is known."""
        return self._waited + self._tiers.books.met_late

    @property
    def dropped(self) -> int:
        """How many samples were dropped for want of room."""
        return self._keeper.dropped

    @property
    def lost(self) -> int:
        """How many samples a damaged file took along since the start."""
        return self._tiers.books.lost - self._lost_before

    @property
    def unanswered(self) -> int:
        """How many samples are kept."""
        settled = self.answered + self.unanswerable + self.dropped + self.lost
        return self.earlier + self.sampled - settled

    def append(self, reading: Reading) -> None:
        """Give a reading its id and keep it until it is answered."""
        if self._session is None or self._next_id > MAX_ID:
            self._session, self._next_id = self._begin(reading.sampled_at_ns), 0
        sample = Sample(self._session, self._next_id, reading.values, reading.sampled_at_ns)
        self._next_id += 1
        self.sampled += 1
        self.latest = sample
        self._queue.append(sample)

    def finish(self) -> None:
        """No reading comes any more: once all is answered, read() gives nothing."""
        self._queue.finish()

    async def read(self, limit: int) -> list[Sample]:
        """Take the next 1 to `limit` samples to send, oldest first; wait until there are some.

        An empty list says that none will come any more.
        """
        return await self._queue.read(limit)

    def rewind(self) -> None:
        """Let read() give every sample again that was taken and not settled."""
        self._queue.rewind()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample that was taken: answered, or given up as unanswerable."""
        self._queue.settle(sample, answered=answered)
        if answered:
            self.answered += 1
        else:
            self.unanswerable += 1

    def close(self) -> None:
        """Put all that waits on the disk, and let go of it. Bounded; what is in RAM stays there."""
        self._queue.close()
        self._closed.set()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            log.error("the disk does not answer: what waits is in RAM alone")

    def _begin(self, started_at_ns: int) -> Session:
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        return Session(sequence, secrets.token_hex(16), self._period_ns, started_at_ns)

    def _keep(self) -> None:
        try:
            while True:
                self.beat_ns = time.monotonic_ns()
                work = self._queue.gather(_TICK_S)
                self._keeper.step(work)
                if work.closing:
                    return self._keeper.close()
                if self._keeper.failing:
                    self._closed.wait(_RETRY_S)
        except BaseException as error:
            self._queue.fail(error)
            raise
