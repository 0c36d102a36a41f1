"""What became of each sample, as the sessions of a database have counted."""

from typing import Any

from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import sensors_of
from broker.recorder.reader import Accounts, PlainAccount, SessionAccount, Sessions
from broker.recorder.upkeep import Loss

# Ranges that one session of a page names.
_MOST_MISSING = 100

_SESSIONS = """
    SELECT agent_id, sessions.id, first_id, last_id, received, answered, duplicates, refused, gaps,
        digest, is_rehearsal, sensors, missing.firsts, missing.lasts
    FROM sessions JOIN lines USING (line) LEFT JOIN labels USING (session)
    CROSS JOIN LATERAL (
        SELECT array_agg(first) AS firsts, array_agg(last) AS lasts FROM (
            SELECT first, last FROM gaps WHERE gaps.session = sessions.session
            ORDER BY first LIMIT $1
        ) AS named
    ) AS missing
    WHERE agent_id IS NOT NULL
"""
_COUNT = "SELECT count(*) FROM sessions JOIN lines USING (line) WHERE agent_id = $1"
_PLAIN = """
    SELECT count(*) AS streams, coalesce(sum(received), 0)::bigint AS received,
        coalesce(sum(answered), 0)::bigint AS answered
    FROM sessions JOIN lines USING (line) WHERE agent_id IS NULL AND peer != 'nobody'
"""
_IS_THERE = "SELECT to_regclass('losses') IS NOT NULL AS is_there"
_LOSSES = "SELECT agent_id, session_id, first, last, why, at_ns FROM losses ORDER BY loss"


async def accounts(link: Link) -> Accounts:
    """Those of all sessions."""
    rows = await link.ask(f"{_SESSIONS} ORDER BY session", None)
    losses = []
    if (await link.ask(_IS_THERE))[0]["is_there"]:  # not as long as an older broker has it alone
        losses = [Loss(*row) for row in await link.ask(_LOSSES)]
    return Accounts([_account(row) for row in rows], await plain(link), losses)


async def sessions(link: Link, agent_id: str, most: int) -> Sessions:
    """Those of an agent's newest sessions, without a look at its samples."""
    rows = await link.ask(
        f"{_SESSIONS} AND agent_id = $2 ORDER BY session DESC LIMIT $3",
        *(_MOST_MISSING, agent_id, most),
    )
    count = (await link.ask(_COUNT, agent_id))[0]["count"]
    return Sessions([_account(row) for row in rows], count)


async def plain(link: Link) -> PlainAccount:
    """The sum over the streams of plain peers that are still on record."""
    return PlainAccount(*(await link.ask(_PLAIN))[0])


def _account(row: Any) -> SessionAccount:
    *counts, is_rehearsal, labels, firsts, lasts = row
    missing = [*zip(firsts or (), lasts or (), strict=True)]
    return SessionAccount(*[*counts, missing, is_rehearsal, sensors_of(labels)])
