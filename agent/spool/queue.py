"""The part of the spool that is in memory: between the bus, the disk thread and the loop."""

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agent.model import Sample
from agent.spool.tier import Key

# Samples ready to be read, and the mark at which more are fetched. Each is at
# least the largest window, so that a drain does not wait for the disk.
MOST_READY = 8192
FEW_READY = 4096

# Answers are booked with the next sample's commit, or when so many have gathered.
_MANY_SETTLED = 512


@dataclass(frozen=True, slots=True)
class Work:
    """What gathered for the disk thread since the last time."""

    appended: list[Sample]
    settled: list[tuple[Sample, bool]]
    """Samples that are done with, and whether they were answered."""
    closing: bool


class Queue:
    """Samples on their way from the bus to the disk, from there to the loop, and back.

    Each method says whose it is. Made on the loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        # guarded by: _changed
        self._appended: list[Sample] = []
        self._ready: deque[Sample] = deque()
        self._in_flight: dict[Key, Sample] = {}
        self._settled: list[tuple[Sample, bool]] = []
        self._coming = 0  # appended, and not delivered yet
        self._behind = True  # until the disk thread has looked
        self._wants_more = True
        self._older_came = False  # than what is in flight
        self._reader_waits = False
        self._failure: BaseException | None = None
        self._finished = False
        self._closing = False

    # The bus thread's

    def append(self, sample: Sample) -> None:
        """Hand a sample to the disk thread."""
        with self._changed:
            self._appended.append(sample)
            self._coming += 1
            self._changed.notify()

    def finish(self) -> None:
        """Nothing is appended any more. Any thread."""
        with self._changed:
            self._finished = True
            self._wake_reader()

    # The loop's

    async def read(self, limit: int) -> list[Sample]:
        """Take the next 1 to `limit` samples; none when none will come any more.

        RuntimeError where the disk thread has failed.
        """
        while True:
            with self._changed:
                if self._failure:
                    raise RuntimeError("the disk thread has ended") from self._failure
                taken = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
                self._in_flight.update((Key.of(sample), sample) for sample in taken)
                if self._behind and not self._wants_more and len(self._ready) < FEW_READY:
                    self._wants_more = True
                    self._changed.notify()
                if taken or (self._finished and not self._coming and not self._behind):
                    return taken
                self._arrived.clear()
                self._reader_waits = True
            await self._arrived.wait()

    def rewind(self) -> None:
        """Let read() give every sample again that was taken and not settled."""
        with self._changed:
            self._ready.extendleft(reversed(self._in_flight.values()))
            if self._older_came:
                self._ready = deque(sorted(self._ready, key=Key.of))
            self._in_flight.clear()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Hand a sample that was taken back as done with."""
        with self._changed:
            del self._in_flight[Key.of(sample)]
            self._settled.append((sample, answered))
            if len(self._settled) >= _MANY_SETTLED:
                self._changed.notify()

    def close(self) -> None:
        """Let gather() say that the end has come."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    # The disk thread's

    def gather(self, timeout_s: float) -> Work:
        """Wait until there is work, or so long; take it."""
        with self._changed:
            self._changed.wait_for(self._has_work, timeout_s)
            work = Work(self._appended, self._settled, self._closing)
            self._appended, self._settled = [], []
            return work

    def deliver(self, samples: Sequence[Sample], *, done: int, behind: bool, blocked: bool) -> None:
        """Let read() give these; `done` of those appended are taken care of.

        `behind` tells whether the tiers hold samples that were not delivered yet, and
        `blocked` whether these cannot be had now: then they come after start_over().
        """
        with self._changed:
            self._ready.extend(samples)
            self._coming -= done
            self._behind = behind
            self._wants_more = behind and not blocked and len(self._ready) < FEW_READY
            self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """Let read() raise: there is no disk thread any more."""
        with self._changed:
            self._failure = error
            self._wake_reader()

    @property
    def room(self) -> int:
        """How many samples deliver() may bring."""
        with self._changed:
            return max(0, MOST_READY - len(self._ready))

    def wants_more(self) -> bool:
        """Whether the reader will soon have read all that is ready."""
        with self._changed:
            return self._wants_more

    def take_back(self, limit: int, after: Key) -> list[Sample]:
        """Take the oldest samples after this key away again, before they are read."""
        with self._changed:
            kept: list[Sample] = []
            taken: list[Sample] = []
            while self._ready and len(taken) < limit:
                sample = self._ready.popleft()
                (taken if Key.of(sample) > after else kept).append(sample)
            self._ready.extendleft(reversed(kept))
            return taken

    def start_over(self) -> frozenset[Key]:
        """Forget what is ready, for older samples come; the keys not to be delivered again."""
        with self._changed:
            self._ready.clear()
            self._older_came = self._wants_more = True
            return frozenset(
                itertools.chain(self._in_flight, (Key.of(sample) for sample, _ in self._settled))
            )

    def oldest(self) -> Key | None:
        """The oldest sample in memory that the books count as kept."""
        with self._changed:
            keys = [Key.of(sample) for sample, _ in self._settled]
            keys += itertools.islice(self._in_flight, 1)
            keys += map(Key.of, itertools.islice(self._ready, 1))
            return min(keys, default=None)

    def held(self) -> list[Sample]:
        """All samples that the books count as kept, and that are in memory."""
        with self._changed:
            settled = (sample for sample, _ in self._settled)
            return [*self._in_flight.values(), *self._ready, *settled]

    def _has_work(self) -> bool:
        return bool(
            self._appended
            or self._wants_more
            or self._closing
            or len(self._settled) >= _MANY_SETTLED
        )

    def _wake_reader(self) -> None:
        if self._reader_waits:
            self._reader_waits = False
            with contextlib.suppress(RuntimeError):  # a read that ended after the loop did
                self._loop.call_soon_threadsafe(self._arrived.set)
