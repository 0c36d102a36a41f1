"""What people ask of the records: accounts, samples, explanations, the state of each line."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.model import Standing
from broker.recorder.upkeep import Loss
from broker.records import EventKind
from quartet.channels import Values


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
    standing: Standing = Standing()  # noqa: RUF009 - frozen
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


@dataclass(slots=True)
class Bucket:
    """Several samples as one point of a picture. NaN is counted, and in no minimum or maximum."""

    begin_ns: int
    samples: int = 0
    trues: int = 0
    failed: list[int] = field(default_factory=lambda: [0] * 4)
    """By channel, how many values are NaN."""
    least: list[float] = field(default_factory=lambda: [float("inf")] * 4)
    most: list[float] = field(default_factory=lambda: [float("-inf")] * 4)

    def add(self, sample: RecordedSample) -> None:
        """Take a sample in."""
        self.samples += 1
        self.trues += sample.prediction
        for channel, value in enumerate(sample.values):
            if value != value:  # noqa: PLR0124 - NaN
                self.failed[channel] += 1
                continue
            self.least[channel] = min(self.least[channel], value)
            self.most[channel] = max(self.most[channel], value)


@dataclass(frozen=True, slots=True)
class News:
    """The samples behind a cursor, and the cursor behind them."""

    samples: Sequence[RecordedSample]
    cursor: str


class Reader(Protocol):
    """Asks the records, beside a running broker or without one. Each raises StoreError.

    No question holds the records still for longer than it takes to fetch a few hundred rows, so
    that a slow reader costs the broker nothing.
    """

    async def accounts(self) -> Accounts:
        """What became of each sample, by agent and session."""
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

    async def outline(self, agent_id: str, span: Span, buckets: int) -> Sequence[Bucket]:
        """The same samples in at most `buckets` buckets; those without a sample are left out."""
        ...

    async def explanations(self, agent_id: str, span: Span) -> Sequence[RecordedExplanation]:
        """What was said about an agent's samples that were taken in this span, in order."""
        ...

    async def events(self, agent_id: str, span: Span) -> Sequence[RecordedEvent]:
        """What happened to an agent's line in this span of the broker's time, in order."""
        ...

    async def served_since(self) -> int | None:
        """When the broker that runs has opened the store, in Unix ns; None: no broker runs."""
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


async def outline(
    samples: AsyncIterator[Sequence[RecordedSample]], span: Span, buckets: int
) -> list[Bucket]:
    """Fold samples into buckets of equal width over the span. ValueError for less than one."""
    if buckets < 1:
        raise ValueError(f"buckets: at least 1, not {buckets}")
    width_ns = max(1, -(-(span.until_ns - span.since_ns) // buckets))
    found: dict[int, Bucket] = {}
    async for chunk in samples:
        for sample in chunk:
            number = (sample.sampled_at_ns - span.since_ns) // width_ns
            if number not in found:
                found[number] = Bucket(span.since_ns + number * width_ns)
            found[number].add(sample)
    return [found[number] for number in sorted(found)]
