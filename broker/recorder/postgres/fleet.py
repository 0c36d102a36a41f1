"""Which broker owns which line, and whether a standby confirms: as the server tells it."""

from broker.recorder.fleet import DatabaseServer, Fleet, FleetBroker, Ownership, Standby
from broker.recorder.postgres.brokers import RUNNING
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.moment import ns_of

_NS = "* 1000000)::bigint * 1000"
_OWNERS = f"""
    SELECT agent_id, name, coalesce({RUNNING}, false),
        (extract(epoch FROM claimed_at) {_NS}, (extract(epoch FROM heard_at) {_NS}
    FROM lines LEFT JOIN brokers ON broker = owner
    WHERE agent_id IS NOT NULL AND heard_at IS NOT NULL ORDER BY agent_id COLLATE "C"
"""  # noqa: S608
_BROKERS = f"SELECT name, opened_at_ns FROM brokers WHERE {RUNNING} ORDER BY broker"  # noqa: S608
_SERVER = """
    SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), '') AS address,
        pg_is_in_recovery() AS is_standby,
        CASE WHEN pg_is_in_recovery() THEN
            CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END
        END::float8 AS behind_s,
        current_setting('synchronous_standby_names') AS confirming
"""

# Who may not look sees that they are there, and nothing else of them.
_STANDBYS = """
    SELECT application_name, state, coalesce(sync_state IN ('sync', 'quorum'), false) AS confirms,
        pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS behind_bytes,
        extract(epoch FROM replay_lag)::float8 AS behind_s
    FROM pg_stat_replication WHERE state IS NULL OR state IN ('catchup', 'streaming')
    ORDER BY application_name
"""


async def server(link: Link) -> DatabaseServer:
    """The server at the other end."""
    found = (await link.ask(_SERVER))[0]
    rows = [] if found["is_standby"] else await link.ask(_STANDBYS)
    is_hidden = any(row["state"] is None for row in rows)
    standbys = None if is_hidden else tuple(Standby(*row) for row in rows)
    said = found["address"], found["is_standby"], found["behind_s"], found["confirming"]
    return DatabaseServer(*said, standbys)


async def fleet(link: Link) -> Fleet:
    """All of it."""
    now = (await link.ask("SELECT now()"))[0]["now"]
    return Fleet(
        ns_of(now),
        await server(link),
        tuple(FleetBroker(*row) for row in await link.ask(_BROKERS)),
        tuple(Ownership(*row) for row in await link.ask(_OWNERS)),
    )
