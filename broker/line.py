"""One agent's samples in order: what is new, what was answered before, and the black box."""

import asyncio
import logging
from array import array
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from broker.errors import ForgottenError, RaisedError, UnreadyError
from broker.model import Answer, Sample
from broker.predictors import (
    ExplainingPredictor,
    Predictor,
    StatefulPredictor,
    explains,
    keeps_state,
    one_line,
)
from broker.recorder import Batch, Explanation, Lease, Snapshot

log = logging.getLogger(__name__)

# An agent resends at most its window: 512 by default, 4096 at the most.
REMEMBERED_ANSWERS = 4096

# Sessions end with their agent's process. Enough for an agent that restarts
# often and drains old sessions; few enough that nothing grows for years.
_REMEMBERED_SESSIONS = 4

# After a crash at most so many samples are replayed: about a second even where one
# takes a millisecond. And so seldom a snapshot costs little, unless it is large.
SNAPSHOT_EVERY = 1000

# Each is one row of the store, and goes through the log of its commits.
MAX_SNAPSHOT_BYTES = 1 << 20


class Session:
    """What a line remembers of one session: its last id, and answers, of which it may forget."""

    def __init__(self, number: int = 0, last_id: int | None = None) -> None:
        self.number = number
        self.last_id = last_id
        self.streams = 0
        self._ids = array("i")
        self._predictions = bytearray()

    def remember(self, answer: Answer) -> None:
        """Keep an answer in place of the one whose slot it takes."""
        if not self._ids:  # not before: a peer that only opens sessions costs little
            self._ids = array("i", [-1]) * REMEMBERED_ANSWERS
            self._predictions = bytearray(REMEMBERED_ANSWERS)
        slot = answer.id % REMEMBERED_ANSWERS
        self._ids[slot] = answer.id
        self._predictions[slot] = answer.prediction

    def recall(self, sample_id: int) -> Answer:
        """The answer that was given before; ForgottenError where it is not in memory."""
        slot = sample_id % REMEMBERED_ANSWERS
        if not self._ids or self._ids[slot] != sample_id:
            raise ForgottenError(sample_id)
        return Answer(sample_id, bool(self._predictions[slot]))


class Claim(Protocol):
    """What the newest stream of a line has on it."""

    peer: str

    def supersede(self, session_id: str) -> None:
        """Give the line up to a newer stream of this session."""
        ...


