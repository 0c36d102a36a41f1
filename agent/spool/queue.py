"""The part of the spool that is in memory: between the bus, the disk thread and the loop."""

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.model import Sample
from agent.spool.row import Key

# Samples ready to be read, and the mark at which more are fetched. Each is at
# least the largest window, so that a drain does not wait for the disk.
MOST_READY = 8192
FEW_READY = 4096

# Answers are booked with the next sample's commit, or when this many have gathered.
_MANY_SETTLED = 512


@dataclass(frozen=True, slots=True)
class Work:
    """What gathered for the disk thread since its last turn."""

    appended: list[Sample]
    settled: list[tuple[Sample, bool]]
    """Samples that settle() gave, and whether they were answered."""
    closing: bool


class Supply(Enum):
    """Whether the tiers hold samples that are not ready yet, and whether these are wanted.

    deliver() decides which one it is. read() makes WANTED of ENOUGH as it empties the queue;
    start_over() makes WANTED of all.
    """

    COMPLETE = auto()
    """Every kept sample was delivered."""
    ENOUGH = auto()
    """The tiers hold more. Many samples are ready, or no more can be read now."""
    WANTED = auto()
    """The tiers hold more, and the reader will need it soon."""


class Queue:
    """Samples on their way from the bus to the disk, from there to the loop, and back.

    The methods are grouped by the thread that calls them. Made on the loop.
    """

    def __init__(self, most_ready: int = MOST_READY, few_ready: int = FEW_READY) -> None:
        self._most_ready = most_ready
        self._few_ready = few_ready
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        # guarded by: _changed
        self._appended: list[Sample] = []
        self._ready: deque[Sample] = deque()
        self._in_flight: dict[Key, Sample] = {}
        self._settled: list[tuple[Sample, bool]] = []
        self._coming = 0  # appended, and not delivered yet
        self._supply = Supply.WANTED  # until the disk thread has looked
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
        """Nothing will be appended any more. Any thread."""
        with self._changed:
            self._finished = True
            self._wake_reader()

    # The loop's

    async def read(self, limit: int) -> list[Sample]:
        """Give the next 1 to `limit` samples; an empty list when none will come any more.

        RuntimeError where the disk thread has failed.
        """
        while True:
            with self._changed:
                if self._failure:
                    raise RuntimeError("the disk thread has ended") from self._failure
                given = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
                self._in_flight.update((Key.of(sample), sample) for sample in given)
                if self._supply is Supply.ENOUGH and len(self._ready) < self._few_ready:
                    self._supply = Supply.WANTED
                    self._changed.notify()
                if given or self._has_ended():
                    return given
                self._arrived.clear()
                self._reader_waits = True
            await self._arrived.wait()

    def rewind(self) -> None:
        """Let read() give every sample again that it gave and that is not settled."""
        with self._changed:
            self._ready.extendleft(reversed(self._in_flight.values()))
            if self._older_came:
                self._ready = deque(sorted(self._ready, key=Key.of))
            self._in_flight.clear()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample that read() gave: it was answered, or is unanswerable."""
        with self._changed:
            del self._in_flight[Key.of(sample)]
            self._settled.append((sample, answered))
            if len(self._settled) >= _MANY_SETTLED:
                self._changed.notify()

    def close(self) -> None:
        """Let gather() tell the disk thread to end."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    # The disk thread's

    def gather(self, timeout_s: float) -> Work:
        """Give the work that gathered; wait for some up to `timeout_s`."""
        with self._changed:
            self._changed.wait_for(self._has_work, timeout_s)
            work = Work(self._appended, self._settled, self._closing)
            self._appended, self._settled = [], []
            return work

    def deliver(self, samples: Sequence[Sample], *, done: int, behind: bool, blocked: bool) -> None:
        """Let read() give these samples; `done` of the appended ones are kept or dropped.

        `behind`: the tiers hold samples that were not delivered yet. `blocked`: these cannot
        be read now, and come after start_over().
        """
        with self._changed:
            self._ready.extend(samples)
            self._coming -= done
            if not behind:
                self._supply = Supply.COMPLETE
            elif blocked or len(self._ready) >= self._few_ready:
                self._supply = Supply.ENOUGH
            else:
                self._supply = Supply.WANTED
            self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """Let read() raise: there is no disk thread any more."""
        with self._changed:
            self._failure = error
            self._wake_reader()

    @property
    def room(self) -> int:
        """Number of samples that deliver() may bring."""
        with self._changed:
            return max(0, self._most_ready - len(self._ready))

    @property
    def wants_more(self) -> bool:
        """Whether the reader will soon have read all samples that are ready."""
        with self._changed:
            return self._supply is Supply.WANTED

    def withdraw(self, limit: int, after: Key) -> list[Sample]:
        """Remove the oldest samples after this key that were not read yet; those samples."""
        with self._changed:
            kept: list[Sample] = []
            withdrawn: list[Sample] = []
            while self._ready and len(withdrawn) < limit:
                sample = self._ready.popleft()
                (withdrawn if Key.of(sample) > after else kept).append(sample)
            self._ready.extendleft(reversed(kept))
            return withdrawn

    def start_over(self) -> frozenset[Key]:
        """Forget the ready samples, because older ones come; the keys not to deliver again."""
        with self._changed:
            self._ready.clear()
            self._older_came = True
            self._supply = Supply.WANTED
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

    def _has_ended(self) -> bool:
        return self._finished and not self._coming and self._supply is Supply.COMPLETE

    def _has_work(self) -> bool:
        return bool(
            self._appended
            or self._supply is Supply.WANTED
            or self._closing
            or len(self._settled) >= _MANY_SETTLED
        )

    def _wake_reader(self) -> None:
        if self._reader_waits:
            self._reader_waits = False
            with contextlib.suppress(RuntimeError):  # a read that ended after the loop did
                self._loop.call_soon_threadsafe(self._arrived.set)
