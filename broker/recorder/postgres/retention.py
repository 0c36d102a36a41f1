"""Drops days that are too old, once what black boxes need of them is carried away."""

import logging
from datetime import UTC, datetime, timedelta

from broker.recorder.postgres import partitions
from broker.recorder.postgres.bases import BEGUN
from broker.recorder.postgres.link import Link

log = logging.getLogger(__name__)

# Behind a line's newest state, that of a former black box which is back, or as many samples as are
# replayed without one. Plain peers' black boxes end with their streams. A floor falls only where a
# black box is back: what it does not get to see is counted.
_FLOORS = f"""
    SELECT lines.line, coalesce(
        (
            SELECT CASE WHEN state IS NOT NULL THEN position ELSE (
                SELECT asides.position FROM asides WHERE asides.line = lines.line
                    AND asides.digest = snapshots.digest AND asides.position >= {BEGUN}
            ) END FROM snapshots WHERE snapshots.line = lines.line AND position >= {BEGUN}
            ORDER BY snapshots.position DESC LIMIT 1
        ),
        greatest({BEGUN}, head - $1::bigint)
    ) AS position
    FROM lines WHERE agent_id IS NOT NULL
"""  # noqa: S608
_CARRY = f"""
    INSERT INTO samples_kept
    SELECT day.* FROM {{day}} AS day JOIN ({_FLOORS}) AS floor ON floor.line = day.line
    WHERE day.position > floor.position
    ON CONFLICT DO NOTHING
"""  # noqa: S608
_NO_MORE = f"""
    DELETE FROM samples_kept USING ({_FLOORS}) AS floor
    WHERE floor.line = samples_kept.line AND samples_kept.position <= floor.position
"""  # noqa: S608
_EXPLANATIONS = "DELETE FROM explanations WHERE arrived_at < $1"

# Nothing can be replayed on top of a state whose next samples are gone.
_SNAPSHOTS = """
    DELETE FROM snapshots WHERE arrived_at < $1 AND position < (
        SELECT max(position) FROM snapshots AS newer WHERE newer.line = snapshots.line
    )
"""

# They are as old as the samples of their time. One that a black box would be rebuilt from stays.
_ASIDES = f"""
    DELETE FROM asides USING ({_FLOORS}) AS floor
    WHERE floor.line = asides.line AND arrived_at < $2 AND asides.position < floor.position
"""  # noqa: S608

# The latest opening or end of a line's streams tells whether its agent is connected.
_EVENTS = """
    DELETE FROM events WHERE at_ns < $1 AND (event != (
        SELECT max(event) FROM events AS other WHERE other.line = events.line
            AND kind IN ('opened', 'ended', 'superseded')
    )) IS NOT FALSE
"""


async def drop_old(link: Link, now: datetime, max_age_days: float, replay: int) -> None:
    """Delete what is too old, beside all who record and read."""
    await partitions.finish(link)
    oldest = now - timedelta(days=max_age_days)
    old = [day for day in await partitions.days(link) if day < oldest.date()]
    if not old:
        return
    for day in old:
        await link.commit(_CARRY.format(day=partitions.name(day)), replay)
        await partitions.drop(link, day)
        log.info("samples of %s are deleted, as they are older than recorder.max_age_days", day)
    first = datetime(*oldest.timetuple()[:3], tzinfo=UTC)
    await link.commit(_NO_MORE, replay)
    for query in (_EXPLANATIONS, _SNAPSHOTS):
        await link.commit(query, first)
    await link.commit(_ASIDES, replay, first)
    await link.commit(_EVENTS, int(first.timestamp()) * 10**9)
