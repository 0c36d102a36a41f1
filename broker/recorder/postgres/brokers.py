"""Which broker processes live: each holds an advisory lock of its own as long as it does."""

from dataclasses import dataclass

from broker.errors import RecordError
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.schema import LOCKS
from quartet.duration import lasted
from quartet.errors import InUseError
from quartet.plural import counted

_BEGIN = "INSERT INTO brokers (name, opened_at_ns) VALUES ($1, $2) RETURNING broker"
# Of one that was away for long, others have deleted the row.
_COME_BACK = """
    INSERT INTO brokers (broker, name, opened_at_ns) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)
    ON CONFLICT (broker) DO UPDATE SET name = excluded.name
"""

LIVE = f"""
    (
        SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCKS}
            AND objsubid = 2 AND objid BETWEEN 1 AND 2147483647 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""  # noqa: S608
"""Their numbers, as a subquery."""

# A connection that is lost may hold it for a while yet, and no longer.
_HOLD = f"SELECT pg_try_advisory_lock({LOCKS}, $1) WHERE NOT $1::bigint IN {LIVE}"

# Said so often, and believed so long: for people who read a standby, and for nothing else.
_BEAT = """
    UPDATE brokers SET alive_at = now()
    WHERE broker = $1 AND alive_at < now() - interval '5 s' RETURNING broker
"""
RUNNING = f"""
    CASE WHEN pg_is_in_recovery() THEN alive_at > now() - interval '30 s'
        ELSE broker IN {LIVE} END
"""
"""Of a row of `brokers`, also on a standby."""

_SERVED = f"""
    SELECT min(opened_at_ns) FILTER (WHERE {RUNNING}) AS since_ns,
        extract(epoch FROM now() - max(alive_at))::float8 AS silent_s,
        pg_is_in_recovery() AS is_standby,
        EXISTS (SELECT FROM pg_stat_wal_receiver) AS is_connected,
        pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AS is_behind
    FROM brokers
"""  # noqa: S608

_NAMES = f"SELECT name FROM brokers WHERE broker IN {LIVE} ORDER BY broker"  # noqa: S608

_OTHERS = f"""
    SELECT brokers.name, count(*) AS agents FROM lines JOIN brokers ON broker = owner
    CROSS JOIN LATERAL (
        SELECT digest FROM sessions WHERE sessions.line = lines.line ORDER BY session DESC LIMIT 1
    ) AS latest
    WHERE agent_id IS NOT NULL AND generation = $1 AND digest != $2 AND {RUNNING}
    GROUP BY broker, brokers.name ORDER BY broker LIMIT 1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Broker:
    """One process."""

    number: int
    name: str
    opened_at_ns: int


async def begin(link: Link, name: str, opened_at_ns: int, timeout_s: float) -> Broker:
    """Have a number for this process, as the first commit. Raises what a commit does."""
    rows = await link.commit(_BEGIN, name, opened_at_ns, timeout_s=timeout_s)
    return Broker(rows[0]["broker"], name, opened_at_ns)


async def come_back(link: Link, broker: Broker, timeout_s: float) -> None:
    """Commit something: can samples be recorded? Raises what a commit does."""
    known = broker.number, broker.name, broker.opened_at_ns
    await link.commit(_COME_BACK, *known, timeout_s=timeout_s)


async def hold(link: Link, number: int) -> None:
    """Live as long as this connection does, or another one that holds the lock already."""
    await link.ask(_HOLD, number)


async def beat(link: Link, number: int, timeout_s: float) -> None:
    """Have people who read a standby know that this process lives. Raises what a commit does."""
    await link.commit(_BEAT, number, timeout_s=timeout_s)


async def served_since(link: Link) -> int | None:
    """When the one that lives longest has opened the store; None: none lives.

    RecordError where a standby has old records, and cannot tell.
    """
    found = (await link.ask(_SERVED))[0]
    since_ns: int | None = found["since_ns"]
    if since_ns is None and found["is_standby"] and found["silent_s"] is not None:
        age = lasted(found["silent_s"])
        if not found["is_connected"]:
            raise RecordError(
                f"this standby has no connection to its primary, and its records end {age} ago:"
                " check the primary"
            )
        if found["is_behind"]:
            raise RecordError(f"this standby is {age} behind its primary: check the replication")
    return since_ns


async def refuse_served(link: Link, url: str) -> None:
    """Raise InUseError where a broker lives."""
    if names := [row["name"] for row in await link.ask(_NAMES)]:
        raise InUseError(
            f"{url}: is in use by {counted(len(names), 'broker')} ({', '.join(names)}, as host and"
            " process): stop them first",
            names[0],
        )


async def with_another_predictor(link: Link, generation: int, digest: str) -> str:
    """What to do about a broker that answers otherwise, and lives; empty where there is none."""
    for name, agents in await link.ask(_OTHERS, generation, digest):
        return (
            f"broker {name} serves {counted(agents, 'agent')} with another predictor (code, model"
            " or options): an agent that goes from one to the other learns again. If that one is"
            " older, raise fleet.generation here; if it is of another plant, use another database"
        )
    return ""
