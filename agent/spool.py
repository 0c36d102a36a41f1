"""What was sampled and has no answer yet: gives out ids, keeps samples until they are answered."""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections import deque

from agent.model import Reading, Sample, Session
from wire import MAX_ID

log = logging.getLogger(__name__)

SAMPLE_BYTES = 400
"""What a sample held in memory costs, measured with tracemalloc and rounded up."""


class MemorySpool:
    """A spool that lives and dies with the process, bounded to `max_bytes`.

    When it is full, the oldest sample that is not on its way to the broker is
    dropped, counted, and said once an episode. `append` and `finish` are called
    on the bus thread, everything else on the loop that it was made on.
    """

    def __init__(self, max_bytes: int, period_ns: int) -> None:
        self._max_samples = max_bytes // SAMPLE_BYTES
        self._period_ns = period_ns
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._lock = threading.Lock()
        # guarded by: _lock
        self._session = _new_session(period_ns)
        self._next_id = 0
        self._waiting: deque[Sample] = deque()
        self._in_flight: dict[tuple[str, int], Sample] = {}
        self._reader_waits = False
        self._finished = False
        self._dropping = False
        self.latest: Sample | None = None
        self.sampled = 0
        self.answered = 0
        self.dropped = 0
        self.unanswerable = 0

    @property
    def unanswered(self) -> int:
        """How many samples are kept."""
        return len(self._waiting) + len(self._in_flight)

    def append(self, reading: Reading) -> None:
        """Give a reading its id and keep it until it is answered."""
        with self._lock:
            if self._next_id > MAX_ID:
                self._session, self._next_id = _new_session(self._period_ns), 0
            sample = Sample(self._session, self._next_id, reading.values, reading.sampled_at_ns)
            self._next_id += 1
            self.sampled += 1
            self.latest = sample
            self._waiting.append(sample)
            if self.unanswered > self._max_samples:
                self._drop_oldest()
            elif self._dropping and self.unanswered < self._max_samples // 2:
                self._dropping = False
                log.warning("the spool has room again; %d samples dropped so far", self.dropped)
            self._wake_reader()

    def finish(self) -> None:
        """No reading comes any more: once all is answered, read() gives nothing."""
        with self._lock:
            self._finished = True
            self._wake_reader()

    async def read(self, limit: int) -> list[Sample]:
        """Take the next 1 to `limit` samples to send, oldest first; wait until there are some.

        An empty list says that none will come any more.
        """
        while True:
            with self._lock:
                taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
                if taken or self._finished:
                    self._in_flight.update(((s.session.id, s.id), s) for s in taken)
                    return taken
                self._arrived.clear()
                self._reader_waits = True
            await self._arrived.wait()

    def rewind(self) -> None:
        """Let read() give every sample again that was taken and not answered."""
        with self._lock:
            self._waiting.extendleft(reversed(self._in_flight.values()))
            self._in_flight.clear()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample that was taken: answered, or given up as unanswerable."""
        with self._lock:
            del self._in_flight[sample.session.id, sample.id]
            if answered:
                self.answered += 1
            else:
                self.unanswerable += 1

    def _drop_oldest(self) -> None:
        self._waiting.popleft()
        self.dropped += 1
        if not self._dropping:
            self._dropping = True
            log.error(
                "the spool is full at %d samples: the oldest are dropped until the broker"
                " answers; raise spool.max_bytes to keep more",
                self._max_samples,
            )

    def _wake_reader(self) -> None:
        if self._reader_waits:
            self._reader_waits = False
            with contextlib.suppress(RuntimeError):  # a read that ended after the loop did
                self._loop.call_soon_threadsafe(self._arrived.set)


def _new_session(period_ns: int) -> Session:
    return Session(secrets.token_hex(16), period_ns)
