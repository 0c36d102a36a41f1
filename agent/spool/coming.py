"""Samples that have an id and that no tier has yet: on their way to the disk thread, or with it."""

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.model import Sample, Session
from agent.spool.account import Fate
from agent.spool.row import Key
from quartet.clock import Clock

# A sample that no tier has taken within this time is sent from memory: a prediction that is
# late is of little use, and a commit takes milliseconds where all is well.
PATIENCE_S = 1.0

# While no tier takes any, samples gather in memory, 30 MB at the most.
MOST_UNCOMMITTED = 65536

# Samples that are safe in the tail wait for the disk thread's next second, up to this number.
MANY_SAFE = 512


@dataclass(slots=True)
class Passed:
    """A run of samples that need no row any more: answered in memory (None), or without answer."""

    session: Session
    first: int
    last: int
    fate: Fate | None


class Coming:
    """The appended samples, and which of them are sent from memory. The caller holds a lock.

    `is_late` says that the tiers have not taken a sample for `patience_s`: because the disk
    thread hangs, or because no tier takes a commit. It lasts until a turn went well.
    """

    def __init__(
        self,
        *,
        patience_s: float = PATIENCE_S,
        most_appended: int = MOST_UNCOMMITTED,
        clock: Clock = time,
    ) -> None:
        self.patience_s = patience_s
        self._most_appended = most_appended
        self._clock = clock
        self._appended: dict[Key, Sample] = {}  # and not gathered yet
        self._coming: OrderedDict[Key, tuple[Sample, float]] = OrderedDict()
        """Those that were not given to the reader, and since when they are here."""
        self._early: set[Key] = set()  # those that were
        self._is_urgent = False  # some of `_appended` wait for a tier
        self._safe = 0  # number of samples that were appended as safe, and are not gathered yet
        self._passed: list[Passed] = []
        self._gathered_at_s = clock.monotonic()
        self._count_before = 0  # of `from_memory`, when it became late
        self.is_late = False
        self.from_memory = 0
        """Number of samples that were given to the reader while no tier had them."""

    def __bool__(self) -> bool:
        """Whether any is still to be given to the reader."""
        return bool(self._coming)

    @property
    def has_work(self) -> bool:
        """Whether any waits for the disk thread."""
        return self._is_urgent or self._safe >= MANY_SAFE

    @property
    def has_news(self) -> bool:
        """Whether the disk thread does not know of all that was appended and settled."""
        return bool(self._appended or self._passed)

    @property
    def in_this_episode(self) -> int:
        """Number of samples that were given from memory since it became late."""
        return self.from_memory - self._count_before

    def append(self, sample: Sample) -> None:
        """Take a sample, or book it as dropped where there are too many."""
        key = Key.of(sample)
        if len(self._appended) >= self._most_appended:
            self._pass(sample, Fate.STALLED)
        else:
            self._appended[key] = sample
            self._coming[key] = sample, self._clock.monotonic()
        self._is_urgent = True

    def append_safe(self, sample: Sample) -> None:
        """Take a sample that is safe in the tail, and is given to the reader at once."""
        key = Key.of(sample)
        self._appended[key] = sample
        self._early.add(key)
        self._safe += 1

    def take_early(self, room: int) -> list[Sample]:
        """The next samples to give from memory, oldest first, if it is late by now."""
        if not (self._coming and (self.is_late or self._becomes_late())):
            return []
        early: list[Sample] = []
        while self._coming and len(early) < room:
            key, (sample, _) = self._coming.popitem(last=False)
            self._early.add(key)
            early.append(sample)
        self.from_memory += len(early)
        return early

    @property
    def is_held_up(self) -> bool:
        """Whether the oldest of those to be given has waited for a tier for too long."""
        since_s = next((at_s for _, at_s in self._coming.values()), None)
        return since_s is not None and self._clock.monotonic() - since_s >= self.patience_s

    def _becomes_late(self) -> bool:
        if self.is_held_up:
            self._count_before = self.from_memory
            self.is_late = True
        return self.is_late

    def settle(self, key: Key, *, answered: bool) -> bool:
        """Forget a sample that is settled; whether it needs no row, and is booked in a run."""
        if not self._early:
            return False
        self._early.discard(key)
        sample = self._appended.pop(key, None)
        if sample is None:
            return False
        self._pass(sample, None if answered else Fate.UNANSWERABLE)
        return True

    def gather(self) -> tuple[list[Sample], list[Passed]]:
        """What is new for the disk thread: samples to keep, and those to book alone."""
        gathered = [*self._appended.values()], self._passed
        self._appended, self._passed = {}, []
        self._is_urgent, self._safe = False, 0
        self._gathered_at_s = self._clock.monotonic()
        return gathered

    def is_unknown(self, sample: Sample) -> bool:
        """Whether the disk thread does not know of it yet."""
        return Key.of(sample) in self._appended

    def take_over(self, samples: Iterable[Sample]) -> list[bool]:
        """A tier has these; of each, whether it is still to be given to the reader."""
        new = []
        for sample in samples:
            key = Key.of(sample)
            self._early.discard(key)
            new.append(self._coming.pop(key, None) is not None)
        return new

    def refuse(self, samples: Sequence[Sample]) -> list[Sample]:
        """Forget those that were not given to the reader; those that it forgot."""
        return [each for each in samples if self._coming.pop(Key.of(each), None)]

    def withdraw(self, sample: Sample) -> None:
        """Forget a sample that was given, and that the reader has not read."""
        self._early.discard(Key.of(sample))

    def take_back(self, samples: Sequence[Sample]) -> None:
        """Of samples that were given and are not read yet, those that no tier has come again."""
        for sample in reversed(samples):
            if (key := Key.of(sample)) in self._early:
                self._early.discard(key)
                self._is_urgent = True
                self._coming[key] = sample, self._gathered_at_s
                self._coming.move_to_end(key, last=False)

    def turn_went_well(self) -> None:
        """The disk thread is through with what it gathered."""
        since_s = next((at_s for _, at_s in self._coming.values()), self._gathered_at_s)
        if self._clock.monotonic() - min(since_s, self._gathered_at_s) < self.patience_s:
            self.is_late = False

    def _pass(self, sample: Sample, fate: Fate | None) -> None:
        last = self._passed[-1] if self._passed else None
        session, id_ = sample.session, sample.id
        if last and (last.session, last.last + 1, last.fate) == (session, id_, fate):
            last.last = id_
        else:
            self._passed.append(Passed(session, id_, id_, fate))
