"""What a move carries from one store to another, row by row, whichever they are."""

from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from quartet.channels import Values


class MovedLine(NamedTuple):
    """A line. Those that are being erased are left behind."""

    line: int
    """The same number in both stores, as those of sessions are."""
    agent_id: str | None
    peer: str
    is_rehearsal: bool
    answered: int
    """Samples of which an answer is counted, no less than are on record."""
    on_record: int
    latest_session: str
    """Empty: none, or a plain peer's."""
    heard_at_ns: int


class MovedSession(NamedTuple):
    """The counters of a session."""

    session: int
    line: int
    id: str
    """Empty: a plain peer's."""
    first_id: int | None
    last_id: int | None
    received: int
    answered: int
    duplicates: int
    refused: int
    gaps: int
    digest: str
    opened_at_ns: int


class MovedGap(NamedTuple):
    """Ids that were jumped over."""

    session: int
    first: int
    last: int


class MovedLabels(NamedTuple):
    """What the sensors of a session are called."""

    session: int
    line: int
    sensors: bytes


class MovedSample(NamedTuple):
    """A sample; they come in the order of the records."""

    line: int
    session: int
    id: int
    values: Values
    sampled_at_ns: int
    arrived_at_ns: int
    prediction: bool


class MovedExplanation(NamedTuple):
    """What was said about a sample of a line."""

    line: int
    rank: int
    """The number of the sample among those of its line that are on record, from 1."""
    session: int
    id: int
    sampled_at_ns: int
    arrived_at_ns: int
    text: str


class MovedSnapshot(NamedTuple):
    """The state of a black box, or a bar."""

    line: int
    rank: int
    """Of the last sample on record that it has seen; 0: none of them."""
    digest: str
    state: bytes | None
    arrived_at_ns: int
    kept: int
    """0: not; 1: the last of an hour, or before an alarm; 2: of a rebase."""


class MovedAside(NamedTuple):
    """The state of a black box that answers a line no more."""

    line: int
    rank: int
    """As of a snapshot."""
    since: int
    """Samples of the line that were answered behind it, on record or not."""
    digest: str
    state: bytes
    arrived_at_ns: int


class MovedCommand(NamedTuple):
    """What a person wanted of a line."""

    agent_id: str
    line: int
    """0: the agent has none."""
    name: str
    at_ns: int
    rank: int | None
    """Behind this sample it was applied, 0: before all; None: it waits."""


class MovedEvent(NamedTuple):
    """What happened to a line."""

    line: int
    at_ns: int
    kind: str
    text: str


class MovedStanding(NamedTuple):
    """How a line stands."""

    line: int
    certificate_until_ns: int | None
    learned: int | None
    to_learn: int | None
    alarm_since_ns: int | None
    alarm_reason: str | None
    shift: str | None


class MovedLoss(NamedTuple):
    """Samples that were answered, and whose records are lost."""

    agent_id: str | None
    session_id: str | None
    first: int | None
    last: int | None
    why: str
    at_ns: int


Row = (
    MovedLine
    | MovedSession
    | MovedGap
    | MovedLabels
    | MovedSample
    | MovedExplanation
    | MovedSnapshot
    | MovedAside
    | MovedCommand
    | MovedEvent
    | MovedStanding
    | MovedLoss
)

KINDS: tuple[type[Row], ...] = (
    *(MovedLine, MovedSession, MovedGap, MovedLabels, MovedSample, MovedExplanation),
    *(MovedSnapshot, MovedAside, MovedCommand, MovedEvent, MovedStanding, MovedLoss),
)
"""The order in which they are read and written: ranks are those of samples that have gone by."""


# Those with a state are as large as a predictor wants them to be.
_AT_ONCE = 2000
_STATES_AT_ONCE = 10


def at_once(kind: type[Row]) -> int:
    """Rows of a kind that may be held in memory at once."""
    return _STATES_AT_ONCE if kind in {MovedSnapshot, MovedAside} else _AT_ONCE


class MoveSource(Protocol):
    """A store that nobody serves. Each raises StoreError."""

    def rows(self, kind: type[Row]) -> AsyncIterator[Row]:
        """All rows of a kind. Asked once for each, in the order of KINDS."""
        ...


class MoveTarget(Protocol):
    """A store that is made; it is there once its context ends without an error."""

    async def write(self, kind: type[Row], rows: AsyncIterator[Row]) -> None:
        """Take over all rows of a kind. Asked once for each, in the order of KINDS. StoreError."""
        ...


class Mark(NamedTuple):
    """A sample that is remembered."""

    rank: int
    """0: there is none."""
    position: int
    is_dense: bool
    """Whether every position from here to the next mark has a sample."""


# Samples for each mark in memory. A look counts half of them on average.
_EVERY = 256


class Milestones:
    """Some of the positions of each line's samples, noted in their order."""

    def __init__(self) -> None:
        self._positions: dict[int, array[int]] = {}
        self._counts: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def add(self, line: int, position: int) -> None:
        """Note the next sample of a line."""
        count = self._counts.get(line, 0)
        if count % _EVERY == 0:
            self._positions.setdefault(line, array("q")).append(position)
        self._counts[line] = count + 1
        self._last[line] = position

    def before(self, line: int, position: int) -> Mark:
        """The last sample at or before a position that is remembered."""
        positions = self._positions.get(line, array("q"))
        number = bisect_right(positions, position)
        if not number:
            return Mark(0, 0, is_dense=False)
        rank, at = (number - 1) * _EVERY + 1, positions[number - 1]
        if number < len(positions):
            return Mark(rank, at, positions[number] - at == _EVERY)
        last = self._last[line]
        if position >= last:
            return Mark(self._counts[line], position, is_dense=True)
        return Mark(rank, at, last - at == self._counts[line] - rank)

    def up_to(self, line: int, rank: int) -> Mark:
        """The last sample of a line that is remembered, up to this rank, which is 1 or more."""
        number = (rank - 1) // _EVERY
        return Mark(number * _EVERY + 1, self._positions[line][number], is_dense=False)
