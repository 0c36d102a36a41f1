"""What a person wants of a line: written beside the broker, which looks for it each second."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from broker.errors import CommandError
from broker.recorder.schema import MIGRATIONS, check_kind
from quartet.database import connect, store_error
from quartet.errors import StoreError


def rebase(path: Path, agent_id: str) -> None:
    """Have an agent's line go on with a fresh black box, from between two of its samples.

    StoreError where the store cannot be used; CommandError for an agent that it does not know.
    """
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file")
    check_kind(path)
    try:
        with closing(connect(path, MIGRATIONS, "full")) as connection:
            agents = [row[0] for row in connection.execute("SELECT agent_id FROM lines")]
            if agent_id not in agents:
                known = ", ".join(sorted(filter(None, agents))) or "none"
                raise CommandError(f"{path}: knows no agent {agent_id}; it knows {known}")
            connection.execute(
                "INSERT INTO commands (agent_id, name, at_ns) VALUES (?, 'rebase', ?)",
                (agent_id, time.time_ns()),
            )
    except sqlite3.Error as error:
        raise store_error(path, error) from error
