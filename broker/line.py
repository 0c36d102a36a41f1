"""One agent's samples in order: what is new goes to the black box, once."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.alarms import AlarmTrack
from broker.host import Host
from broker.idle import forget_idle
from broker.model import Answer, Code, Refusal, Sample
from broker.predictors import OVER, Predictor, one_line
from broker.records import (
    BEGUN_BY_PERSON,
    MOST_REHEARSALS,
    RESET_BY_PERSON,
    SNAPSHOT_EVERY,
    Batch,
    Claim,
    Event,
    EventKind,
    Explanation,
    Lease,
    Snapshot,
)
from quartet.clock import Clock
from quartet.foreign import described

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What lines take and hold in memory, at the most."""

    lines: int = 4096
    """With an agent that is away: its line stays as long as there are not more than this."""
    rehearsals: int = MOST_REHEARSALS
    """The same, of simulations: they never take the place of an agent."""
    sessions: int = 4
    """Of one line. They end with their agent's process: enough for one that restarts often."""
    snapshot_every: int = SNAPSHOT_EVERY
    slice_s: float = 0.005
    """What one line may delay the others by, however slow its black box is."""


class Session:
    """What a line remembers of one session."""

    __slots__ = ("last_id", "streams")

    def __init__(self, last_id: int | None = None) -> None:
        self.last_id = last_id
        """The last id that was given to the black box."""
        self.streams = 0


@dataclass(slots=True)
class Cursor:
    """How far one stream has come. A plain peer's ids mean nothing."""

    claim: Claim
    session: Session
    last_id: int | None = None
    """Of this stream."""

    def objection(self, sample: Sample) -> Refusal | None:
        """Why the sample cannot be the next of its stream, if it cannot."""
        header = self.claim.header
        if header is None:
            return None
        if self.last_id is None and sample.id != header.first_id:
            reason = f"expected {header.first_id}, which first-id announced"
        elif self.last_id is not None and sample.id <= self.last_id:
            reason = f"expected an id above {self.last_id}"
        else:
            return None
        return Refusal(sample.id, Code.INVALID_ARGUMENT, reason)

    def is_next(self, sample: Sample) -> bool:
        """Whether the sample follows, and no stream of the session has sent its id before."""
        if self.claim.header is None:
            return True
        if self.last_id is None:
            last_id = self.session.last_id
            return sample.id == self.claim.header.first_id and (
                last_id is None or sample.id > last_id
            )
        return sample.id > (self.session.last_id or 0)


class LiveStream(Protocol):
    """The newest stream of a line."""

    peer: str

    def supersede(self, session_id: str) -> None:
        """Give the line up to a newer stream of this session."""
        ...


