"""A look at the database that a configuration names, before a broker starts. Writes nothing."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg

from broker.recorder.postgres import brokers, fleet
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.moment import ns_of
from broker.recorder.postgres.schema import MIGRATIONS, version_of
from broker.recorder.postgres.server import Sync, check, connect, told
from quartet.clock import Clock
from quartet.duration import lasted
from quartet.errors import StoreError
from quartet.plural import counted

# Connecting has a bound of its own, which is shorter.
_PATIENCE_S = 8.0

# What people's clocks differ by; more is a mistake.
_MOST_APART_S = 60.0

_SERVER = """
    SELECT current_setting('server_version') AS version, current_database() AS database,
        current_user AS name, host(inet_server_addr()) AS host, inet_server_port() AS port,
        now() AS now, has_schema_privilege(current_schema(), 'CREATE') AS may_create
"""
_OWNS = """
    SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')
"""
_NEWER = """
    SELECT count(*) AS count, max(generation) AS generation FROM lines
    WHERE agent_id IS NOT NULL AND generation > $1
"""


class Seen(NamedTuple):
    """What was understood of a database."""

    news: str
    """What it is."""
    warnings: list[str]
    """What a broker can start with, and somebody should look at."""


async def inspect(url: str, sync: Sync, generation: int, digest: str, clock: Clock) -> Seen:
    """Ask the server for all that a broker needs. StoreError: no broker could start."""
    with told(url):
        async with asyncio.timeout(_PATIENCE_S):
            connection = await connect(url)
            try:
                notes = await check(connection, url, sync)
                seen = await _inspect(connection, url, generation, digest, clock)
                return Seen(seen.news, [*notes, *seen.warnings])
            finally:
                connection.terminate()


async def _inspect(
    connection: asyncpg.Connection, url: str, generation: int, digest: str, clock: Clock
) -> Seen:
    version = await version_of(connection, url)
    server: Any = await connection.fetchrow(_SERVER)
    if not server["may_create"] or (version and not await connection.fetchval(_OWNS)):
        raise StoreError(
            f"{url}: {server['name']} may not make and change tables in {server['database']}: make"
            " the broker's user the owner of the database and of all that is in it"
        )
    at = f" at {server['host']}:{server['port']}" if server["host"] else ""
    link = Link(connection)
    news = [
        f"PostgreSQL {server['version']}{at}, database {server['database']}, user {server['name']}",
        str(await fleet.server(link)),
    ]
    warnings = [*_clock(ns_of(server["now"]), clock)]
    if version:
        running = len((await fleet.fleet(link)).brokers)
        news.append(f"schema {version}; {counted(running, 'broker')} running now")
        warnings += await _lines(link, generation, digest)
    else:
        news.append("empty: the first broker makes the tables")
    if 0 < version < len(MIGRATIONS):
        news.append(f"the next start converts it to schema {len(MIGRATIONS)}")
    return Seen("; ".join(news), warnings)


def _clock(server_ns: int, clock: Clock) -> Iterator[str]:
    apart_s = (clock.time_ns() - server_ns) / 1e9
    if abs(apart_s) > _MOST_APART_S:
        ahead = "ahead of" if apart_s > 0 else "behind"
        yield (
            f"the clock of this machine is {lasted(abs(apart_s))} {ahead} that of the server, whose"
            " time the records get: set the one that is wrong"
        )


async def _lines(link: Link, generation: int, digest: str) -> list[str]:
    """Agents that this broker would leave alone, or take from brokers with another predictor."""
    warnings = []
    newer = (await link.ask(_NEWER, generation))[0]
    if newer["count"]:
        warnings.append(
            f"{counted(newer['count'], 'agent', 'was', 'were')} served by brokers with"
            f" fleet.generation {newer['generation']}: this one has {generation}, and leaves them"
            " alone"
        )
    if told := await brokers.with_another_predictor(link, generation, digest):
        warnings.append(told)
    return warnings
