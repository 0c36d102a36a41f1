"""What people ask of the records: accounts, samples, explanations, the state of each line."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.model import Standing
from broker.recorder.fleet import Fleet
from broker.recorder.upkeep import Loss
from broker.records import EventKind
from quartet.channels import Values
from wire.sensors import Sensors


@dataclass(frozen=True, slots=True)
class SessionAccount:
    """The counts of one session. `gaps` counts ids, `missing` names them, within bounds."""

    agent_id: str
    session_id: str
    first_id: int | None
    last_id: int | None
    received: int
    answered: int
    duplicates: int
    refused: int
    gaps: int
    digest: str
    missing: list[tuple[int, int]]
    is_rehearsal: bool = False
    """A simulation's, whose line nobody needs later."""
    sensors: Sensors | None = None
    """What people call its sensors; None: nobody told."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Some of an agent's sessions. Of many missing ids in one, the first ranges are named."""

    newest: Sequence[SessionAccount]
    """The newest first."""
    count: int
    """How many there are."""


@dataclass(frozen=True, slots=True)
class PlainAccount:
    """The sum over those streams of plain peers that are still on record."""

    streams: int
    received: int
    answered: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """All accounts at one moment, in the order in which their sessions began."""

    sessions: Sequence[SessionAccount]
    plain: PlainAccount
    losses: Sequence[Loss] = ()
    """Samples that are counted above, and whose records are lost."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of sampling time in Unix ns: from `since_ns`, and before `until_ns`."""

    since_ns: int = 0
    until_ns: int = 2**63 - 1

    def __contains__(self, at_ns: int) -> bool:
        return self.since_ns <= at_ns < self.until_ns


@dataclass(frozen=True, slots=True)
class RecordedSample:
    """A sample with its answer. Times are Unix ns: by the agent's clock, and by the broker's."""

    agent_id: str
    session_id: str
    """Empty where the session is so old that it is forgotten."""
    id: int
    values: Values
    sampled_at_ns: int
    arrived_at_ns: int
    prediction: bool


@dataclass(frozen=True, slots=True)
class RecordedExplanation:
    """What a black box had to say about its answer to a sample."""

    session_id: str
    id: int
    sampled_at_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """Something that happened to a line, by the broker's clock in Unix ns."""

    at_ns: int
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class RecordedSnapshot:
    """What a line's black box can be begun with."""

    digest: str
    """Of the black box."""
    state: bytes | None
    """None: it gives none."""
    is_fresh: bool
    """It had seen nothing: at the line's beginning, or at a reset by a person."""
    sampled_at_ns: int
    """When the last sample that it had seen was taken; of a beginning, the first sample."""
    arrived_at_ns: int
    cursor: str
    """Where its samples go on, for course()."""


@dataclass(frozen=True, slots=True)
class Course:
    """Some of the samples that a line's black box saw, in its order, and the cursor behind them."""

    samples: Sequence[RecordedSample]
    snapshots: Sequence[tuple[int, RecordedSnapshot]]
    """Those on record, each with the number of these samples that come before it."""
    cursor: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a person wanted of a line."""

    name: str
    at_ns: int
    is_applied: bool


@dataclass(frozen=True, slots=True)
class LineState:
    """Where a line stands, by its newest records."""

    agent_id: str
    peer: str
    """HOST:PORT of the first stream."""
    oldest_ns: int | None
    """When its oldest sample on record was taken; None: all are pruned."""
    latest: RecordedSample | None
    explanation: RecordedExplanation | None
    standing: Standing = Standing()  # noqa: RUF009 - a tuple
    certificate_until_ns: int | None = None
    """When the certificate of its latest stream expires; None: that showed none."""
    stream: RecordedEvent | None = None
    """How its latest stream opened or, since, ended."""
    begun: RecordedEvent | None = None
    """When its predictor last started again, and why."""
    period_ns: int | None = None
    """Between its latest samples, as they were taken; None: not known."""
    missing: int = 0
    """Ids that never arrived, in the sessions on record."""
    is_rehearsal: bool = False
    """A simulation's, which nobody misses when it is silent."""
    sensors: Sensors | None = None
    """What people call its four sensors, by its newest session that told; None: nobody told."""


@dataclass(frozen=True, slots=True)
class News:
    """The samples behind a cursor, and the cursor behind them."""

    samples: Sequence[RecordedSample]
    cursor: str