class Line:
    """One agent's black box with its state, and its sessions. Free of I/O.

    Loop only; with `turn` held, answers are given in any thread.

    A line with `records` gets its black box from them, by take(); another one makes a fresh
    one whenever it has none.
    """

    def __init__(
        self,
        make_predictor: Callable[[], Predictor],
        *,
        name: str = "",
        number: int = 0,
        records: bool = False,
    ) -> None:
        self._make_predictor = make_predictor
        self._predictor: Predictor | None = None
        self._records = records
        self._stateful: StatefulPredictor | None = None
        self._explaining: ExplainingPredictor | None = None
        self._unsaved = 0
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.rebased = 0
        """The newest command to begin anew that was followed."""
        self.name = name
        self.number = number
        self.lease = Lease()
        self.turn = asyncio.Lock()
        """Held by whoever lets its black box work away from the loop, or replaces it."""
        self.live: Claim | None = None
        self.received = 0
        self.duplicates = 0
        self.gaps = 0
        self.streams = 0

    def session(self, session_id: str) -> Session | None:
        """The session with this id, if it is in memory."""
        if session := self._sessions.get(session_id):
            self._sessions.move_to_end(session_id)
        return session

    def begin(self, session_id: str, session: Session) -> None:
        """Take a session into memory."""
        forget_idle(self._sessions, _REMEMBERED_SESSIONS)
        self._sessions[session_id] = session

    @property
    def is_ready(self) -> bool:
        """Whether it has a black box."""
        return self._predictor is not None

    def take(self, predictor: Predictor, replayed: int = 0) -> None:
        """Go on with this black box; it has seen so many samples since its snapshot."""
        self._predictor = predictor
        self._stateful = predictor if self._records and keeps_state(predictor) else None
        self._explaining = predictor if explains(predictor) else None
        self._unsaved = replayed

    def rebase(self, command: int, sample_id: int, batch: Batch) -> None:
        """Go on with a fresh black box, unless this command was followed before.

        Comes before all samples of the batch. Raises RaisedError, about the sample that is next.
        """
        if command <= self.rebased:
            return
        self._make(sample_id)
        self.rebased = batch.rebase = command
        log.info("%s: goes on with a fresh black box, as commanded", self.name)
        self._save(batch)

    def answer(self, session: Session, sample: Sample, batch: Batch) -> Answer:
        """Answer a sample of a session: a resent id as before, anything else anew.

        Raises RaisedError, UnreadyError or ForgottenError.
        """
        last_id = session.last_id
        if last_id is not None and sample.id <= last_id:
            answer = session.recall(sample.id)
            batch.duplicates += 1
            return answer
        answer = self.predict(sample, batch)
        if last_id is not None and sample.id > last_id + 1:
            batch.gaps.append((last_id + 1, sample.id - 1))
        session.remember(answer)
        session.last_id = sample.id
        return answer

    def predict(self, sample: Sample, batch: Batch) -> Answer:
        """Ask the black box; where it raises, it is thrown away.

        Raises RaisedError or UnreadyError.
        """
        predictor = self._predictor
        if predictor is None:
            if self._records:
                raise UnreadyError(sample.id)
            predictor = self._make(sample.id)
        try:
            prediction = predictor.predict(sample)
            if prediction is None:
                raise TypeError("predict() returned None")  # noqa: TRY301 - as if it raised
            answer = Answer(sample.id, bool(prediction))
        except BaseException as error:  # whatever a black box raises
            self._predictor = None
            raise RaisedError(sample.id, error) from error
        batch.samples.append(sample)
        batch.answers.append(answer)
        if self._explaining:
            self._ask(self._explaining, answer, batch)
        self._unsaved += 1
        if self._unsaved >= SNAPSHOT_EVERY:
            self._save(batch)
        return answer

    def add(self, batch: Batch) -> None:
        """Count what a stream has added."""
        self.received += batch.received
        self.duplicates += batch.duplicates
        self.gaps += sum(last - first + 1 for first, last in batch.gaps)

    def _make(self, sample_id: int) -> Predictor:
        try:
            predictor = self._make_predictor()
        except BaseException as error:  # whatever a black box raises
            raise RaisedError(sample_id, error) from error
        self.take(predictor)
        return predictor

    def _ask(self, predictor: ExplainingPredictor, answer: Answer, batch: Batch) -> None:
        """Log and record what the black box has to say; one that cannot is not asked again."""
        try:
            said = predictor.explain()
            text = None if said is None else one_line(str(said))
        except BaseException as error:  # whatever a black box raises
            self._explaining = None
            log.warning(
                "%s: its black box cannot explain itself (%s: %s), and is not asked any more",
                *(self.name, type(error).__name__, error),
            )
            return
        if text is not None:
            level = logging.WARNING if answer.prediction else logging.INFO
            log.log(level, "%s: sample %d: %s", self.name or "a plain peer", answer.id, text)
            batch.explanations.append(Explanation(len(batch.samples), text))

    def _save(self, batch: Batch) -> None:
        """Add a snapshot to the batch; the first that fails is the last that is tried."""
        self._unsaved = 0
        if self._stateful is None:
            return
        state: bytes | None = None
        try:
            state = _checked(self._stateful.snapshot())
        except BaseException as error:  # whatever a black box raises
            self._stateful = None
            log.warning(
                "%s: its black box gives no snapshot (%s: %s): from now on it is rebuilt from"
                " its latest samples alone",
                *(self.name, type(error).__name__, error),
            )
        batch.snapshot = Snapshot(len(batch.samples), state)


def _checked(state: object) -> bytes:
    if not isinstance(state, bytes):
        raise TypeError(f"snapshot() returned {type(state).__name__}, not bytes")
    if len(state) > MAX_SNAPSHOT_BYTES:
        raise ValueError(f"{len(state)} bytes, and {MAX_SNAPSHOT_BYTES} are the most")
    return state


def forget_idle(entries: "OrderedDict[str, Line] | OrderedDict[str, Session]", most: int) -> None:
    """Make room for one more by forgetting what has been idle longest; never what has a stream."""
    idle = [name for name, entry in entries.items() if not entry.streams]
    for name in idle[: max(0, len(entries) + 1 - most)]:
        del entries[name]
