"""What a stream adds to its line, and by which right. Filled by the line, kept by a recorder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from broker.errors import RecordError
from broker.model import Answer, Sample, Standing
from wire.metadata import StreamHeader

# The most samples that are replayed after a crash: about a second even where one
# takes a millisecond. And so seldom a snapshot costs little, unless it is large.
SNAPSHOT_EVERY = 1000

# What a store's integers hold; a peer, and a certificate, may announce times far beyond its life.
MAX_NS = 2**63 - 1
# Lines of simulations, which nobody needs later: enough to look at what was tried lately.
MOST_REHEARSALS = 100

# Each is one row of the store, and goes through the log of its commits.
MAX_SNAPSHOT_BYTES = 1 << 20


class Lease:
    """The right to add to a line. A newer lease of the same line voids it for good.

    Made by a recorder, which also fails it; read by everybody. What was made on top of records
    that are lost is void as well.
    """

    __slots__ = ("__weakref__", "_failure", "token")

    def __init__(self, token: int) -> None:
        self.token = token
        """Rises with each lease of a line: a recorder commits for the newest one alone."""
        self._failure: RecordError | None = None

    @property
    def is_good(self) -> bool:
        """Whether something can be recorded with it."""
        return self._failure is None

    def fail(self, error: RecordError) -> None:
        """Void it. The first reason stays."""
        self._failure = self._failure or error

    def check(self) -> None:
        """Raise what it failed by, if it has."""
        if self._failure:
            raise self._failure.again()


def taken_at_ns(header: StreamHeader | None, sample_id: int, arrived_at_ns: int) -> int:
    """When a sample was taken, in Unix ns; when it arrived, where nobody says."""
    if header is None or not (header.sample_period_ns or sample_id == header.first_id):
        return arrived_at_ns
    return min(header.sampled_at_ns(sample_id), MAX_NS)


class EventKind(StrEnum):
    """What happens to a line, apart from its samples."""

    OPENED = "opened"
    """A stream."""
    ENDED = "ended"
    """A stream; the text says why."""
    SUPERSEDED = "superseded"
    """A stream, by a newer one of the same agent."""
    RESTORED = "restored"
    """The predictor, from a snapshot or from its samples."""
    BEGUN = "begun"
    """The predictor starts again, and learns again; the text says why."""


ENDED_BY_AGENT = "the agent ended it"
"""The text of EventKind.ENDED where a stream ends in good order."""

BEGUN_BY_PERSON = "a person asked for it"
"""The text of EventKind.BEGUN after a rebase command: of the command line, or of the console."""

RESET_BY_PERSON = "predictor reset, as a person asked"
"""The explanation of the first sample after such a command."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a line."""

    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What the first batch of a stream tells of it."""

    certificate_until_ns: int | None = None
    """When the peer's certificate expires, in Unix ns; None: it showed none."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Claim:
    """One stream's hold on its line. Made by a recorder at each opening of a stream."""

    header: StreamHeader | None
    """None: a plain peer, whose line is the stream itself."""
    peer: str
    lease: Lease
    """The same object as long as no other owner has claimed the line."""
    last_id: int | None
    """The last id on record that the black box was given in this session."""
    has_records: bool
    """Whether the line has any: if so, its black box is rebuilt from them."""
    keeps_state: bool
    """Whether snapshots of the black box are kept."""
    standing: Standing = Standing()  # noqa: RUF009 - a tuple
    """How the line stands on record."""

    @property
    def is_rehearsal(self) -> bool:
        """Whether a simulation streams, whose line nobody needs later."""
        return self.header is not None and self.header.is_rehearsal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A black box's whole state; None: it cannot tell, and what was kept before is void."""

    after: int
    """How many samples of its batch it has seen."""
    state: bytes | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a black box had to say about its answer to a sample."""

    after: int
    """How many samples of its batch it has seen."""
    text: str


@dataclass(slots=True)
class Batch:
    """What one stream adds to its line at once."""

    claim: Claim
    samples: list[Sample] = field(default_factory=list)
    """Those that the black box has answered, in its order."""
    answers: list[Answer] = field(default_factory=list)
    gaps: Sequence[tuple[int, int]] = ()
    """First and last id of each range that was jumped over."""
    duplicates: int = 0
    refused: int = 0
    explanations: Sequence[Explanation] = ()
    snapshot: Snapshot | None = None
    rebased_by: int = 0
    """The command by which the black box was a fresh one before the first sample; 0: none."""
    opened: Opened | None = None
    """Where it is the first of its stream."""
    events: Sequence[Event] = ()
    """What happened to the line before its first sample."""
    standing: Standing | None = None
    """How the line stands from here on; None: as before."""
    arrived_at_ns: int = 0
    """The recorder's own stamp."""

    @property
    def received(self) -> int:
        """How many samples arrived: each was answered, a duplicate, or refused."""
        return len(self.answers) + self.duplicates + self.refused

    def __bool__(self) -> bool:
        return bool(self.answers or self.received or self.rebased_by)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a line's black box is rebuilt from: samples after a position, on top of a snapshot."""

    position: int
    """A number of the recorder's own, to be given back to it."""
    snapshot: bytes | None = None
    outdated: bool = False
    """There was a snapshot, and it was another black box's."""
    is_cut: bool = False
    """Older samples, which a black box would see as well, were deleted to make room."""
    is_back: bool = False
    """The snapshot is from before another black box answered for a while."""
    takes_over: bool = False
    """Another black box gave the line's newest answer, and whatever alarm there is."""
    missing: int = 0
    """How many samples since then it does not get to see."""
