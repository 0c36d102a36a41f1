"""What the holder of a lease knows of its line without a look at the database."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.model import Standing
from broker.records import ENDED_BY_AGENT, Batch, Event, EventKind
from quartet.foreign import shown

_HOUR_NS = 3600 * 10**9

# An agent whose readings were late ends its stream, and opens the next at once.
_NEXT_STREAM_NS = 10**9

KEPT = 1
"""In the column `kept` of a snapshot: the last of an hour, or before an alarm."""

REBASED = 2
"""The same: the black box was a fresh one there."""


@dataclass(slots=True)
class NewestSnapshot:
    """The newest snapshot of a line. Position 0: it has none."""

    position: int = 0
    arrived_at_ns: int = 0
    kept: int = KEPT


@dataclass(slots=True)
class LatestEvent:
    """An event of a line's streams that is on record, or about to be."""

    kind: str
    text: str
    at_ns: int


@dataclass(slots=True)
class Held:
    """Right as long as the lease is good: nobody else writes. Void with it."""

    line: int
    epoch: int
    head: int
    """The position of the newest sample."""
    is_begun: bool = False
    """Whether anything is recorded."""
    is_passing: bool = False
    """A plain peer's, or only simulations have streamed: it is given back when its stream ends."""
    prediction: bool = False
    """The answer to the newest sample."""
    newest: NewestSnapshot = field(default_factory=NewestSnapshot)
    standing: Standing = field(default_factory=Standing)
    certificate_until_ns: int | None = None
    told: list[LatestEvent] = field(default_factory=list)
    """The latest two events of its streams, the newest last."""
    streams: int = 0
    """Claims that are not released."""


@dataclass(slots=True)
class Put:
    """A snapshot to be written, or a bar where it has no state."""

    state: bytes | None
    kept: int


@dataclass(slots=True)
class Shelf:
    """What becomes of a line's snapshots in one round, by position."""

    puts: dict[int, Put] = field(default_factory=dict)
    keeps: dict[int, int] = field(default_factory=dict)
    drops: set[int] = field(default_factory=set)

    def follow(self, held: Held, batch: Batch) -> None:
        """Add a batch whose samples come behind the held line's head.

        Kept are the newest snapshot of a line, the last of each hour, and those before an alarm,
        which begins where an answer is True and the one before it was not. A row without a state
        bars what lies before it: that is kept to be looked at, and never restored.
        """
        position, snapshot = held.head, batch.snapshot
        if batch.rebased_by:
            self._put(held, position, None, batch.arrived_at_ns)
        seen = snapshot.after if snapshot else len(batch.answers)
        alarms = [*_alarms(batch, held.prediction)]
        if alarms and alarms[0] < seen:
            self._keep(held, KEPT)
        if snapshot:
            self._put(held, position + snapshot.after, snapshot.state, batch.arrived_at_ns)
            if alarms and alarms[-1] >= seen:
                self._keep(held, KEPT)
        if batch.rebased_by and position in self.puts:
            self.puts[position].kept = REBASED
            if held.newest.position == position:
                held.newest.kept = REBASED

    def _put(self, held: Held, position: int, state: bytes | None, arrived_at_ns: int) -> None:
        newest = held.newest
        if newest.arrived_at_ns // _HOUR_NS != arrived_at_ns // _HOUR_NS or state is None:
            self._keep(held, KEPT)
        if not newest.kept:
            self.puts.pop(newest.position, None)
            self.keeps.pop(newest.position, None)
            self.drops.add(newest.position)
        kept = KEPT if state is None else 0
        self.drops.discard(position)
        self.keeps.pop(position, None)
        self.puts[position] = Put(state, kept)
        held.newest = NewestSnapshot(position, arrived_at_ns, kept)

    def _keep(self, held: Held, kept: int) -> None:
        newest = held.newest
        if newest.kept:
            return
        newest.kept = kept
        if newest.position in self.puts:
            self.puts[newest.position].kept = kept
        else:
            self.keeps[newest.position] = kept


def _alarms(batch: Batch, before: bool) -> Iterator[int]:
    """How many samples of the batch come before each of its alarms; `before`: the last answer."""
    for number, answer in enumerate(batch.answers):
        if answer.prediction and not before:
            yield number
        before = answer.prediction


def continues(held: Held, opened: Event, at_ns: int) -> bool:
    """Whether the stream before was ended by its agent for this one, from the same place."""
    if len(held.told) < 2:
        return False
    former, ended = held.told[-2:]
    return (
        (former.kind, former.text) == (EventKind.OPENED, shown(opened.text))
        and (ended.kind, ended.text) == (EventKind.ENDED, ENDED_BY_AGENT)
        and at_ns - ended.at_ns < _NEXT_STREAM_NS
    )
