"""What people want of an agent's line: noted, and found by whichever broker serves it."""

from broker.errors import CommandError
from broker.recorder.postgres.link import Link

# Agents in one message.
_MOST_NAMED = 20

NOBODY = "nobody"
"""In place of an address, in a line that is being erased."""

_ADD = """
    INSERT INTO commands (agent_id, name, at_ns)
    SELECT agent_id, $2, $3 FROM lines WHERE agent_id = $1 AND heard_at IS NOT NULL
    RETURNING command
"""
_AGENTS = """
    SELECT agent_id FROM lines WHERE agent_id IS NOT NULL AND heard_at IS NOT NULL
        AND NOT is_rehearsal ORDER BY agent_id LIMIT $1
"""
_REBASES = """
    SELECT agent_id, max(command) AS command FROM commands
    WHERE position IS NULL AND name = 'rebase' GROUP BY agent_id
"""
_FORGETS = "SELECT DISTINCT agent_id FROM commands WHERE name = 'forget'"

# From here on the agent is a new one; no command for it is left.
_DETACH = """
    WITH gone AS (DELETE FROM commands WHERE agent_id = $1)
    UPDATE lines SET agent_id = NULL, peer = 'nobody', epoch = epoch + 1, owner = NULL
    WHERE agent_id = $1 RETURNING line, head
"""
_ERASED = "SELECT line, head FROM lines WHERE agent_id IS NULL AND peer = 'nobody'"

# Deleted in one statement: some tens of milliseconds.
_STEP = 5000

_REST = """
    WITH given AS (SELECT session FROM sessions WHERE line = $1),
    of_gaps AS (DELETE FROM gaps USING given WHERE gaps.session = given.session),
    of_labels AS (DELETE FROM labels WHERE line = $1),
    of_sessions AS (DELETE FROM sessions WHERE line = $1),
    of_explanations AS (DELETE FROM explanations WHERE line = $1),
    of_snapshots AS (DELETE FROM snapshots WHERE line = $1),
    of_asides AS (DELETE FROM asides WHERE line = $1),
    of_events AS (DELETE FROM events WHERE line = $1),
    of_standings AS (DELETE FROM standings WHERE line = $1)
    DELETE FROM lines WHERE line = $1
"""


async def add(link: Link, url: str, agent_id: str, name: str, at_ns: int) -> None:
    """Note a command. CommandError for an unknown agent."""
    if not await link.commit(_ADD, agent_id, name, at_ns):
        rows = await link.ask(_AGENTS, _MOST_NAMED + 1)
        named = [row["agent_id"] for row in rows]
        more = ", ..." if len(named) > _MOST_NAMED else ""
        agents = ", ".join(named[:_MOST_NAMED]) + more or "none"
        raise CommandError(f"{url}: has no agent {agent_id}; it has {agents}")


async def rebases(link: Link) -> dict[str, int]:
    """By agent id, the newest rebase command that is not applied yet."""
    return {row["agent_id"]: row["command"] for row in await link.ask(_REBASES)}


async def forgets(link: Link) -> list[str]:
    """The agents that are to be forgotten."""
    return [row["agent_id"] for row in await link.ask(_FORGETS)]


async def forget(link: Link, agent_id: str) -> bool:
    """Delete all of an agent, in small steps; whether there was anything."""
    rows = await link.commit(_DETACH, agent_id)
    for row in rows:
        await erase(link, row["line"], row["head"])
    return bool(rows)


async def finish(link: Link) -> None:
    """Delete what is left of lines that somebody began to erase."""
    for row in await link.ask(_ERASED):
        await erase(link, row["line"], row["head"])


async def erase(link: Link, line: int, head: int) -> None:
    """Delete a line, which is nobody's any more. A step that is broken off may come again."""
    for position in range(0, head + 1, _STEP):
        for table in ("samples", "samples_kept"):
            await link.commit(
                f"DELETE FROM {table} WHERE line = $1 AND position <= $2",  # noqa: S608
                *(line, position + _STEP),
            )
    await link.commit(_REST, line)
