"""What the black box of a line is rebuilt from."""

from datetime import datetime
from typing import Any

from broker.recorder.postgres.held import REBASED, Held, NewestSnapshot
from broker.recorder.postgres.link import Link
from broker.records import Basis

MOST_ASIDE = 3
"""Of one line, beside the state of the present black box. Who tries options, or an upgrade and its
rollback, comes back to one of the latest."""

# Replayed for a black box that is back, at the most: a day at 10 a second, which takes some 10 s.
_MOST_SINCE = 1_000_000

BEGUN = """
    coalesce(
        (SELECT max(position) FROM snapshots WHERE snapshots.line = lines.line AND kept = 2),
        (SELECT max(position) FROM commands WHERE commands.agent_id = lines.agent_id
            AND name = 'rebase'), 0)
"""
"""Of a row of `lines`: the position behind which its black box was a fresh one, by command."""

# A row without a state bars what lies before it.
_LINE = f"""
    SELECT lines.line, head, begun.position AS begun, newest.position, digest, state, kept
    FROM lines CROSS JOIN LATERAL (SELECT {BEGUN} AS position) AS begun
    LEFT JOIN LATERAL (
        SELECT position, digest, state, kept FROM snapshots
        WHERE snapshots.line = lines.line AND position >= begun.position
        ORDER BY position DESC LIMIT 1
    ) AS newest ON true
    WHERE agent_id = $1
"""  # noqa: S608

# All parts see the records as they were before it: the state that goes aside may be the one that
# the bar takes the place of.
_BAR = f"""
    WITH owned AS (
        SELECT line FROM lines WHERE line = $1 AND epoch = $2 AND head = $3 FOR NO KEY UPDATE
    ), replaced AS (
        SELECT snapshots.* FROM snapshots JOIN owned USING (line) WHERE position = $4
    ), put_aside AS (
        INSERT INTO asides (line, digest, position, state, arrived_at)
        SELECT line, digest, position, state, arrived_at FROM replaced
        ON CONFLICT (line, digest) DO UPDATE SET position = excluded.position,
            state = excluded.state, arrived_at = excluded.arrived_at
    ), too_many AS (
        DELETE FROM asides USING (
            SELECT asides.digest, row_number() OVER (ORDER BY asides.position DESC) AS age
            FROM asides JOIN replaced USING (line) WHERE asides.digest NOT IN ($5, replaced.digest)
        ) AS aged
        WHERE asides.line = $1 AND asides.digest = aged.digest AND age >= {MOST_ASIDE}
    ), kept AS (
        UPDATE snapshots SET kept = 1 FROM owned WHERE snapshots.line = owned.line
            AND position = $4 AND position != $3 AND kept = 0
    )
    INSERT INTO snapshots (line, position, digest, state, arrived_at, kept)
    SELECT line, $3, $5, NULL, coalesce($6::timestamptz, now()), 1 FROM owned
    ON CONFLICT (line, position) DO UPDATE SET digest = excluded.digest, state = NULL, kept = 1
"""  # noqa: S608

# Whether another black box gave the newest answer; and how many samples behind a position there
# are, each once: see the view `recorded`.
_ASIDE = """
    SELECT position, state, coalesce((
        SELECT sessions.digest != asides.digest FROM recorded JOIN sessions USING (session)
        WHERE recorded.line = asides.line AND recorded.position = $4 LIMIT 1
    ), false) AS takes_over, (
        SELECT count(DISTINCT recorded.position) FROM recorded
        WHERE recorded.line = asides.line
            AND recorded.position > greatest(asides.position, $4 - $5::bigint)
    ) AS known
    FROM asides WHERE line = $1 AND digest = $2 AND position >= $3
"""


class Bases:
    """Looks for the state that a line goes on from. Raises what a connection does."""

    def __init__(self, digest: str, *, replay: int, most_since: int = _MOST_SINCE) -> None:
        """`replay`: samples of a line, from which a black box without a snapshot is rebuilt."""
        self._digest = digest
        self._most_replayed = replay
        self._most_since = most_since

    async def basis(
        self,
        link: Link,
        agent_id: str,
        held: Held | None,
        at: datetime | None,
        *,
        with_snapshot: bool,
    ) -> Basis:
        """The snapshot of this black box; else where a fresh one begins.

        A snapshot of another one is put aside, and nothing that is recorded up to now is restored
        any more. `at`: in place of the server's time.
        """
        rows = await link.ask(_LINE, agent_id)
        if not rows:
            return Basis(position=0)
        row = rows[0]
        if not with_snapshot:
            return self._fresh(row, outdated=False)
        if row["state"] is not None:
            if row["digest"] == self._digest:
                return Basis(row["position"], row["state"])
            if held:
                await self._bar(link, held, row["position"], at)
        asked = row["line"], self._digest, row["begun"], row["head"], self._most_since
        if found := await link.ask(_ASIDE, *asked):
            return self._back(found[0], row["head"])
        return self._fresh(row, outdated=row["state"] is not None or _is_barred(row))

    def _fresh(self, row: Any, *, outdated: bool) -> Basis:
        """Where a black box begins that has no snapshot."""
        position = max(row["begun"], row["head"] - self._most_replayed, 0)
        return Basis(position, outdated=outdated)

    def _back(self, aside: Any, head: int) -> Basis:
        """The state of a black box that is back, and the samples since that are on record."""
        return Basis(
            max(aside["position"], head - self._most_since),
            aside["state"],
            is_back=True,
            takes_over=aside["takes_over"],
            missing=max(0, head - aside["position"] - aside["known"]),
        )

    async def _bar(self, link: Link, held: Held, position: int, at: datetime | None) -> None:
        """Put the state at a position aside; have nothing restored that is recorded up to now."""
        fence = held.line, held.epoch, held.head
        await link.commit(_BAR, *fence, position, self._digest, at)
        held.newest = NewestSnapshot(held.head, 0)


def _is_barred(row: Any) -> bool:
    """Whether nothing was answered since all that is recorded was barred.

    Who died before the first answer has not told anybody yet.
    """
    return row["position"] == row["head"] and row["state"] is None and row["kept"] != REBASED
