"""A round on its way into the database: what its batches add, line by line, as one statement."""

from dataclasses import dataclass, field
from datetime import datetime

from broker.model import Standing
from broker.recorder.postgres import statement as parts
from broker.recorder.postgres.held import Held, LatestEvent, Shelf, continues
from broker.recorder.postgres.statement import Statement
from broker.records import Batch, Event, EventKind, taken_at_ns
from quartet.foreign import shown

_OF_STREAMS = {EventKind.OPENED, EventKind.ENDED, EventKind.SUPERSEDED}


@dataclass(slots=True)
class _Added:
    """What the batches of one line have added to it."""

    head: int
    """Before them."""
    shelf: Shelf = field(default_factory=Shelf)
    is_device: bool = False
    stands_anew: bool = False


@dataclass(slots=True)
class _Counts:
    """What the batches of one session have counted."""

    number: int
    """Among the sessions of the round."""
    first_id: int | None = None
    last_id: int | None = None
    received: int = 0
    answered: int = 0
    duplicates: int = 0
    refused: int = 0
    gaps: int = 0


class Writing:
    """One round. What the holders of leases know of their lines goes along with it."""

    def __init__(self, digest: str, owner: int, most_gaps: int) -> None:
        """`owner`: this broker. `most_gaps`: ranges of ids in one batch that are named."""
        self._owner = owner
        self._digest = digest
        self._most_gaps = most_gaps
        self._lines: dict[int, tuple[Held, _Added]] = {}
        self._sessions: dict[tuple[int, str], _Counts] = {}
        self._events: list[tuple[Held, int, Event]] = []
        self._labels: dict[int, bytes] = {}
        self._statement = Statement()
        self._samples = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be written."""
        return not (self._lines or self._events)

    @property
    def lines(self) -> set[int]:
        """Those that must be owned."""
        return {*self._lines}

    def add(self, batch: Batch, held: Held) -> None:
        """Add a batch behind all that came before."""
        header = batch.claim.header
        added = self._lines.setdefault(held.line, (held, _Added(held.head)))[1]
        counts = self._count(batch, held)
        if header:
            self._add_agents(batch, held, added, counts.number)
        self._add_samples(batch, held, counts.number)
        held.is_begun = True
        held.head += len(batch.samples)
        if batch.answers:
            held.prediction = batch.answers[-1].prediction

    def happened(self, held: Held, at_ns: int, event: Event) -> None:
        """Add an event of a line; of its streams the latest are remembered."""
        self._events.append((held, at_ns, event))
        if event.kind in _OF_STREAMS:
            held.told = [*held.told[-1:], LatestEvent(event.kind, shown(event.text), at_ns)]

    def built(self, at: datetime | None) -> tuple[str, list[object]]:
        """The statement and its arguments; `at`: in place of the server's time."""
        for line, (held, added) in sorted(self._lines.items()):
            count, prediction = held.head - added.head, held.prediction
            fence = line, held.epoch, self._owner, added.head
            self._statement.add(parts.LINES, (*fence, count, prediction, added.is_device))
            self._add_snapshots(line, added.shelf)
            if added.stands_anew:
                self._add_standing(line, held.standing, held.certificate_until_ns)
        for (line, session_id), each in self._sessions.items():
            ids = each.number, line, session_id, each.first_id, each.last_id
            fates = each.received, each.answered, each.duplicates, each.refused, each.gaps
            self._statement.add(parts.SESSIONS, (*ids, *fates, self._digest))
        self._statement.add(parts.LABELS, *self._labels.items())
        for number, (of, at_ns, event) in enumerate(self._events):
            said = str(event.kind), shown(event.text)
            row = number, of.line, of.epoch, self._owner, at_ns, *said
            self._statement.add(parts.EVENTS, row)
        return self._statement.built(at)

    def _count(self, batch: Batch, held: Held) -> _Counts:
        header, samples = batch.claim.header, batch.samples
        key = held.line, header.session_id if header else ""
        counts = self._sessions.setdefault(key, _Counts(len(self._sessions)))
        if samples:
            if counts.first_id is None:
                counts.first_id = samples[0].id
            counts.last_id = samples[-1].id
        counts.received += batch.received
        counts.answered += len(samples)
        counts.duplicates += batch.duplicates
        counts.refused += batch.refused
        for first, last in batch.gaps:
            counts.gaps += last - first + 1
        named = batch.gaps[: self._most_gaps]
        self._statement.add(parts.GAPS, *((counts.number, *gap) for gap in named))
        return counts

    def _add_agents(self, batch: Batch, held: Held, added: _Added, session: int) -> None:
        """What is recorded of agents alone: a plain peer's line ends with its stream."""
        header = batch.claim.header
        if header is None:
            return
        added.shelf.follow(held, batch)
        if batch.rebased_by:
            row = held.line, header.agent_id, batch.rebased_by, held.head
            self._statement.add(parts.REBASES, row)
        if batch.opened:
            added.is_device |= not header.is_rehearsal
            held.is_passing &= header.is_rehearsal
            added.stands_anew = True
            held.certificate_until_ns = batch.opened.certificate_until_ns
            self._open(
                held, batch.arrived_at_ns, Event(EventKind.OPENED, f"from {batch.claim.peer}")
            )
            if header.sensors:
                self._labels[session] = header.sensors
        for event in batch.events:
            self.happened(held, batch.arrived_at_ns, event)
        if batch.standing:
            added.stands_anew = True
            held.standing = batch.standing

    def _open(self, held: Held, at_ns: int, opened: Event) -> None:
        """Tell of a stream that opens; one that goes on takes the end of the one before back."""
        if not continues(held, opened, at_ns):
            self.happened(held, at_ns, opened)
            return
        ended = held.told.pop()
        for number, (of, _, event) in reversed([*enumerate(self._events)]):
            if of is held and event.kind == ended.kind:
                del self._events[number]
                return
        self._statement.add(parts.TAKEN_BACK, (held.line, ended.text))

    def _add_samples(self, batch: Batch, held: Held, session: int) -> None:
        header, arrived_at_ns = batch.claim.header, batch.arrived_at_ns
        answered = zip(batch.samples, batch.answers, strict=True)
        if batch.samples:
            run = session, self._samples + 1, self._samples + len(batch.samples)
            self._statement.add(parts.RUNS, run)
            self._samples += len(batch.samples)
        self._statement.add(
            parts.SAMPLES,
            *(
                (
                    *(position, sample.id, *sample.values),
                    *(taken_at_ns(header, sample.id, arrived_at_ns), answer.prediction),
                )
                for position, (sample, answer) in enumerate(answered, held.head + 1)
            ),
        )
        for each in batch.explanations:
            id_ = batch.samples[each.after - 1].id
            at_ns = taken_at_ns(header, id_, arrived_at_ns)
            row = session, held.head + each.after, id_, at_ns, storable(each.text)
            self._statement.add(parts.EXPLANATIONS, row)

    def _add_snapshots(self, line: int, shelf: Shelf) -> None:
        puts = shelf.puts.items()
        rows = ((line, at, self._digest, put.state, put.kept) for at, put in puts)
        self._statement.add(parts.PUTS, *rows)
        self._statement.add(parts.KEEPS, *((line, *keep) for keep in shelf.keeps.items()))
        self._statement.add(parts.DROPS, *((line, position) for position in shelf.drops))

    def _add_standing(
        self, line: int, standing: Standing, certificate_until_ns: int | None
    ) -> None:
        learning, alarm = standing.learning, standing.alarm
        learned = (learning.seen, learning.needed) if learning else (None, None)
        alarmed = (alarm.since_ns, storable(alarm.reason)) if alarm else (None, None)
        shift = storable(standing.shift) if standing.shift else None
        row = line, certificate_until_ns, *learned, *alarmed, shift
        self._statement.add(parts.STANDINGS, row)


def storable(text: str) -> str:
    """A text as the server takes it: it has no NUL, and no half characters."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
