"""What passes from the event loop to the recorder's thread."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from broker.errors import RecordError
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch, Claim, Event
from quartet.foreign import shown

Result = TypeVar("Result")


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


@dataclass(slots=True)
class Round:
    """What gathers while the round before is worked on."""

    entries: list[Batch | Released] = field(default_factory=list)
    """In the order in which they came."""
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set on the loop when all entries are committed, or their leases failed."""
    questions: list[Question[Any]] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None
    """Where somebody waits for batches or questions."""
    last: bool = False

    @property
    def batches(self) -> list[Batch]:
        """Those among the entries."""
        return [each for each in self.entries if isinstance(each, Batch)]

    @property
    def released(self) -> list[Released]:
        """The others."""
        return [each for each in self.entries if isinstance(each, Released)]


class Intake:
    """Hands rounds over. Filled by one event loop, taken by one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._round = Round()  # guarded by: _changed

    def record(self, batch: Batch) -> asyncio.Event:
        """Add a batch; what tells that it was dealt with. Loop only."""
        with self._changed:
            gathering = self._open()
            gathering.entries.append(batch)
        return gathering.committed

    def ask(self, question: Question[Any]) -> None:
        """Add a question. Loop only."""
        with self._changed:
            self._open().questions.append(question)

    def release(self, released: Released) -> None:
        """Tell that a stream has ended. Any thread; in no hurry."""
        with self._changed:
            self._round.entries.append(released)

    def close(self) -> None:
        """Make this round the last. Any thread."""
        with self._changed:
            self._round.last = True
            self._changed.notify()

    def next_round(self, timeout_s: float) -> Round:
        """All that gathered; waits for something as long as that. The recorder's thread only."""
        with self._changed:
            gathered = self._round
            if not (gathered.loop or gathered.last):
                self._changed.wait(timeout_s)
            self._round = Round(last=gathered.last)
            return gathered

    def _open(self) -> Round:
        if self._round.last:
            raise RecordError("the recorder is closed")
        self._round.loop = asyncio.get_running_loop()
        self._changed.notify()
        return self._round
