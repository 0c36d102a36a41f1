"""What was sampled and answered, kept so that a line can go on after the broker's death."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.model import Answer, Sample
from wire.metadata import StreamHeader


class Lease:
    """What a line's records hang on: once one is lost, all that were made on top of it are void.

    Set by the recorder, asked by everybody; says in words why it failed.
    """

    __slots__ = ("failure",)

    def __init__(self) -> None:
        self.failure = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream's samples belong; without a header, a plain peer's line of its own."""

    line: int
    session: int
    header: StreamHeader | None
    peer: str
    digest: str
    """Of the black box that answers."""
    lease: Lease


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
    """What one stream adds to its line at once: filled by the line, then the recorder's."""

    origin: Origin
    samples: list[Sample] = field(default_factory=list)
    """Those that the black box has answered, in its order."""
    answers: list[Answer] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """First and last id of each range that was jumped over."""
    received: int = 0
    duplicates: int = 0
    refused: int = 0
    explanations: list[Explanation] = field(default_factory=list)
    snapshot: Snapshot | None = None
    rebase: int = 0
    """The command by which the black box was a fresh one before the first sample; 0: none."""
    arrived_at_ns: int = 0
    """The recorder's own stamp."""

    def __bool__(self) -> bool:
        return bool(self.received or self.rebase)


@dataclass(frozen=True, slots=True)
class Found:
    """The numbers of a line and a session, new ones where they are not known."""

    line: int
    session: int
    last_id: int | None
    """The last id that was given to the black box in this session."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a line's black box is rebuilt from: samples after a position, on top of a snapshot."""

    position: int
    snapshot: bytes | None = None
    outdated: bool = False
    """There was a snapshot, and it was another black box's."""


class History(Protocol):
    """What a line's black box has seen. Loop only; each raises RecordError."""

    async def basis(self, line: int, *, with_snapshot: bool) -> Basis:
        """The snapshot of this black box and its position, else where a fresh one begins."""
        ...

    async def samples(self, line: int, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples behind a position, in line order with theirs; none at the end."""
        ...


class Recorder(Protocol):
    """Keeps what streams add. Loop only.

    What it is asked comes after all that was recorded before: a question sees its own
    stream's records.
    """

    history: History | None
    """None where nothing is kept."""

    async def find(self, header: StreamHeader | None) -> Found:
        """Look a stream's line and session up. Raises RecordError."""
        ...

    async def record(self, batch: Batch) -> None:
        """Return once the batch would survive the broker's death.

        The batch is taken over before the first suspension, so that the order of
        calls is the order of records. RecordError: it is lost, and its lease failed.
        """
        ...

    async def answers(self, session: int, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers to `count` ids from `first_id` on. Raises RecordError."""
        ...

    def rebase(self, agent_id: str) -> int:
        """The newest command to go on with a fresh black box that is not applied yet, or 0."""
        ...

    def end(self, line: int) -> None:
        """A plain peer's stream has ended, and its line with it."""
        ...