@dataclass(frozen=True, slots=True)
class Strip:
    """An agent's samples in the order of their records, as columns of the same length.

    Costs a program a quarter of what the same samples cost one by one.
    """

    agent_id: str
    sampled_at_ns: Sequence[int]
    predictions: Sequence[int]
    """1: True."""
    values: Sequence[Values]
    said: Sequence[tuple[int, str]] = ()
    """Explanations, each with the number of its sample in the strip."""
    peer: str = ""
    """HOST:PORT of the line's first stream: another one where the agent was forgotten and is
    back. Empty: nobody can tell."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """The samples behind a cursor, by agent, and the cursor behind them."""

    strips: Sequence[Strip]
    cursor: str
    arrived_at_ns: int | None = None
    """When the last of them arrived; None: there is none."""
    is_last: bool = False
    """Whether no more lay behind the cursor."""
    is_another: bool = False
    """Whether the cursor is of another store, or of a later state of this one. There are no strips
    then, and `cursor` is behind what had arrived when the former one was given."""
    damaged: int = 0
    """Samples behind the cursor that are damaged, and left out."""


class Reader(Protocol):
    """Asks the records, beside a running broker or without one. Each raises StoreError.

    No question holds the records still for longer than it takes to fetch a few hundred rows, so
    that a slow reader costs the broker nothing.
    """

    async def accounts(self) -> Accounts:
        """What became of each sample, by agent and session."""
        ...

    async def sessions(self, agent_id: str, most: int) -> Sessions:
        """The accounts of an agent's newest sessions: cheap, however much is on record."""
        ...

    async def lines(self) -> Sequence[LineState]:
        """The state of each agent's line, by agent id."""
        ...

    async def line(self, agent_id: str) -> LineState | None:
        """The state of one agent's line; None: it has none."""
        ...

    async def plain(self) -> PlainAccount:
        """The sum over those streams of plain peers that are still on record."""
        ...

    def samples(self, agent_id: str, span: Span) -> AsyncIterator[Sequence[RecordedSample]]:
        """An agent's samples that were taken in this span, in order, a few hundred at a time."""
        ...

    async def recent(self, agent_id: str, since_ns: int, most: int) -> Sequence[RecordedSample]:
        """An agent's newest samples that arrived at this time or later, in order; `most` of them.

        Costs no more than they do.
        """
        ...

    async def explanations(self, agent_id: str, span: Span) -> Sequence[RecordedExplanation]:
        """What was said about an agent's samples that were taken in this span, in order."""
        ...

    async def events(self, agent_id: str, span: Span) -> Sequence[RecordedEvent]:
        """What happened to an agent's line in this span of the broker's time, in order."""
        ...

    async def snapshot(self, agent_id: str, at_ns: int) -> RecordedSnapshot | None:
        """What a line's black box can be begun with at a time of sampling.

        The newest state up to then; where there is none, the oldest on record. None: there is
        none at all, or no such agent.
        """
        ...

    async def course(self, agent_id: str, cursor: str, most: int) -> Course:
        """At most so many of the samples that a line's black box saw behind a cursor of snapshot().

        No sample: there is no more.
        """
        ...

    async def served_since(self) -> int | None:
        """When the broker that runs has opened the store, in Unix ns; None: no broker runs."""
        ...

    async def fleet(self) -> Fleet | None:
        """Which broker owns which line, and what the database is; None: there is one broker."""
        ...

    async def commands(self, agent_id: str) -> Sequence[Command]:
        """What people wanted of a line: the latest that was applied, and those that wait."""
        ...

    async def command_rebase(self, agent_id: str) -> bool:
        """Reset a line's black box, between two samples. CommandError for an unknown agent.

        Whether a broker runs, which does it within seconds if samples come.
        """
        ...

    async def command_forget(self, agent_id: str) -> int | None:
        """Delete all of an agent, which is a new one then. CommandError for an unknown agent.

        How many samples were deleted; None: the broker that runs deletes them within seconds.
        """
        ...

    async def tail(self) -> str:
        """The cursor behind the newest sample."""
        ...

    async def news(self, cursor: str, most: int) -> News:
        """At most `most` samples of all agents behind a cursor, in the order of their records.

        Perhaps none, although there are more: what lies between may be of plain peers. The
        cursor stays where it was at the end. An empty one is before the oldest. ValueError for
        one that is not this reader's.
        """
        ...

    async def bulk(self, cursor: str, most: int) -> Bulk:
        """The same as strips, with explanations, for a program that reads all there is.

        A cursor of another kind of store is one of another store.
        """
        ...

    async def strip(self, agent_id: str, span: Span, most: int, behind: str = "") -> Strip | None:
        """An agent's samples of a span, behind a cursor; None: they are more than `most`.

        Costs what lies in the span, and not what lies behind it. What was recorded more than
        an hour out of the order of sampling may be left out; see samples(). Without
        explanations.
        """
        ...
