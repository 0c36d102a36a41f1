"""The marks of simulations, each in a row of `commands`."""

import sqlite3

from broker.recorder.sqlite.keeping import REHEARSAL
from broker.records import Batch


def mark(connection: sqlite3.Connection, batch: Batch) -> None:
    """Mark a line that begins with this batch, if it is a simulation's. In a transaction."""
    header = batch.claim.header
    if header and header.is_rehearsal:
        connection.execute(
            "INSERT INTO commands (agent_id, name, at_ns) VALUES (?, ?, ?)",
            (header.agent_id, REHEARSAL, batch.arrived_at_ns),
        )


def unmark(connection: sqlite3.Connection, batch: Batch) -> None:
    """Keep the line as an agent's from the first batch of its own stream on. In a transaction."""
    header = batch.claim.header
    if header and batch.opened and not header.is_rehearsal:
        connection.execute(
            "DELETE FROM commands WHERE agent_id = ? AND name = ?", (header.agent_id, REHEARSAL)
        )
