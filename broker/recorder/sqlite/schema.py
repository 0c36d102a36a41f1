"""The tables of the store. A migration that was released is never edited: the next is appended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from quartet.database import store_error
from quartet.errors import DamagedError, StoreError

# "QrtB": tells a store from other databases, an agent's spool for one.
APPLICATION_ID = 0x51727442

MIGRATIONS = [
    f"""
    PRAGMA application_id = {APPLICATION_ID};

    -- One agent's samples over all its sessions; without agent_id, one stream of a plain peer.
    CREATE TABLE lines (
        line INTEGER PRIMARY KEY,
        agent_id TEXT UNIQUE,
        peer TEXT NOT NULL  -- the address of its first stream
    );

    -- received = answered + duplicates + refused. Outlives its samples.
    CREATE TABLE sessions (
        session INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        id TEXT,  -- NULL: a plain peer's
        first_id INTEGER,
        last_id INTEGER,
        received INTEGER NOT NULL,
        answered INTEGER NOT NULL,
        duplicates INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        gaps INTEGER NOT NULL,
        digest TEXT NOT NULL,  -- of the black box that answered last
        opened_at_ns INTEGER NOT NULL,
        UNIQUE (line, id)
    );

    -- Ids from first to last were jumped over.
    CREATE TABLE gaps (
        session INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (session, first)
    ) WITHOUT ROWID;

    -- In the order of answers; of one line, in the order in which its black box saw them.
    CREATE TABLE samples (
        position INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        session INTEGER NOT NULL,
        id INTEGER NOT NULL,
        sensors BLOB NOT NULL,  -- four float32, little endian
        sampled_at_ns INTEGER NOT NULL,
        arrived_at_ns INTEGER NOT NULL,
        prediction INTEGER NOT NULL
    );
    CREATE INDEX samples_by_line ON samples (line);
    CREATE INDEX samples_by_id ON samples (session, id);

    -- The state of a line's black box after the sample at this position.
    CREATE TABLE snapshots (
        line INTEGER PRIMARY KEY,
        position INTEGER NOT NULL,
        digest TEXT NOT NULL,
        state BLOB NOT NULL
    );

    -- What people want of a line; applied behind the sample at this position.
    CREATE TABLE commands (
        command INTEGER PRIMARY KEY,
        agent_id TEXT NOT NULL,
        name TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        position INTEGER  -- NULL: not applied yet
    )
    """,
    """
    -- What black boxes had to say about their answer to the sample at this position.
    CREATE TABLE explanations (
        position INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        session INTEGER NOT NULL,
        id INTEGER NOT NULL,
        text TEXT NOT NULL
    )
    """,
    """
    -- HOST:PORT, in place of gRPC's spelling of it.
    UPDATE lines SET peer = replace(replace(
        substr(peer, instr(peer, ':') + 1), '%5B', '['), '%5D', ']')
    WHERE peer LIKE 'ipv4:%' OR peer LIKE 'ipv6:%';
    CREATE INDEX explanations_by_line ON explanations (line)
    """,
    """
    -- Of the row's other columns; NULL: written before there were checksums, not verified.
    ALTER TABLE samples ADD COLUMN checksum INTEGER;

    -- Of what names the row, and never changes; NULL as above.
    ALTER TABLE lines ADD COLUMN checksum INTEGER;  -- of line, agent_id
    ALTER TABLE sessions ADD COLUMN checksum INTEGER;  -- of session, line, id, opened_at_ns

    -- The states of a line's black box, as a history: the newest, and those that are kept.
    ALTER TABLE snapshots RENAME TO former_snapshots;
    CREATE TABLE snapshots (
        line INTEGER NOT NULL,
        position INTEGER NOT NULL,
        digest TEXT NOT NULL,
        state BLOB,  -- NULL: there is none, and no earlier one may be restored
        arrived_at_ns INTEGER NOT NULL,  -- of the sample at this position
        is_kept INTEGER NOT NULL,  -- 1: the last of an hour, or before an alarm; 2: of a rebase
        checksum INTEGER NOT NULL,
        PRIMARY KEY (line, position)
    );
    -- What lies behind a large state in its row costs much to look at.
    CREATE INDEX snapshots_of_rebases ON snapshots (line, position) WHERE is_kept = 2;

    -- Records that a repair could not read, by the ids that they would have had.
    CREATE TABLE losses (
        agent_id TEXT,  -- NULL: nobody can tell
        session_id TEXT,
        first INTEGER,
        last INTEGER,
        why TEXT NOT NULL,
        at_ns INTEGER NOT NULL
    );

    -- The broker process that opened the store last, by a random id of it. One row.
    CREATE TABLE owner (run TEXT NOT NULL);

    CREATE INDEX commands_by_agent ON commands (agent_id)
    """,
    """
    -- What happened to a line, apart from its samples: the latest of each line.
    CREATE TABLE events (
        event INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        at_ns INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL
    );
    CREATE INDEX events_by_line ON events (line);

    -- How a line stands behind its newest sample.
    CREATE TABLE standings (
        line INTEGER PRIMARY KEY,
        certificate_until_ns INTEGER,  -- of its latest stream; NULL: it showed none
        learned INTEGER,  -- NULL: the predictor does not learn
        to_learn INTEGER,
        alarm_since_ns INTEGER,  -- NULL: no alarm
        alarm_reason TEXT
    )
    """,
    """
    -- What people call the sensors of a session, and their units, as its agent told it.
    CREATE TABLE labels (
        session INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        sensors BLOB NOT NULL,  -- JSON
        checksum INTEGER NOT NULL
    );
    CREATE INDEX labels_by_line ON labels (line)
    """,
    """
    -- How far the level that the predictor has accepted is off the first one, in its words; NULL:
    -- not at all.
    ALTER TABLE standings ADD COLUMN shift TEXT;

    -- The newest state of each other black box of a line, for its return.
    CREATE TABLE asides (
        aside INTEGER PRIMARY KEY,
        line INTEGER NOT NULL,
        position INTEGER NOT NULL,  -- of the sample behind which it is the state
        digest TEXT NOT NULL,
        state BLOB NOT NULL,
        answered INTEGER NOT NULL,  -- samples of the line up to there, of sessions on record
        checksum INTEGER NOT NULL
    );
    CREATE INDEX asides_by_line ON asides (line)
    """,
]


def check_kind(path: Path) -> None:
    """Raise StoreError for a database that is something else; DamagedError for no database."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            kind = database.execute("PRAGMA application_id").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise store_error(path, error) from error
    if tables and kind != APPLICATION_ID:
        raise StoreError(
            f"{path}: is a database, but not a store of the broker: choose another path"
        )


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Have a DamagedError say what to do, as a StoreError."""
    try:
        yield
    except DamagedError as error:
        raise StoreError(
            f"{error}: run 'broker store repair --store {path}', or restore a backup with 'broker"
            " store restore'; or move it away, and the broker creates a new one"
        ) from error
