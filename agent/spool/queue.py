"""The part of the spool that is in memory: between the bus, the disk thread and the loop."""

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.model import Sample
from agent.spool.coming import Coming, Passed
from agent.spool.row import Key
from quartet.clock import Clock
from quartet.outage import Outage
from quartet.plural import counted

log = logging.getLogger(__name__)

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
    passed: list[Passed]
    """Samples that are not among `appended`, and are done with."""
    noted: int
    """Number of samples since the start that the tail took: up to these, and none besides."""
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

    What the disk thread does not bring in time, because it hangs or because no tier
    takes a commit, is given to the reader from memory, unless older samples are still to come.
    The methods are grouped by the thread that calls them. Made on the loop.
    """

    def __init__(
        self,
        most_ready: int = MOST_READY,
        few_ready: int = FEW_READY,
        *,
        coming: Coming | None = None,
        clock: Clock = time,
    ) -> None:
        self._most_ready = most_ready
        self._few_ready = few_ready
        self._outage = Outage(log, clock)
        self._look: asyncio.TimerHandle | None = None  # guarded by: loop
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] | None = None  # guarded by: loop
        # Entered itself, and not by way of the condition: that costs each sample a few calls.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # guarded by: _lock
        self._coming = coming or Coming(clock=clock)
        self._ready: deque[Sample] = deque()
        self._in_flight: dict[Key, Sample] = {}
        self._settled: list[tuple[Sample, bool]] = []
        self._supply = Supply.WANTED  # until the disk thread has looked
        self._older_came = False  # than what is in flight
        self._noted = 0
        self._reader_waits = False
        self._failure: BaseException | None = None
        self._finished = False
        self._closing = False

    # The bus thread's

    def append(self, sample: Sample, *, is_noted: bool) -> None:
        """Hand a sample to a reader that waits, if it `is_noted` in the tail.

        Otherwise to the disk thread, and also while older samples are with it.
        """
        with self._lock:
            self._noted += is_noted
            if is_noted and self._reader_waits and self._is_next:
                self._coming.append_safe(sample)
                self._ready.append(sample)
                self._wake_reader()
            else:
                self._coming.append(sample)
                if self._coming.is_late:
                    self._give_from_memory()
            if self._coming.has_work:
                self._changed.notify()

    @property
    def _is_next(self) -> bool:
        """Whether all older samples were given to the reader."""
        return self._supply is Supply.COMPLETE and not self._coming

    def finish(self) -> None:
        """Nothing will be appended any more. Any thread."""
        with self._lock:
            self._finished = True
            self._wake_reader()

    # The loop's

    async def read(self, limit: int) -> list[Sample]:
        """Give the next 1 to `limit` samples; an empty list when none will come any more.

        RuntimeError where the disk thread has failed.
        """
        while True:
            with self._lock:
                if self._failure:
                    raise RuntimeError("the disk thread has ended") from self._failure
                began = self._give_from_memory()
                given = self._take(limit) if self._ready else []
                if self._supply is Supply.ENOUGH and len(self._ready) < self._few_ready:
                    self._supply = Supply.WANTED
                    self._changed.notify()
                ended = self._has_ended()
                if not (given or ended):
                    arrived = self._arrived = self._loop.create_future()
                    self._reader_waits = True
            if began:
                self._say_that_it_began()
            if given or ended:
                return given
            if self._look is None:
                self._look = self._loop.call_later(self._coming.patience_s, self._look_after_it)
            await arrived

    def _take(self, limit: int) -> list[Sample]:
        given = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        for sample in given:
            self._in_flight[Key.of(sample)] = sample
        return given

    def rewind(self) -> None:
        """Let read() give every sample again that it gave and that is not settled."""
        with self._lock:
            self._ready.extendleft(reversed(self._in_flight.values()))
            if self._older_came:
                self._ready = deque(sorted(self._ready, key=Key.of))
            self._in_flight.clear()

    def settle(self, sample: Sample, *, answered: bool) -> None:
        """Forget a sample that read() gave: it was answered, or is unanswerable."""
        with self._lock:
            key = Key.of(sample)
            del self._in_flight[key]
            if self._coming.settle(key, answered=answered):
                return
            self._settled.append((sample, answered))
            if len(self._settled) >= _MANY_SETTLED:
                self._changed.notify()

    def close(self) -> None:
        """Let gather() tell the disk thread to end."""
        with self._lock:
            self._closing = True
            self._changed.notify()

    # The disk thread's

    def gather(self, timeout_s: float) -> Work:
        """Give the work that gathered; wait for some up to `timeout_s`."""
        with self._lock:
            self._changed.wait_for(self._has_work, timeout_s)
            appended, passed = self._coming.gather()
            work = Work(appended, self._settled, passed, self._noted, self._closing)
            self._settled = []
            return work

    def take_over(self, samples: Sequence[Sample], *, behind: bool) -> int:
        """A tier has these appended samples: let read() give those for which there is room.

        The number up to which it gives them, or gave them from memory; none where it is
        `behind`. The others are to be read from the tiers.
        """
        with self._lock:
            taken = 0
            for sample, is_new in zip(samples, self._coming.take_over(samples), strict=True):
                behind = behind or (is_new and len(self._ready) >= self._most_ready)
                if not behind:
                    taken += 1
                    if is_new:
                        self._ready.append(sample)
            if behind and self._supply is Supply.COMPLETE:
                self._supply = Supply.WANTED
            return taken

    def refuse(self, samples: Sequence[Sample]) -> list[Sample]:
        """Forget appended samples that read() neither gave nor will give; those it forgot."""
        with self._lock:
            return self._coming.refuse(samples)

    def deliver(
        self, samples: Sequence[Sample], *, behind: bool, blocked: bool, well: bool
    ) -> None:
        """Let read() give these samples, which are from the tiers.

        `behind`: the tiers hold samples that were not delivered yet. `blocked`: these cannot
        be read now, and come after start_over(). `well`: all that was gathered is in a tier.
        """
        with self._lock:
            self._ready.extend(samples)
            if not behind:
                self._supply = Supply.COMPLETE
            elif blocked or len(self._ready) >= self._few_ready:
                self._supply = Supply.ENOUGH
            else:
                self._supply = Supply.WANTED
            if well:
                self._coming.turn_went_well()
            ended, count = not self._coming.is_late, self._coming.in_this_episode
            if self._ready or self._coming or self._has_ended():
                self._wake_reader()
        if ended:
            self._outage.ended(
                "the spool stores samples again; %s sent from memory alone",
                counted(count, "sample", "was", "were"),
            )

    def fail(self, error: BaseException) -> None:
        """Let read() raise: there is no disk thread any more."""
        with self._lock:
            self._failure = error
            self._wake_reader()

    @property
    def room(self) -> int:
        """Number of samples that deliver() may bring."""
        with self._lock:
            return max(0, self._most_ready - len(self._ready))

    @property
    def wants_more(self) -> bool:
        """Whether the reader will soon have read all samples that are ready."""
        with self._lock:
            return self._supply is Supply.WANTED

    def withdraw(self, limit: int, after: Key) -> list[Sample]:
        """Remove the oldest samples after this key that were not read yet; those samples.

        Samples that were not gathered stay.
        """
        with self._lock:
            kept: list[Sample] = []
            withdrawn: list[Sample] = []
            while self._ready and len(withdrawn) < limit:
                sample = self._ready.popleft()
                if Key.of(sample) > after and not self._coming.is_unknown(sample):
                    withdrawn.append(sample)
                    self._coming.withdraw(sample)
                else:
                    kept.append(sample)
            self._ready.extendleft(reversed(kept))
            return withdrawn

    def start_over(self) -> frozenset[Key]:
        """Forget the ready samples, because older ones come; the keys not to deliver again."""
        with self._lock:
            self._coming.take_back([*self._ready])
            self._ready.clear()
            self._older_came = True
            self._supply = Supply.WANTED
            return frozenset(
                itertools.chain(self._in_flight, (Key.of(sample) for sample, _ in self._settled))
            )

    def oldest(self) -> Key | None:
        """The oldest sample in memory that the books count as kept."""
        with self._lock:
            keys = [Key.of(sample) for sample, _ in self._settled]
            keys += itertools.islice(self._in_flight, 1)
            keys += map(Key.of, itertools.islice(self._ready, 1))
            return min(keys, default=None)

    def held(self) -> list[Sample]:
        """All samples that the books count as kept, and that are in memory."""
        with self._lock:
            settled = (sample for sample, _ in self._settled)
            held = (*self._in_flight.values(), *self._ready, *settled)
            return [sample for sample in held if not self._coming.is_unknown(sample)]

    def _has_ended(self) -> bool:
        return self._finished and not self._coming and self._supply is Supply.COMPLETE

    def _has_work(self) -> bool:
        return bool(
            self._coming.has_work
            or self._supply is Supply.WANTED
            or self._closing
            or len(self._settled) >= _MANY_SETTLED
        )

    def _give_from_memory(self) -> bool:
        """Let read() give what no tier has taken in time; whether that begins now."""
        if self._supply is not Supply.COMPLETE or not self._coming:
            return False
        was_late = self._coming.is_late
        early = self._coming.take_early(self._most_ready - len(self._ready))
        if early:
            self._ready.extend(early)
            self._wake_reader()
        return self._coming.is_late and not was_late

    def _look_after_it(self) -> None:
        """Called on the loop, about once a second while a reader waits."""
        self._look = None
        with self._lock:
            began = self._give_from_memory()
            if self._reader_waits:
                self._look = self._loop.call_later(self._coming.patience_s, self._look_after_it)
        if began:
            self._say_that_it_began()

    def _say_that_it_began(self) -> None:
        self._outage.failed(
            "no directory of the spool has taken a sample for %g s; samples are sent from memory"
            " alone, and are lost if the agent is killed now: see 'df -h', 'mount' and 'dmesg'",
            self._coming.patience_s,
        )

    @property
    def is_alone(self) -> bool:
        """Whether samples are sent from memory, because no tier takes them. Any thread."""
        return self._coming.is_late

    @property
    def is_held_up(self) -> bool:
        """Whether a sample waits for a tier for longer than it should. Any thread."""
        with self._lock:
            return self._coming.is_held_up

    @property
    def has_news(self) -> bool:
        """Whether samples have come, or were answered, since the last gather(). Any thread."""
        with self._lock:
            return self._coming.has_news

    @property
    def from_memory(self) -> int:
        """Number of samples that were sent while no tier had them. Any thread."""
        return self._coming.from_memory

    def _arrive(self) -> None:
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader_waits:
            self._reader_waits = False
            try:
                self._loop.call_soon_threadsafe(self._arrive)
            except RuntimeError:
                log.debug("a read ended after the loop did")
