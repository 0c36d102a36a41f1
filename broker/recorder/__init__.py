"""What was sampled and answered, kept so that a line can go on after the broker's death."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from broker.model import Answer, Sample
from broker.records import Basis, Batch, Claim, Event
from wire.metadata import StreamHeader

ANSWERS_AT_ONCE = 4096
"""What an agent resends at the most: its window is 512 by default, 4096 at the most."""


class Recorder(Protocol):
    """Keeps what streams add to their lines. Loop only. One suite of tests holds for all of them.

    1. A line has one writer. claim() gives a lease with which no earlier lease of the line can
       commit any more, however late its holder wakes. It is asked at every opening of a stream,
       also for a line that is in memory. Keys are agent id and session id.
    2. A batch is recorded once it would survive the broker's death, as far as this recorder
       promises that. Batches of many lines may be committed together; one whose lease is void
       fails alone.
    3. Where the outcome of a commit is unknown, the leases in it fail. Who claims next sees all
       of it or nothing.
    4. What is read after a claim is as durable as what is recorded.
    5. A session's id has its recorded answer; a session its last id; a line its snapshot with a
       position, and the samples behind a position; the counters balance. A claim tells how its
       line stands by the latest batch that said so.
    6. Nothing else decides who owns a line: no heartbeat, no clock.

    What is asked comes after all that was recorded before: a question sees its own stream's
    records.
    """

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded at all, and what to do; empty while all is well.

        Any thread. What passes by itself, and ends the streams concerned alone, is none. A disk
        that does not answer is one while it lasts.
        """
        ...

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        """Take hold of a stream's line. Without a header it is a new one. Raises RecordError.

        The lease is the one that was given before, unless that failed or another owner had the
        line meanwhile.
        """
        ...

    def record(self, batch: Batch) -> Awaitable[None]:
        """Take a batch over at once, so that the order of calls is the order of records.

        Awaited, it returns when the batch is recorded; it need not be awaited. RecordError: the
        batch is lost, and its lease failed.
        """
        ...

    async def answers(self, claim: Claim, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers to `count` ids of the claim's session, from `first_id` on.

        RecordError, also where its lease has failed.
        """
        ...

    async def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """The snapshot of this black box and its position, else where a fresh one begins.

        Also one from before another black box answered for a while: the newest of each is kept,
        of the latest few. Raises RecordError.
        """
        ...

    async def samples(self, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples of a line behind a position, in order, with theirs; none at the end.

        Raises RecordError.
        """
        ...

    def pending_rebase(self, claim: Claim) -> int:
        """The newest rebase command that is not applied yet, or 0."""
        ...

    def release(self, claim: Claim, ended: Event | None = None) -> None:
        """The stream has ended, and how; a plain peer's line ends with it.

        The event is recorded soon, and not for itself alone while samples are. It is left out
        where the line is a plain peer's, or has nothing on record; and taken back where the agent
        ended the stream and the same peer opens the next within a second.
        """
        ...
