"""The tables of a tier's file. A migration that was released is never edited: the next is appended.

None may take longer than a second in the largest file: old rows stay as they are.
"""

import sqlite3
from pathlib import Path

from quartet.database import connect_to_read, schema_version
from quartet.errors import OlderSchemaError

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        period_ns INTEGER NOT NULL,
        started_at_ns INTEGER NOT NULL,
        account BLOB NOT NULL
    );
    CREATE TABLE samples (
        session INTEGER NOT NULL,
        id INTEGER NOT NULL,
        reading BLOB NOT NULL,
        PRIMARY KEY (session, id)
    ) WITHOUT ROWID;
    CREATE TABLE settled (
        session INTEGER NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (session, id)
    ) WITHOUT ROWID;
    CREATE TABLE moves (number INTEGER NOT NULL);
    INSERT INTO moves VALUES (0)
    """,
    """
    -- Of the row's other columns; NULL: written before there were checksums, not verified.
    ALTER TABLE sessions ADD COLUMN checksum INTEGER;
    ALTER TABLE settled ADD COLUMN checksum INTEGER;
    ALTER TABLE moves ADD COLUMN checksum INTEGER
    """,
    """
    -- The labels of the sensors, with a checksum of their own; NULL: nobody knows them.
    ALTER TABLE sessions ADD COLUMN sensors BLOB
    """,
)

# The schemas that brought the checksums, and the labels of sensors.
_WITH_CHECKSUMS = 2
_WITH_SENSORS = 3


def connect_to_read_any(path: Path, newest: int, busy_s: float) -> sqlite3.Connection:
    """Open an existing file of the newest schema or of an older one; errors as connect_to_read().

    OlderSchemaError for one that has no tables yet.
    """
    try:
        return connect_to_read(path, newest, busy_s)
    except OlderSchemaError as error:
        if not error.version:
            raise
        return connect_to_read(path, error.version, busy_s)


def has_checksums(connection: sqlite3.Connection) -> bool:
    """Whether rows that are no samples have a column for a checksum."""
    return schema_version(connection) >= _WITH_CHECKSUMS


def has_sensors(connection: sqlite3.Connection) -> bool:
    """Whether sessions have a column for the labels of their sensors."""
    return schema_version(connection) >= _WITH_SENSORS
