"""The recorder in memory: a session's last id and latest answers, gone with the process."""

from array import array
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from broker.errors import TakenError
from broker.idle import forget_idle
from broker.model import Answer, Sample, Standing
from broker.recorder import ANSWERS_AT_ONCE
from broker.records import MOST_REHEARSALS, Basis, Batch, Claim, Event, Lease
from wire.metadata import StreamHeader


class _Session:
    """The last id and the latest answers of one session."""

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.streams = 0
        self._ids = array("i")
        self._predictions = bytearray()

    def remember(self, answer: Answer, most: int) -> None:
        """Keep an answer in place of the one whose slot it takes."""
        if not self._ids:  # not before: a peer that only opens sessions costs little
            self._ids = array("i", [-1]) * most
            self._predictions = bytearray(most)
        slot = answer.id % most
        self._ids[slot] = answer.id
        self._predictions[slot] = answer.prediction
        self.last_id = answer.id

    def answers(self, first_id: int, count: int) -> Iterator[Answer]:
        """The answers that are still known, to `count` ids from `first_id` on."""
        most = len(self._ids)
        for id_ in range(first_id, min(first_id + count, (self.last_id or 0) + 1)):
            if most and self._ids[id_ % most] == id_:
                yield Answer(id_, bool(self._predictions[id_ % most]))


class _Line:
    """One agent's sessions, and who may add to them."""

    def __init__(self, owner: object, *, is_rehearsal: bool) -> None:
        self.is_rehearsal = is_rehearsal
        self.owner = owner
        self.lease = Lease(token=1)
        self.sessions: OrderedDict[str, _Session] = OrderedDict()
        self.streams = 0
        self.standing = Standing()


class _Recorded:
    """What record() gives: nothing is waited for."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def __await__(self) -> Generator[Any, Any, None]:
        self._lease.check()
        yield from ()


class Memory:
    """What recorders keep that share it. Each bound holds for what has no stream."""

    def __init__(
        self,
        *,
        answers: int = ANSWERS_AT_ONCE,
        sessions: int = 4,
        lines: int = 4096,
        rehearsals: int = MOST_REHEARSALS,
    ) -> None:
        self._most_sessions = sessions
        self._most_lines = lines
        self._most_rehearsals = rehearsals
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self.most_answers = answers
        """Of one session."""

    def line(self, header: StreamHeader, owner: object) -> _Line:
        """The line of a stream, which from now on is this owner's alone."""
        line = self._lines.get(header.agent_id)
        if line is None:
            line = self._lines[header.agent_id] = _Line(owner, is_rehearsal=header.is_rehearsal)
        elif line.owner is not owner:
            line.lease.fail(TakenError(header.session_id))
            line.lease, line.owner = Lease(line.lease.token + 1), owner
        self._lines.move_to_end(header.agent_id)
        if header.session_id not in line.sessions:
            forget_idle(line.sessions, self._most_sessions)
            line.sessions[header.session_id] = _Session()
        line.sessions.move_to_end(header.session_id)
        return line

    def hold(self, header: StreamHeader, streams: int) -> None:
        """Count streams that begin or end. A line without an answer ends with its last one."""
        line = self._lines[header.agent_id]
        line.streams += streams
        line.sessions[header.session_id].streams += streams
        if not line.streams and all(each.last_id is None for each in line.sessions.values()):
            del self._lines[header.agent_id]

    def remember(
        self, header: StreamHeader, answers: Sequence[Answer], standing: Standing | None
    ) -> None:
        """Keep answers of a stream that is open; who only opens streams displaces nobody.

        And how its line stands, where that is new.
        """
        session, line = self.session(header), self._lines[header.agent_id]
        line.is_rehearsal &= header.is_rehearsal
        if standing:
            line.standing = standing
        is_first = session.last_id is None
        for answer in answers:
            session.remember(answer, self.most_answers)
        if answers and is_first:
            most = self._most_rehearsals if line.is_rehearsal else self._most_lines
            forget_idle(
                self._lines, most + 1, lambda other: other.is_rehearsal == line.is_rehearsal
            )

    def session(self, header: StreamHeader) -> _Session:
        """The session of a stream that is open."""
        return self._lines[header.agent_id].sessions[header.session_id]


class MemoryRecorder:
    """A Recorder that never waits. It keeps no samples: black boxes begin afresh. Loop only."""

    trouble = ""

    def __init__(self, memory: Memory | None = None) -> None:
        """The memory may be shared with the recorders of other brokers in this process."""
        self._memory = memory or Memory()

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        """Take hold of a stream's line; another recorder's lease of it fails."""
        if header is None:
            return Claim(None, peer, Lease(token=1), None, has_records=False, keeps_state=False)
        line = self._memory.line(header, owner=self)
        self._memory.hold(header, streams=1)
        last_id = self._memory.session(header).last_id
        return Claim(
            header,
            peer,
            line.lease,
            last_id,
            has_records=False,
            keeps_state=False,
            standing=line.standing,
        )

    def record(self, batch: Batch) -> _Recorded:
        """Keep the batch's answers."""
        claim = batch.claim
        if claim.header and claim.lease.is_good:
            self._memory.remember(claim.header, batch.answers, batch.standing)
        return _Recorded(claim.lease)

    async def answers(self, claim: Claim, first_id: int, count: int) -> Sequence[Answer]:
        """The answers that are still known."""
        claim.lease.check()
        if claim.header is None:
            return ()
        return [*self._memory.session(claim.header).answers(first_id, count)]

    async def basis(self, _agent_id: str, *, with_snapshot: bool) -> Basis:  # noqa: ARG002
        """Nothing to build upon."""
        return Basis(position=0)

    async def samples(self, _agent_id: str, _after: int) -> Sequence[tuple[int, Sample]]:
        """None is kept."""
        return ()

    def pending_rebase(self, _: Claim) -> int:
        """There is nobody who could command."""
        return 0

    def release(self, claim: Claim, _ended: Event | None = None) -> None:
        """The stream has ended. Nobody could read how."""
        if claim.header:
            self._memory.hold(claim.header, streams=-1)