class Line:
    """One agent's black box with its state, and its sessions. Free of I/O.

    Loop only; with `turn` held, answers are given in any thread.
    """

    def __init__(
        self,
        make_predictor: Callable[[], Predictor],
        claim: Claim,
        bounds: Bounds,
        clock: Clock = time,
    ) -> None:
        self._make_predictor = make_predictor
        self._bounds = bounds
        self._monotonic = clock.monotonic
        self._time_ns = clock.time_ns
        self._host: Host | None = None
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.agent_id = claim.header.agent_id if claim.header else None
        self.name = self.agent_id or "a client without agent metadata"
        self.is_rehearsal = claim.is_rehearsal
        """Only simulations have streamed."""
        self._keeps_state = claim.keeps_state
        self.lease: Lease = claim.lease
        self.has_records = claim.has_records
        """Whether its black box must be rebuilt, in place of a fresh one."""
        self.rebased_by = 0
        """The newest rebase command that was followed."""
        self._reset_in_alarm: bool | None = None
        """Whether that ended an alarm, until its explanation is told; None: nothing to tell."""
        self.standing = claim.standing
        """How it stands after the latest answer. Replaced as a whole."""
        self._told = claim.standing
        """How it stands in the newest batch that says so."""
        self.events: list[Event] = []
        """What happened to its black box, for the next batch. Loop only."""
        self.turn = asyncio.Lock()
        """Held by whoever lets its black box work, or replaces it."""
        self.live: LiveStream | None = None
        self.period_ns = 0
        """Between the samples of its newest stream; 0: nobody knows."""
        self.received = 0
        self.duplicates = 0
        self.gaps = 0
        self.streams = 0

    def session(self, claim: Claim) -> Session:
        """The session of a claim: as it is in memory, else as it is on record."""
        if claim.header is None:
            return Session()
        self.period_ns = claim.header.sample_period_ns
        session_id = claim.header.session_id
        if session := self._sessions.get(session_id):
            self._sessions.move_to_end(session_id)
        else:
            forget_idle(self._sessions, self._bounds.sessions)
            session = self._sessions[session_id] = Session(claim.last_id)
        return session

    def knows(self, session_id: str) -> bool:
        """Whether the session with this id is in memory."""
        return session_id in self._sessions

    @property
    def is_ready(self) -> bool:
        """Whether it has a black box."""
        return self._host is not None

    def install(
        self,
        predictor: Predictor,
        replayed: int = 0,
        event: Event | None = None,
        *,
        takes_over: bool = False,
    ) -> None:
        """Go on with this black box; it has seen `replayed` samples since its snapshot.

        `event`: what became of it. One that begins again, or takes over from another one, has
        raised no alarm.
        """
        self._host = Host(
            self.name,
            predictor,
            keeps_state=self._keeps_state,
            unsaved=replayed,
            snapshot_every=self._bounds.snapshot_every,
        )
        if event:
            self.events.append(event)
            if takes_over or event.kind is EventKind.BEGUN:
                self.standing = self._host.standing()

    def answer(
        self, cursor: Cursor, samples: Sequence[Sample], command: int = 0
    ) -> tuple[Batch, Refusal | None]:
        """Give the black box as many samples as fit into a slice, in their order.

        Up to one that it raises at, which is refused, or that is repeated. None, where there
        is no black box. A newer rebase `command` comes before all of them.
        """
        batch = Batch(cursor.claim)
        refusal = self._rebase(command, samples[0], batch) if command > self.rebased_by else None
        header = cursor.claim.header
        host, session, ordered = self._host, cursor.session, header is not None
        period_ns = header.sample_period_ns if header else 0
        if host is None or refusal:
            return batch, refusal
        track = AlarmTrack(self.standing.alarm, header, self._time_ns)
        end_s = self._monotonic() + self._bounds.slice_s
        for sample in samples:
            last_id = session.last_id
            if last_id is not None and sample.id <= last_id:
                break
            try:
                answer = Answer(sample.id, host.ask(sample))
            except BaseException as error:  # whatever a black box raises
                refusal = self._throw_away(sample, error, batch)
                break
            batch.samples.append(sample)
            batch.answers.append(answer)
            said = _add_more(host, answer, batch, period_ns) if host.has_more else None
            track.follow(answer, said)
            if ordered:
                if last_id is not None and sample.id > last_id + 1:
                    batch.gaps = (*batch.gaps, (last_id + 1, sample.id - 1))
                session.last_id = cursor.last_id = sample.id
            if self._monotonic() > end_s:
                break
        if batch.samples:
            self.standing = host.standing(track.alarm)
            self._explain_reset(batch)
        if self.standing is not self._told and self.standing != self._told:
            self._told = batch.standing = self.standing
        return batch, refusal

    def add(self, batch: Batch) -> None:
        """Count what a stream has added."""
        if self.is_rehearsal:
            self.is_rehearsal = batch.claim.is_rehearsal
        if batch.samples:
            self.has_records = True
        self.received += batch.received
        self.duplicates += batch.duplicates
        for first, last in batch.gaps:
            self.gaps += last - first + 1

    def _rebase(self, command: int, sample: Sample, batch: Batch) -> Refusal | None:
        """Go on with a fresh black box, as commanded."""
        try:
            self.install(self._make_predictor())
        except BaseException as error:  # whatever a black box raises
            return self._throw_away(sample, error, batch)
        self._reset_in_alarm = bool(self._reset_in_alarm or self.standing.alarm)
        self.rebased_by = batch.rebased_by = command
        batch.events = [Event(EventKind.BEGUN, BEGUN_BY_PERSON)]
        log.info("%s: %s", self.name, RESET_BY_PERSON)
        if self._host:
            self.standing = self._host.standing()
            if self._host.gives_state:
                batch.snapshot = Snapshot(0, self._host.snapshot())
        return None

    def _explain_reset(self, batch: Batch) -> None:
        """Tell a reset with the first answer after it, before what the black box says of that."""
        if self._reset_in_alarm is None:
            return
        is_end = self._reset_in_alarm and not batch.answers[0].prediction
        self._reset_in_alarm = None
        text = f"{OVER}{RESET_BY_PERSON}" if is_end else RESET_BY_PERSON
        said = batch.explanations
        if said and said[0].after == 1:
            text = one_line(f"{text}; {said[0].text}")
            said = said[1:]
        batch.explanations = [Explanation(1, text), *said]

    def _throw_away(self, sample: Sample, error: BaseException, batch: Batch) -> Refusal:
        self._host = None
        batch.refused += 1
        return raised(sample.id, error)


def _add_more(host: Host, answer: Answer, batch: Batch, period_ns: int) -> str | None:
    """Add what the black box says of its latest answer, which is returned, and its state if due."""
    if (text := host.explain(answer, period_ns)) is not None:
        batch.explanations = (*batch.explanations, Explanation(len(batch.samples), text))
    if host.is_due:
        batch.snapshot = Snapshot(len(batch.samples), host.snapshot())
    return text


def raised(sample_id: int, error: BaseException) -> Refusal:
    """The refusal of a sample at which the predictor raised."""
    reason = f"the predictor raised {described(error)}"
    return Refusal(sample_id, Code.INTERNAL, reason, error)
