"""What passes from the event loop to the store: batches, questions, ends of streams."""

import asyncio
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from broker.errors import RecordError
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch, Claim, Event, Lease
from quartet.foreign import shown

Result = TypeVar("Result")

# Samples in a commit that a loop makes: some two milliseconds. The commit of a backlog takes
# longer, and would hold up other agents.
_SMALL = 256


class Question(Generic[Result]):
    """Something to be read once all that was recorded before is committed. Made on the loop."""

    def __init__(self, ask: Callable[[Tables], Result]) -> None:
        self._ask = ask
        self._deliver: Callable[[], None] = lambda: None
        self.answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        """Raises RecordError."""

    def put(self, tables: Tables) -> Exception | None:
        """Read; what went wrong. The recorder's thread only."""
        try:
            found = self._ask(tables)
        except Exception as error:  # whatever it is: somebody waits to hear of it
            self.refuse(shown(error))
            return error
        self._deliver = lambda: self.answer.set_result(found)
        return None

    def refuse(self, why: str) -> None:
        """Have the answer raise. The recorder's thread only."""
        reason = f"the broker cannot read its records: {why}"
        self._deliver = lambda: self.answer.set_exception(RecordError(reason))

    def deliver(self) -> None:
        """Give the answer to whoever waits for it. Loop only."""
        if not self.answer.done():  # whoever asked may have left
            self._deliver()


@dataclass(frozen=True, slots=True)
class Released:
    """A stream that has ended: when, and how, if that is to be recorded."""

    claim: Claim
    at_ns: int
    ended: Event | None


class Commit:
    """What becomes of a batch, to be awaited. RecordError: it is lost. Loop only."""

    __slots__ = ("_lease", "_round")

    def __init__(self, lease: Lease, round_: "Round | None") -> None:
        """No round: it has failed already."""
        self._lease = lease
        self._round = round_

    def __await__(self) -> Generator[Any, None, None]:
        gathered = self._round
        if gathered and gathered.loop and not gathered.is_settled:
            settled = gathered.loop.create_future()
            gathered.waiting.append(settled)
            yield from settled
        self._lease.check()


class Round:
    """What gathers until the store is free for it."""

    __slots__ = ("entries", "is_settled", "last", "loop", "questions", "samples", "waiting")

    def __init__(self, *, last: bool = False) -> None:
        self.entries: list[Batch | Released] = []
        """In the order in which they came."""
        self.samples = 0
        """In the batches."""
        self.questions: list[Question[Any]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where somebody waits for batches or questions."""
        self.waiting: list[asyncio.Future[None]] = []
        """For settle(). Loop only."""
        self.is_settled = False
        """Whether all entries are committed, or their leases failed. Loop only."""
        self.last = last

    @property
    def has_batches(self) -> bool:
        """Whether there is one among the entries."""
        return any(isinstance(each, Batch) for each in self.entries)

    def settle(self) -> None:
        """Let those go on who wait, and the entries go. Loop only."""
        self.is_settled = True
        self.entries = []  # each stream keeps the round, until its next one
        for settled in self.waiting:
            if not settled.done():  # who waited may have left
                settled.set_result(None)


class Intake:
    """Hands rounds over. Filled by one event loop; taken by it, or by the recorder's thread."""

    def __init__(self, turn: Callable[[], None]) -> None:
        """`turn`: called by the loop once its callbacks of now have added what they have."""
        self._turn = turn
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._round = Round()  # guarded by: _lock
        self._is_called = False  # guarded by: _lock
        self._is_woken = False  # guarded by: _lock

    def record(self, batch: Batch) -> Commit:
        """Add a batch. Loop only. RecordError: it is too late."""
        with self._lock:
            gathering = self._open()
            gathering.entries.append(batch)
            gathering.samples += len(batch.samples)
        return Commit(batch.claim.lease, gathering)

    def ask(self, question: Question[Any]) -> None:
        """Add a question. Loop only."""
        with self._lock:
            self._open().questions.append(question)

    def release(self, released: Released) -> None:
        """Tell that a stream has ended. Any thread; in no hurry."""
        with self._lock:
            self._round.entries.append(released)

    def close(self) -> None:
        """Make this round the last. Any thread."""
        with self._lock:
            self._round.last = True
        self.call()

    def call(self) -> None:
        """Have the thread come for what gathered. Any thread."""
        with self._lock:
            self._is_called = True
            self._changed.notify()

    def wake(self) -> None:
        """Have the thread wait no more, without a call. Any thread."""
        with self._lock:
            self._is_woken = True
            self._changed.notify()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a call, as long as that; whether it was called. The recorder's thread only."""
        with self._lock:
            if not (self._is_called or self._is_woken):
                self._changed.wait(timeout_s)
            is_called, self._is_called, self._is_woken = self._is_called, False, False
            return is_called

    def waited_for(self) -> asyncio.AbstractEventLoop | None:
        """The loop where somebody waits for what gathers now. Any thread."""
        with self._lock:
            return self._round.loop

    def take(self) -> Round:
        """All that gathered. With the turn at the store held until it is settled."""
        with self._lock:
            gathered = self._round
            self._round = Round(last=gathered.last)
            return gathered

    def take_small(self) -> Round | None:
        """The same on the loop; empty where the thread was there before.

        None: it is large, or has questions, so that the thread must take it.
        """
        with self._lock:
            gathered = self._round
            if gathered.last or gathered.questions or gathered.samples > _SMALL:
                return None
            if gathered.loop is None:
                return Round()
            self._round = Round()
            return gathered

    def give_back(self, taken: Round) -> None:
        """Have a round be the next one. In the callback of the loop that has taken it."""
        with self._lock:
            behind = self._round  # no callback has recorded or asked since
            taken.entries += behind.entries
            taken.last = behind.last
            self._round = taken

    def _open(self) -> Round:
        gathering = self._round
        if gathering.last:
            raise RecordError("the recorder is closed")
        if gathering.loop is None:
            gathering.loop = asyncio.get_running_loop()
            gathering.loop.call_soon(self._turn)
        return gathering
