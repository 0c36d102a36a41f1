"""The tables of console.db. A migration that was released is never edited: append the next one."""

# "QrtC": tells the file from other databases, a store for one.
APPLICATION_ID = 0x51727443

MIGRATIONS = [
    f"""
    PRAGMA application_id = {APPLICATION_ID};

    -- What is built from the store, and can be built again.

    -- A short number for each agent.
    CREATE TABLE agents (
        agent INTEGER PRIMARY KEY,
        agent_id TEXT NOT NULL UNIQUE,
        peer TEXT NOT NULL  -- of its line's first stream; empty: nobody can tell
    );

    -- The samples of one bucket of time: number `bucket` of its level, counted from 1970.
    CREATE TABLE rollups (
        agent INTEGER NOT NULL,
        level INTEGER NOT NULL,  -- width of a bucket in seconds
        bucket INTEGER NOT NULL,
        stats BLOB NOT NULL,
        PRIMARY KEY (agent, level, bucket)
    ) WITHOUT ROWID;

    -- Runs of True answers, by the time of their first sample.
    CREATE TABLE alarms (
        agent INTEGER NOT NULL,
        begun_at_ns INTEGER NOT NULL,
        latest_at_ns INTEGER NOT NULL,  -- of its last True answer
        is_open INTEGER NOT NULL,
        samples INTEGER NOT NULL,
        reason TEXT,
        PRIMARY KEY (agent, begun_at_ns)
    ) WITHOUT ROWID;
    CREATE INDEX alarms_by_time ON alarms (begun_at_ns);
    CREATE INDEX open_alarms ON alarms (agent) WHERE is_open;

    -- Where each line stands behind the samples that were read: what its next alarms depend on.
    CREATE TABLE tails (
        agent INTEGER PRIMARY KEY,
        at_ns INTEGER NOT NULL,  -- of the last sample
        gap_ns INTEGER NOT NULL,  -- between it and the one before
        is_true INTEGER NOT NULL,
        begun_at_ns INTEGER,  -- of the latest alarm; NULL: there was none
        latest_at_ns INTEGER,
        is_open INTEGER,
        samples INTEGER,
        reason TEXT
    );

    -- How far the store was read. One row.
    CREATE TABLE progress (
        cursor TEXT NOT NULL,
        arrived_at_ns INTEGER NOT NULL  -- of the last sample that was read
    );

    -- What people did: nothing can make these again.

    CREATE TABLE acknowledgements (
        agent_id TEXT NOT NULL,
        begun_at_ns INTEGER NOT NULL,  -- of the alarm
        at_ns INTEGER NOT NULL,
        name TEXT NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (agent_id, begun_at_ns)
    );

    CREATE TABLE notes (
        note INTEGER PRIMARY KEY,
        agent_id TEXT NOT NULL,
        at_ns INTEGER NOT NULL,  -- the time that the note is about
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        written_at_ns INTEGER NOT NULL
    );
    CREATE INDEX notes_by_agent ON notes (agent_id, at_ns);

    CREATE TABLE users (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        salt BLOB NOT NULL,
        hash BLOB NOT NULL,
        made_at_ns INTEGER NOT NULL
    );

    CREATE TABLE sign_ins (
        token_hash BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        expires_at_ns INTEGER NOT NULL,
        address TEXT NOT NULL
    );

    CREATE TABLE audit (
        act INTEGER PRIMARY KEY,
        at_ns INTEGER NOT NULL,
        name TEXT NOT NULL,  -- who
        address TEXT NOT NULL,
        verb TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    )
    """,
]
