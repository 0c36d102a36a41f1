"""The tables. A migration that was released is never edited: the next is appended.

While brokers are upgraded one by one, those of the version before still work: a migration adds,
and what nobody needs any more goes with the one after.
"""

from typing import Any

import asyncpg

from quartet.errors import NewerSchemaError, OlderSchemaError, StoreError

# "QrtB": advisory locks of ours, told from those of other programs in the same database.
LOCKS = 0x51727442

# The second number of each lock. A broker has one of its own besides, by its number.
MIGRATION_LOCK = 0
HOUSE_LOCK = -1
PARTITION_LOCK = -2

MIGRATIONS = [
    """
    CREATE TABLE quartet_store (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL,
        works_from integer NOT NULL,  -- the oldest version whose brokers can work with it
        id text NOT NULL DEFAULT to_hex(1 + floor(random() * x'fffffffe'::bigint)::bigint),
        ahead bigint NOT NULL DEFAULT 0  -- what rounds are ahead of the server's transactions
    );

    -- Broker processes. One lives as long as it holds the advisory lock of its number.
    CREATE TABLE brokers (
        broker integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        opened_at_ns bigint NOT NULL,
        alive_at timestamptz NOT NULL DEFAULT now()  -- nearly: a standby has no advisory locks
    );

    -- One agent's samples over all its sessions; without agent_id, one stream of a plain peer.
    CREATE TABLE lines (
        line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        agent_id text UNIQUE,
        peer text NOT NULL,  -- the address of its first stream
        epoch bigint NOT NULL DEFAULT 1,  -- of the latest claim: older ones cannot commit
        head bigint NOT NULL DEFAULT 0,  -- the position of the newest sample
        prediction boolean NOT NULL DEFAULT false,  -- the answer to it
        owner integer,  -- the broker that claimed last; NULL: given back
        claimer text NOT NULL,  -- the session for which it did
        generation bigint NOT NULL,
        claimed_at timestamptz NOT NULL DEFAULT now(),
        heard_at timestamptz,  -- of its latest batch; NULL: claimed, and nothing recorded yet
        newest_at timestamptz,  -- when its newest sample arrived
        is_rehearsal boolean NOT NULL
    ) WITH (fillfactor = 50);

    -- received = answered + duplicates + refused. Outlives its samples.
    CREATE TABLE sessions (
        session bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        line bigint NOT NULL,
        id text NOT NULL,  -- '': a plain peer's
        first_id integer,
        last_id integer,
        received bigint NOT NULL,
        answered bigint NOT NULL,
        duplicates bigint NOT NULL,
        refused bigint NOT NULL,
        gaps bigint NOT NULL,
        digest text NOT NULL,  -- of the black box that answered last
        UNIQUE (line, id)
    ) WITH (fillfactor = 50);

    -- Ids from first to last were jumped over.
    CREATE TABLE gaps (
        session bigint NOT NULL,
        first integer NOT NULL,
        last integer NOT NULL,
        PRIMARY KEY (session, first)
    );

    -- A partition for each UTC day. `round`: the transaction, which puts the lines in one order.
    CREATE TABLE samples (
        line bigint NOT NULL,
        position bigint NOT NULL,
        session bigint NOT NULL,
        round bigint NOT NULL,
        sampled_at_ns bigint NOT NULL,
        arrived_at timestamptz NOT NULL,
        id integer NOT NULL,
        sensor1 real NOT NULL,
        sensor2 real NOT NULL,
        sensor3 real NOT NULL,
        sensor4 real NOT NULL,
        prediction boolean NOT NULL,
        PRIMARY KEY (line, position, arrived_at)
    ) PARTITION BY RANGE (arrived_at);
    CREATE INDEX samples_by_id ON samples (session, id);
    CREATE INDEX samples_by_round ON samples (round);

    -- What black boxes would be rebuilt from, of days that are gone.
    CREATE TABLE samples_kept (LIKE samples INCLUDING ALL);

    -- A sample may be in both for a moment, while a day goes.
    CREATE VIEW recorded AS SELECT * FROM samples UNION ALL SELECT * FROM samples_kept;

    -- What black boxes had to say about their answer to the sample at this position.
    CREATE TABLE explanations (
        line bigint NOT NULL,
        position bigint NOT NULL,
        session bigint NOT NULL,
        id integer NOT NULL,
        sampled_at_ns bigint NOT NULL,
        arrived_at timestamptz NOT NULL,
        text text NOT NULL,
        PRIMARY KEY (line, position)
    );

    -- The states of a line's black box: the newest, and those that are kept.
    CREATE TABLE snapshots (
        line bigint NOT NULL,
        position bigint NOT NULL,
        digest text NOT NULL,
        state bytea,  -- NULL: there is none, and no earlier one may be restored
        arrived_at timestamptz NOT NULL,  -- of the sample at this position
        kept smallint NOT NULL,  -- 1: the last of an hour, or before an alarm; 2: of a rebase
        PRIMARY KEY (line, position)
    );

    -- The newest state of each other black box of a line, for its return.
    CREATE TABLE asides (
        line bigint NOT NULL,
        digest text NOT NULL,
        position bigint NOT NULL,  -- of the sample behind which it is the state
        state bytea NOT NULL,
        arrived_at timestamptz NOT NULL,  -- of that sample
        PRIMARY KEY (line, digest)
    );

    -- What people want of a line; applied behind the sample at this position.
    CREATE TABLE commands (
        command bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        agent_id text NOT NULL,
        name text NOT NULL,
        at_ns bigint NOT NULL,
        position bigint  -- NULL: not applied yet
    );
    CREATE INDEX commands_by_agent ON commands (agent_id);

    -- What happened to a line, apart from its samples: the latest of each line.
    CREATE TABLE events (
        event bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        line bigint NOT NULL,
        at_ns bigint NOT NULL,
        kind text NOT NULL,
        text text NOT NULL
    );
    CREATE INDEX events_by_line ON events (line, event);

    -- How a line stands behind its newest sample.
    CREATE TABLE standings (
        line bigint PRIMARY KEY,
        certificate_until_ns bigint,  -- of its latest stream; NULL: it showed none
        learned bigint,  -- NULL: the predictor does not learn
        to_learn bigint,
        alarm_since_ns bigint,  -- NULL: no alarm
        alarm_reason text,
        shift text  -- how far the accepted level is off the first one, in words; NULL: not at all
    );

    -- What people call the sensors of a session, and their units, as its agent told it.
    CREATE TABLE labels (
        session bigint PRIMARY KEY,
        line bigint NOT NULL,
        sensors bytea NOT NULL  -- JSON
    );
    CREATE INDEX labels_by_line ON labels (line, session);

    INSERT INTO quartet_store (version, works_from) VALUES (0, 1)
    """,
    """
    -- What a file had lost before its records moved here. Brokers without this table need it not.
    CREATE TABLE losses (
        loss bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        agent_id text,  -- NULL: nobody can tell
        session_id text,
        first integer,
        last integer,
        why text NOT NULL,
        at_ns bigint NOT NULL
    )
    """,
]

