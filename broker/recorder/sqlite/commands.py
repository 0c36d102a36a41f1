"""What people want of an agent's line, written beside a running broker or without one."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from broker.errors import CommandError
from broker.recorder.sqlite.beside import checked
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.keeping import REHEARSAL
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.signature import Signature
from quartet.clock import Clock
from quartet.database import connect, connect_to_read, integrity
from quartet.errors import DamagedError, InUseError

# Agents in one message.
_MOST_NAMED = 20


def rebase(path: Path, agent_id: str, clock: Clock) -> bool:
    """Have an agent's black box be a fresh one; whether a broker runs, which will do it.

    CommandError for an unknown agent; StoreError.
    """
    with checked(path), _open(path) as (connection, is_owned):
        _add(path, connection, agent_id, "rebase", clock)
        return not is_owned


def forget(path: Path, agent_id: str, clock: Clock) -> int | None:
    """Delete all of an agent; how many samples. None: the broker that runs will.

    Without one, all of the store is looked at first, and what was begun before is finished.
    CommandError for an unknown agent; StoreError.
    """
    with checked(path), _open(path) as (connection, is_owned):
        if not is_owned:
            _add(path, connection, agent_id, "forget", clock)
            return None
        if found := integrity(connection, 1):  # it would be forgotten by half
            raise DamagedError(f"{path}: is damaged ({found[0]})", path)
        eraser = Eraser(connection, clock)
        eraser.finish()
        _add(path, connection, agent_id, "forget", clock)
        count: int = connection.execute(
            "SELECT count(*) FROM samples JOIN lines USING (line) WHERE agent_id = ?",
            (agent_id,),
        ).fetchone()[0]
        eraser.forget(agent_id)
        eraser.finish()
        return count


def _add(
    path: Path, connection: sqlite3.Connection, agent_id: str, name: str, clock: Clock
) -> None:
    """Write a command, which is durable by itself."""
    known = connection.execute("SELECT 1 FROM lines WHERE agent_id = ?", (agent_id,)).fetchone()
    if not known:
        raise CommandError(f"{path}: has no agent {agent_id}; it has {_agents(connection)}")
    connection.execute(
        "INSERT INTO commands (agent_id, name, at_ns) VALUES (?, ?, ?)",
        (agent_id, name, clock.time_ns()),
    )


def _agents(connection: sqlite3.Connection) -> str:
    found = connection.execute(
        "SELECT agent_id FROM lines WHERE agent_id IS NOT NULL AND agent_id NOT IN"
        " (SELECT agent_id FROM commands WHERE name = ?) ORDER BY agent_id LIMIT ?",
        (REHEARSAL, _MOST_NAMED + 1),
    ).fetchall()
    more = ", ..." if len(found) > _MOST_NAMED else ""
    return ", ".join(agent_id for (agent_id,) in found[:_MOST_NAMED]) + more or "none"


@contextmanager
def _open(path: Path) -> Iterator[tuple[sqlite3.Connection, bool]]:
    """Open the file beside a running broker; without one, as carefully as that would.

    The connection, and whether no broker runs: nobody else may then own the file.
    """
    with ExitStack() as stack:
        signature = None
        with suppress(InUseError):
            hold = stack.enter_context(closing(Hold(path)))
            signature = Signature(path, hold)
            signature.check()
        if not signature:  # whoever runs may be an older version: its store stays as it is
            connect_to_read(path, len(MIGRATIONS)).close()
        with closing(connect(path, MIGRATIONS, "full")) as connection:
            yield connection, signature is not None
        if signature:
            signature.end()
