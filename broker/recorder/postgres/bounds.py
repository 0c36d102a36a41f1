"""Deletes what is too much of a line, and lines that are too many. One broker at a time."""

from broker.recorder.postgres import commands
from broker.recorder.postgres.brokers import LIVE
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.link import Link

_IS_LEFT = f"(owner IS NULL OR NOT owner IN {LIVE})"

# The oldest first: what was heard of last is what somebody may want to look at.
_REHEARSALS = f"""
    SELECT line, epoch FROM lines WHERE is_rehearsal AND heard_at IS NOT NULL AND {_IS_LEFT}
    ORDER BY heard_at DESC, line DESC OFFSET $1
"""  # noqa: S608
_PLAIN = f"""
    SELECT line, epoch FROM lines WHERE agent_id IS NULL AND peer != 'nobody' AND {_IS_LEFT}
    ORDER BY line LIMIT greatest(0, -$1::bigint +
        (SELECT count(*) FROM lines WHERE agent_id IS NULL AND peer != 'nobody'))
"""  # noqa: S608
_TAKE = f"""
    UPDATE lines SET agent_id = NULL, peer = 'nobody', epoch = epoch + 1, owner = NULL
    WHERE line = $1 AND epoch = $2 AND {_IS_LEFT} RETURNING line, head
"""  # noqa: S608

# A claim of which nothing came: whoever made it has died, or takes a day.
_UNBEGUN = f"""
    DELETE FROM lines WHERE heard_at IS NULL AND claimed_at < now() - interval '1 day'
        AND {_IS_LEFT}
"""  # noqa: S608
_BROKERS = f"DELETE FROM brokers WHERE NOT broker IN {LIVE} AND NOT broker IN"  # noqa: S608
_BROKERS += " (SELECT owner FROM lines WHERE owner IS NOT NULL)"

# Their samples stay for the line.
_SESSIONS = """
    WITH forgotten AS (
        DELETE FROM sessions USING (
            SELECT session, row_number() OVER (PARTITION BY line ORDER BY session DESC) AS age
            FROM sessions
        ) AS aged WHERE sessions.session = aged.session AND age > $1
        RETURNING sessions.session
    ),
    of_gaps AS (DELETE FROM gaps USING forgotten WHERE gaps.session = forgotten.session)
    DELETE FROM labels USING forgotten WHERE labels.session = forgotten.session
"""
_LABELS = """
    DELETE FROM labels USING (
        SELECT session, row_number() OVER (PARTITION BY line ORDER BY session DESC) AS age
        FROM labels
    ) AS aged WHERE labels.session = aged.session AND age > $1
"""
_GAPS = """
    DELETE FROM gaps USING (
        SELECT session, first, row_number() OVER (PARTITION BY session ORDER BY first) AS number
        FROM gaps
    ) AS named WHERE gaps.session = named.session AND gaps.first = named.first AND number > $1
"""

# Of its streams and of its predictor each: who only opens streams pushes out nothing else. And
# since when a predictor learns outlasts all restarts.
_EVENTS = """
    DELETE FROM events USING (
        SELECT event, row_number() OVER (
            PARTITION BY line, kind IN ('opened', 'ended', 'superseded') ORDER BY event DESC
        ) AS age,
        event = max(event) FILTER (WHERE kind = 'begun') OVER (PARTITION BY line) AS is_begun
        FROM events
    ) AS aged
    WHERE events.event = aged.event AND age > $1 AND is_begun IS NOT TRUE
"""


async def keep_lines(link: Link, keeping: FleetKeeping) -> None:
    """Delete the lines that are too many. Looks at lines alone."""
    await commands.finish(link)
    for query, most in ((_REHEARSALS, keeping.rehearsals), (_PLAIN, keeping.plain_lines)):
        for row in await link.ask(query, most):
            for taken in await link.commit(_TAKE, row["line"], row["epoch"]):
                await commands.erase(link, taken["line"], taken["head"])
    for query in (_UNBEGUN, _BROKERS):
        await link.commit(query)


async def keep_rows(link: Link, keeping: FleetKeeping) -> None:
    """Delete what is too much of a line. Looks at all sessions and events."""
    for query, most in (
        (_SESSIONS, keeping.sessions),
        (_LABELS, keeping.labels),
        (_GAPS, keeping.gaps),
        (_EVENTS, keeping.events),
    ):
        await link.commit(query, most)
