"""A stream takes hold of its line: from now on no earlier holder can commit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from broker.errors import RecordError, TakenError
from broker.recorder.postgres.held import Held, LatestEvent, NewestSnapshot
from broker.recorder.postgres.leases import Leases
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import standing_of
from broker.records import Claim, Lease
from quartet.foreign import shown
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)

# A commit that is under way is waited for. One whose broker is frozen would never end.
LOOK_S = 1.0

# Where the line is ours, nothing is written: see _known(). A claim is a commit of its own, so
# that what is read behind it is as durable as itself.
_TAKE = """
    INSERT INTO lines AS known (agent_id, peer, owner, claimer, generation, is_rehearsal)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (agent_id) DO UPDATE SET epoch = known.epoch + 1, owner = excluded.owner,
        claimer = excluded.claimer, generation = excluded.generation, claimed_at = now()
    WHERE known.generation <= excluded.generation
    RETURNING line, epoch
"""

# Asked after it: in one statement it would see the records as they were before the wait.
_LOOK = """
    SELECT epoch, owner, head, prediction, heard_at IS NOT NULL AS is_begun, is_rehearsal,
        generation, claimer, sessions.last_id,
        certificate_until_ns, learned, to_learn, alarm_since_ns, alarm_reason, shift,
        newest.position, newest.kept,
        (extract(epoch FROM newest.arrived_at) * 1000000)::bigint * 1000 AS snapshot_at_ns,
        told.kinds, told.texts, told.times,
        coalesce(
            (SELECT max(command) FROM commands WHERE commands.agent_id = lines.agent_id
                AND position IS NULL AND name = 'rebase'), 0) AS rebase
    FROM lines
    LEFT JOIN sessions ON sessions.line = lines.line AND sessions.id = $2
    LEFT JOIN standings ON standings.line = lines.line
    LEFT JOIN LATERAL (
        SELECT position, kept, arrived_at FROM snapshots WHERE snapshots.line = lines.line
        ORDER BY position DESC LIMIT 1
    ) AS newest ON true
    CROSS JOIN LATERAL (
        SELECT array_agg(kind ORDER BY event) AS kinds, array_agg(text ORDER BY event) AS texts,
            array_agg(at_ns ORDER BY event) AS times
        FROM (
            SELECT event, kind, text, at_ns FROM events WHERE events.line = lines.line
                AND kind IN ('opened', 'ended', 'superseded') ORDER BY event DESC LIMIT 2
        ) AS latest
    ) AS told
    WHERE lines.line = $1
"""

# Only one that waits for its client, which sends no more: what waits for a disk, a standby or a
# lock goes on by itself, and may be the commit of five hundred other lines.
_END_FROZEN = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY(pg_blocking_pids($1)) AND wait_event_type = 'Client'
"""


class Claims:
    """Claims lines for one broker. Loop only."""

    def __init__(
        self,
        leases: Leases,
        connect: Callable[[], Awaitable[Link]],
        generation: int,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        """`connect`: one connection more, beside those for questions, which may all wait."""
        self._leases = leases
        self._connect = connect
        self._generation = generation
        self._look_s = look_s
        self.owner = 0
        """The number of this broker."""

    async def claim(self, link: Link, header: StreamHeader, peer: str) -> tuple[Claim, int]:
        """Take hold of an agent's line; and the rebase command that waits, or 0.

        Raises RecordError, and what a connection does.
        """
        if lease := self._leases.good(header.agent_id):
            known = await self._known(link, lease, header, peer)
            if known:
                return known
        return await self._take(link, header, peer)

    async def _known(
        self, link: Link, lease: Lease, header: StreamHeader, peer: str
    ) -> tuple[Claim, int] | None:
        """A claim by the lease that this broker has, if nobody has claimed the line since."""
        held = self._leases.held(lease)
        if held is None:
            return None
        held.streams += 1  # so that it is not given back meanwhile
        try:
            row = await self._look(link, held.line, header)
        except BaseException:
            held.streams -= 1
            raise
        is_ours = row and (row["epoch"], row["owner"]) == (held.epoch, self.owner)
        if is_ours and lease.is_good:
            return _claim(header, peer, lease, row), row["rebase"]
        held.streams -= 1
        lease.fail(TakenError(row["claimer"]) if row else RecordError("its records were deleted"))
        return None

    async def _take(self, link: Link, header: StreamHeader, peer: str) -> tuple[Claim, int]:
        taken = await self._taken(
            link,
            *(header.agent_id, peer, self.owner, header.session_id, self._generation),
            header.is_rehearsal,
        )
        row = await self._look(link, taken["line"], header)
        lease = Lease(taken["epoch"])
        if row is None or row["epoch"] != taken["epoch"]:  # at once again
            lease.fail(TakenError(row["claimer"] if row else ""))
            return Claim(header, peer, lease, None, has_records=False, keeps_state=True), 0
        self._leases.add(header.agent_id, lease, _held(taken["line"], row))
        return _claim(header, peer, lease, row), row["rebase"]

    async def _taken(self, link: Link, agent_id: str, *more: object) -> Any:
        """Write the claim; waits for a commit of the line that is under way."""
        taking = asyncio.create_task(link.commit(_TAKE, agent_id, *more))
        try:
            while not (await asyncio.wait([taking], timeout=self._look_s))[0]:
                await self._end_frozen(link)
        except BaseException:
            taking.cancel()
            await asyncio.wait([taking])
            raise
        rows = taking.result()
        if not rows:
            raise RecordError(
                f"brokers with a newer predictor serve {agent_id}: this one has fleet.generation"
                f" {self._generation}"
            )
        return rows[0]

    async def _end_frozen(self, link: Link) -> None:
        """End a commit in the way whose broker does not go on with it."""
        try:
            other = await self._connect()
            try:
                ended = await other.ask(_END_FROZEN, link.pid)
            finally:
                other.give_up()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.debug("a commit that is waited for cannot be looked at: %s", shown(error))
            return
        if ended:
            log.warning("a broker that stopped within its commit is cut off: this one continues")

    async def _look(self, link: Link, line: int, header: StreamHeader) -> Any:
        rows = await link.ask(_LOOK, line, header.session_id)
        return rows[0] if rows else None


def _held(line: int, row: Any) -> Held:
    told = zip(row["kinds"] or (), row["texts"] or (), row["times"] or (), strict=True)
    newest = NewestSnapshot()
    if row["position"] is not None:
        newest = NewestSnapshot(row["position"], row["snapshot_at_ns"], row["kept"])
    return Held(
        line,
        row["epoch"],
        row["head"],
        row["is_begun"],
        row["is_rehearsal"],
        row["prediction"],
        newest,
        standing_of(row),
        row["certificate_until_ns"],
        [LatestEvent(*each) for each in told],
        streams=1,
    )


def _claim(header: StreamHeader, peer: str, lease: Lease, row: Any) -> Claim:
    return Claim(
        header,
        peer,
        lease,
        row["last_id"],
        has_records=row["is_begun"],
        keeps_state=True,
        standing=standing_of(row),
    )