_OTHERS = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm')
        AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    ORDER BY relname LIMIT 1
"""


# A server that was restored from a dump counts its transactions from the beginning again.
GO_ON = """
    UPDATE quartet_store SET ahead = newest.round + 1 - xid FROM
        (SELECT max(round) AS round FROM recorded) AS newest,
        (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) AS now
    WHERE newest.round >= xid + ahead
"""
"""Has the next round come behind all that are recorded."""


async def migrate(connection: asyncpg.Connection, url: str) -> None:
    """Bring the tables up to date, one broker at a time. StoreError where that must not be."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCKS, MIGRATION_LOCK)
        version = await version_of(connection, url)
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            await connection.execute(script)
            await connection.execute("UPDATE quartet_store SET version = $1", number)
        await connection.execute(GO_ON)


async def check_version(connection: asyncpg.Connection, url: str) -> None:
    """Refuse a database that no broker has prepared, or a newer one. StoreError."""
    if not await version_of(connection, url):
        raise StoreError(f"{url}: no broker has used this database yet: start the broker first")


async def check_same_version(connection: asyncpg.Connection, url: str) -> None:
    """Refuse a database whose tables are others than those of this version. StoreError."""
    await check_version(connection, url)
    version = int(await connection.fetchval("SELECT version FROM quartet_store"))
    said = f"{url}: has schema {version}, this version of quartet knows {len(MIGRATIONS)}"
    if version < len(MIGRATIONS):
        raise OlderSchemaError(
            f"{said}: start a broker of this version once, then stop it", version
        )
    if version > len(MIGRATIONS):
        raise NewerSchemaError(f"{said}: use the version that wrote it, or a newer one", version)


async def version_of(connection: asyncpg.Connection, url: str) -> int:
    """How many migrations the database has seen, of those that this version knows. StoreError."""
    if not await connection.fetchval("SELECT to_regclass('quartet_store') IS NOT NULL"):
        other = await connection.fetchval(_OTHERS)
        if other is not None:
            raise StoreError(
                f"{url}: holds something else (a table {other}): create a database for the brokers"
                " alone"
            )
        return 0
    store: Any = await connection.fetchrow("SELECT version, works_from FROM quartet_store")
    if store["works_from"] > len(MIGRATIONS):
        raise NewerSchemaError(
            f"{url}: has schema {store['version']}, this version of quartet knows"
            f" {len(MIGRATIONS)}: use the version that wrote it, or a newer one",
            store["version"],
        )
    return min(int(store["version"]), len(MIGRATIONS))
