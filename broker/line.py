"""One agent's samples in order: what is new, what was answered before, what is out of order."""

import logging
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Self

from broker.errors import ExpiredError, OutOfOrderError, RaisedError, RefusalError
from broker.model import Answer, Sample
from broker.predictors import Predictor
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)

# An agent resends at most its window: 512 by default, 4096 at the most.
REMEMBERED_ANSWERS = 4096

# Sessions end with their agent's process. Enough for an agent that restarts
# often and drains old sessions; few enough that nothing grows for years.
_REMEMBERED_SESSIONS = 4

# An agent without a stream keeps its line, as long as there are not more lines than this.
_MOST_LINES = 4096


class Session:
    """What a line remembers of one session: its last id and its latest answers."""

    def __init__(self) -> None:
        self.streams = 0
        self.last_id: int | None = None
        self._ids = array("i")
        self._predictions = bytearray()

    def remember(self, answer: Answer) -> None:
        """Keep an answer in place of the one that is oldest."""
        if self.last_id is None:  # not before: a peer that only opens sessions costs little
            self._ids = array("i", [-1]) * REMEMBERED_ANSWERS
            self._predictions = bytearray(REMEMBERED_ANSWERS)
        slot = answer.id % REMEMBERED_ANSWERS
        self._ids[slot] = answer.id
        self._predictions[slot] = answer.prediction
        self.last_id = answer.id

    def recall(self, sample_id: int) -> Answer:
        """The answer that was given before; ExpiredError where it is not known any more."""
        slot = sample_id % REMEMBERED_ANSWERS
        if self._ids[slot] != sample_id:
            raise ExpiredError(sample_id, "is not above the last id, and has no answer on record")
        return Answer(sample_id, bool(self._predictions[slot]))


class Line:
    """One agent's black box with its state, and its sessions. Loop only; free of I/O."""

    def __init__(self, make_predictor: Callable[[], Predictor]) -> None:
        self._make_predictor = make_predictor
        self._predictor: Predictor | None = None
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.live: Stream | None = None
        self.received = 0
        self.duplicates = 0
        self.gaps = 0
        self.streams = 0

    def session(self, session_id: str) -> Session:
        """The session with this id; a new one where it is not known."""
        if session_id not in self._sessions:
            _forget_idle(self._sessions, _REMEMBERED_SESSIONS)
            self._sessions[session_id] = Session()
        self._sessions.move_to_end(session_id)
        return self._sessions[session_id]

    def answer(self, session: Session, sample: Sample) -> Answer:
        """Answer a sample of a session: a resent id as before, anything else anew.

        Raises ExpiredError or RaisedError.
        """
        last_id = session.last_id
        if last_id is not None and sample.id <= last_id:
            self.received += 1
            self.duplicates += 1
            return session.recall(sample.id)
        answer = self.predict(sample)
        session.remember(answer)
        if last_id is not None:
            self.gaps += sample.id - last_id - 1
        return answer

    def predict(self, sample: Sample) -> Answer:
        """Ask the black box; RaisedError where it raises, and a fresh instance from then on."""
        self.received += 1
        try:
            if self._predictor is None:
                self._predictor = self._make_predictor()
            prediction = self._predictor.predict(sample)
            if prediction is None:
                raise TypeError("predict() returned None")  # noqa: TRY301 - as if it raised
            return Answer(sample.id, bool(prediction))
        except (Exception, SystemExit) as error:
            self._predictor = None
            raise RaisedError(
                sample.id, f"the black box raised {type(error).__name__}: {error}"
            ) from error


class Stream:
    """One stream into a line, entered while it lasts.

    Without a header, every sample is answered anew, in the order of arrival.
    """

    def __init__(self, line: Line, header: StreamHeader | None, peer: str = "") -> None:
        self._line = line
        self._header = header
        self._session = line.session(header.session_id) if header else None
        self._last_id: int | None = None
        self._end: Callable[[], None] = lambda: None
        self.peer = peer
        self.superseded_by: str | None = None
        """The session id of the newer stream that took the line over."""

    def __enter__(self) -> Self:
        self._line.streams += 1
        if self._session:
            self._session.streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._line.streams -= 1
        if self._session:
            self._session.streams -= 1
        if self._line.live is self:
            self._line.live = None

    def on_superseded(self, end: Callable[[], None]) -> None:
        """Have this called when a newer stream takes the line over."""
        self._end = end

    def supersede(self, session_id: str) -> None:
        """Give the line up to a newer stream of this session."""
        self.superseded_by = session_id
        self._end()

    def tally(self) -> str:
        """What the line has seen so far, for the log."""
        line = self._line
        return f"{line.received} samples, {line.duplicates} duplicates, {line.gaps} gaps"

    def answer(self, samples: Sequence[Sample]) -> tuple[list[Answer], RefusalError | None]:
        """Answer samples in their order, up to the first that is refused; the refusal, if any."""
        answers: list[Answer] = []
        for sample in samples:
            try:
                answers.append(self._answer(sample))
            except RefusalError as refusal:
                return answers, refusal
        return answers, None

    def _answer(self, sample: Sample) -> Answer:
        if self._header is None or self._session is None:
            return self._line.predict(sample)
        self._check_order(sample.id, self._header.first_id)
        return self._line.answer(self._session, sample)

    def _check_order(self, sample_id: int, first_id: int) -> None:
        if self._last_id is None and sample_id != first_id:
            raise OutOfOrderError(sample_id, f"expected {first_id}, which first-id announced")
        if self._last_id is not None and sample_id <= self._last_id:
            raise OutOfOrderError(sample_id, f"expected an id above {self._last_id}")
        self._last_id = sample_id


class Lines:
    """The lines of all agents, by agent id. Loop only."""

    def __init__(self, make_predictor: Callable[[], Predictor]) -> None:
        self._make_predictor = make_predictor
        self._lines: OrderedDict[str, Line] = OrderedDict()

    def open(self, header: StreamHeader | None, peer: str = "") -> Stream:
        """Begin a stream into the agent's line; a plain peer's line is the stream itself.

        Of two live streams of one agent id the newer wins.
        """
        if header is None:
            return Stream(Line(self._make_predictor), None)
        if header.agent_id not in self._lines:
            _forget_idle(self._lines, _MOST_LINES)
            self._lines[header.agent_id] = Line(self._make_predictor)
        self._lines.move_to_end(header.agent_id)
        line = self._lines[header.agent_id]
        stream = Stream(line, header, peer)
        if line.live:
            log.warning(
                "%s streams from %s, and now from %s: the newer stream goes on",
                *(header.agent_id, line.live.peer, peer),
            )
            line.live.supersede(header.session_id)
        line.live = stream
        return stream


def _forget_idle(entries: OrderedDict[str, Line] | OrderedDict[str, Session], most: int) -> None:
    """Make room for one more by forgetting what has been idle longest; never what has a stream."""
    idle = [name for name, entry in entries.items() if not entry.streams]
    for name in idle[: max(0, len(entries) + 1 - most)]:
        del entries[name]
