"""Which broker processes live: each holds an advisory lock of its own as long as it does."""

from broker.recorder.postgres.link import Link
from broker.recorder.postgres.schema import LOCKS

_BEGIN = "INSERT INTO brokers (name, opened_at_ns) VALUES ($1, $2) RETURNING broker"
_HOLD = f"SELECT pg_try_advisory_lock({LOCKS}, $1)"

LIVE = f"""
    (
        SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCKS}
            AND objsubid = 2 AND objid BETWEEN 1 AND 2147483647 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""  # noqa: S608
"""Their numbers, as a subquery."""

_SERVED = f"SELECT min(opened_at_ns) AS since_ns FROM brokers WHERE broker IN {LIVE}"  # noqa: S608


async def begin(link: Link, name: str, opened_at_ns: int) -> int:
    """Have a number for this process."""
    number: int = (await link.commit(_BEGIN, name, opened_at_ns))[0]["broker"]
    return number


async def hold(link: Link, number: int) -> None:
    """Live as long as this connection does. Of a former connection that hangs, the lock may be
    held for a while yet: that serves as well.
    """
    await link.ask(_HOLD, number)


async def served_since(link: Link) -> int | None:
    """When the one that lives longest has opened the store; None: none lives."""
    since_ns: int | None = (await link.ask(_SERVED))[0]["since_ns"]
    return since_ns
