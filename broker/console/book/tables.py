"""Rows of console.db that are built from the store. In a transaction; raises sqlite3.Error."""

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from broker.console.book.pending import Pending
from broker.console.book.rollups import LEVELS, Buckets, Level, Stats, coarser
from broker.feed.alarms import Run, Tail
from quartet.errors import DamagedError

# Alarms of one agent that are kept, and of all. A year of a machine that is at the edge of its
# limits each hour.
MOST_OF_AGENT = 10_000
MOST_ALARMS = 100_000

# Deleted in one transaction: some 20 ms, and less than 1 MB of log.
STEP_ROWS = 2_000

# Not a character of an agent's id: an agent that was forgotten, until all of it is deleted.
_GONE = "#"


def progress(rows: sqlite3.Connection) -> tuple[str, int]:
    """How far the store was read, as a cursor, and when that sample arrived."""
    found = rows.execute("SELECT cursor, arrived_at_ns FROM progress").fetchone()
    return found or ("", 0)


def tail(rows: sqlite3.Connection, agent_id: str) -> Tail:
    """Where a line stands behind what is in the file."""
    found = rows.execute(
        "SELECT at_ns, gap_ns, is_true, begun_at_ns, latest_at_ns, is_open, samples, reason"
        " FROM tails JOIN agents USING (agent) WHERE agent_id = ?",
        (agent_id,),
    ).fetchone()
    if not found:
        return Tail()
    at_ns, gap_ns, is_true, begun, latest, is_open, samples, reason = found
    run = None if begun is None else Run(begun, latest, bool(is_open), samples, reason)
    return Tail(at_ns, gap_ns, bool(is_true), run)


def save(rows: sqlite3.Connection, pending: Pending) -> bool:
    """Write all that is pending; False, and nothing: the file has moved on by itself."""
    if progress(rows)[0] != pending.base:
        return False
    for agent_id, buckets in pending.buckets.items():
        agent = _agent(rows, agent_id)
        rows.execute("UPDATE agents SET peer = ? WHERE agent = ?", (pending.peers[agent_id], agent))
        _save_buckets(rows, agent, buckets)
        _save_tail(rows, agent, pending.tails[agent_id])
    save_runs(rows, pending.runs)
    rows.execute("DELETE FROM progress")
    rows.execute("INSERT INTO progress VALUES (?, ?)", (pending.cursor, pending.arrived_at_ns))
    return True


def save_runs(rows: sqlite3.Connection, runs: Mapping[tuple[str, int], Run]) -> None:
    """Write alarms as they are now.

    Also ahead of the samples that they rest on: read again, these give the same alarms.
    """
    agents = {agent_id: _agent(rows, agent_id) for agent_id, _ in runs}
    rows.executemany(
        "INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                *(agents[agent_id], begun, run.latest_at_ns),
                *(run.is_open, run.samples, run.reason),
            )
            for (agent_id, begun), run in runs.items()
        ],
    )
    for agent in agents.values():
        _limit(rows, "WHERE agent = ?", (agent,), MOST_OF_AGENT)
    if agents:
        _limit(rows, "", (), MOST_ALARMS)


def end_alarms(rows: sqlite3.Connection, tails: Mapping[str, Tail]) -> None:
    """End each open alarm that is not its line's, behind all samples that there are.

    It was written ahead of samples that are gone since. `tails`: newer than those in the file.
    """
    found = rows.execute(
        "SELECT agent, agent_id, begun_at_ns FROM alarms JOIN agents USING (agent) WHERE is_open"
    ).fetchall()
    for agent, agent_id, begun_at_ns in found:
        run = (tails.get(agent_id) or tail(rows, agent_id)).run
        if not (run and run.is_open and run.begun_at_ns == begun_at_ns):
            rows.execute(
                "UPDATE alarms SET is_open = 0 WHERE agent = ? AND begun_at_ns = ?",
                (agent, begun_at_ns),
            )


def buckets(
    rows: sqlite3.Connection, agent_id: str, level: Level, first: int, last: int
) -> Iterator[tuple[int, Stats]]:
    """An agent's buckets from one number to another, in their order."""
    found = rows.execute(
        "SELECT bucket, stats FROM rollups JOIN agents USING (agent)"
        " WHERE agent_id = ? AND level = ? AND bucket BETWEEN ? AND ? ORDER BY bucket",
        (agent_id, level.width_s, first, last),
    )
    return ((number, _stats(packed)) for number, packed in found)


def extent(
    rows: sqlite3.Connection, agent_id: str, level: Level, first: int, last: int
) -> tuple[int, int] | None:
    """The first and the last bucket that an agent has between two numbers."""
    least, most = (
        rows.execute(
            f"SELECT {which}(bucket) FROM rollups WHERE level = ? AND bucket BETWEEN ? AND ?"  # noqa: S608
            " AND agent = (SELECT agent FROM agents WHERE agent_id = ?)",
            (level.width_s, first, last, agent_id),
        ).fetchone()[0]
        for which in ("min", "max")
    )
    return None if least is None else (least, most)


def beginning(rows: sqlite3.Connection, agent_id: str, level: Level) -> int | None:
    """The first bucket of an agent on a level; None: it has none."""
    number: int | None = rows.execute(
        "SELECT min(bucket) FROM rollups WHERE level = ?"
        " AND agent = (SELECT agent FROM agents WHERE agent_id = ?)",
        (level.width_s, agent_id),
    ).fetchone()[0]
    return number


def agents(rows: sqlite3.Connection) -> list[str]:
    """The ids of all agents, but for those that were forgotten."""
    found = rows.execute("SELECT agent_id FROM agents ORDER BY agent_id").fetchall()
    return [agent_id for (agent_id,) in found if not agent_id.startswith(_GONE)]


def in_alarm(rows: sqlite3.Connection) -> list[str]:
    """The ids of the agents that have an open alarm."""
    found = rows.execute(
        "SELECT DISTINCT agent_id FROM alarms JOIN agents USING (agent) WHERE is_open ORDER BY 1"
    ).fetchall()
    return [agent_id for (agent_id,) in found]


def end_alarm(rows: sqlite3.Connection, agent_id: str) -> None:
    """Have an agent's alarm be over, and the next True answer begin as behind a False one."""
    for change in (
        "alarms SET is_open = FALSE WHERE is_open",
        "tails SET is_open = FALSE, is_true = FALSE WHERE is_open",
    ):
        rows.execute(
            f"UPDATE {change} AND agent = (SELECT agent FROM agents WHERE agent_id = ?)",  # noqa: S608
            (agent_id,),
        )


def peer(rows: sqlite3.Connection, agent_id: str) -> str:
    """Of an agent's line, the peer of its first stream; empty: nobody can tell."""
    found = rows.execute("SELECT peer FROM agents WHERE agent_id = ?", (agent_id,)).fetchone()
    return found[0] if found else ""


def forget(rows: sqlite3.Connection, agent_id: str) -> None:
    """Have an agent be none, without alarms: delete_step() deletes what is left."""
    rows.execute(
        "DELETE FROM alarms WHERE agent = (SELECT agent FROM agents WHERE agent_id = ?)",
        (agent_id,),
    )
    rows.execute("UPDATE agents SET agent_id = ? || agent WHERE agent_id = ?", (_GONE, agent_id))


def delete_step(rows: sqlite3.Connection) -> bool:
    """Delete a part of what was forgotten; whether there may be more."""
    found = rows.execute(
        "SELECT agent FROM agents WHERE agent_id >= ? AND agent_id < ? LIMIT 1",
        (_GONE, chr(ord(_GONE) + 1)),
    ).fetchone()
    if not found:
        return False
    for level in LEVELS:
        if _delete_before(rows, found[0], level, None) == STEP_ROWS:
            return True
    for table in ("tails", "agents"):
        rows.execute(f"DELETE FROM {table} WHERE agent = ?", found)  # noqa: S608
    return True


def delete_between(
    rows: sqlite3.Connection, agent_id: str, level: Level, first: int, last: int
) -> int:
    """Delete a part of an agent's buckets from one number to another; how many."""
    return rows.execute(
        "DELETE FROM rollups WHERE (agent, level, bucket) IN (SELECT agent, level, bucket"
        " FROM rollups JOIN agents USING (agent)"
        " WHERE agent_id = ? AND level = ? AND bucket BETWEEN ? AND ? LIMIT ?)",
        (agent_id, level.width_s, first, last, STEP_ROWS),
    ).rowcount


def prune_step(rows: sqlite3.Connection, agent_id: str, now_ns: int) -> int:
    """Delete a part of what is too old of an agent, by level; how many rows.

    By the agent's own newest sample where that is older: of a machine that is away, the last
    week is kept.
    """
    found = rows.execute("SELECT agent FROM agents WHERE agent_id = ?", (agent_id,)).fetchone()
    deleted = 0
    for level in LEVELS if found else ():
        newest = rows.execute(
            "SELECT max(bucket) FROM rollups WHERE agent = ? AND level = ?",
            (found[0], level.width_s),
        ).fetchone()[0]
        if newest is not None:
            now = min(newest, now_ns // level.width_ns)
            deleted += _delete_before(rows, found[0], level, now - level.kept_s // level.width_s)
    return deleted


def _save_buckets(rows: sqlite3.Connection, agent: int, buckets: Buckets) -> None:
    for finer, level in zip((None, *LEVELS), LEVELS, strict=False):
        if finer:
            buckets = coarser(buckets.items(), level.width_s // finer.width_s, finer.width_ns)
        rows.executemany(
            "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?)",
            [
                (agent, level.width_s, number, _merged(rows, agent, level, number, stats).pack())
                for number, stats in buckets.items()
            ],
        )


def _merged(rows: sqlite3.Connection, agent: int, level: Level, number: int, stats: Stats) -> Stats:
    found = rows.execute(
        "SELECT stats FROM rollups WHERE agent = ? AND level = ? AND bucket = ?",
        (agent, level.width_s, number),
    ).fetchone()
    if not found:
        return stats
    former = _stats(found[0])
    former.merge(stats)
    former.seen(stats.first_ms, stats.last_ms)
    return former


def _save_tail(rows: sqlite3.Connection, agent: int, tail: Tail) -> None:
    run = tail.run
    # Not as among the alarms: these are written ahead of what they rest on.
    of_run = (
        (run.begun_at_ns, run.latest_at_ns, run.is_open, run.samples, run.reason)
        if run
        else (None,) * 5
    )
    rows.execute(
        "INSERT OR REPLACE INTO tails VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (agent, tail.at_ns, tail.gap_ns, tail.is_true, *of_run),
    )


def _agent(rows: sqlite3.Connection, agent_id: str) -> int:
    """The number of an agent, which gets one."""
    rows.execute("INSERT OR IGNORE INTO agents (agent_id, peer) VALUES (?, '')", (agent_id,))
    number: int = rows.execute(
        "SELECT agent FROM agents WHERE agent_id = ?", (agent_id,)
    ).fetchone()[0]
    return number


def _limit(rows: sqlite3.Connection, where: str, parameters: Iterable[Any], most: int) -> None:
    """Delete the oldest alarms above a number: those that have ended without acknowledgement."""
    parameters = (*parameters,)
    count = rows.execute(f"SELECT count(*) FROM alarms {where}", parameters).fetchone()[0]  # noqa: S608
    if count > most:
        rows.execute(
            "DELETE FROM alarms WHERE (agent, begun_at_ns) IN ("  # noqa: S608
            f" SELECT agent, begun_at_ns FROM (SELECT * FROM alarms {where}) AS found"
            " JOIN agents USING (agent) WHERE NOT is_open AND NOT EXISTS ("
            "  SELECT 1 FROM acknowledgements AS known WHERE known.agent_id = agents.agent_id"
            "  AND known.begun_at_ns = found.begun_at_ns)"
            " ORDER BY begun_at_ns LIMIT ?)",
            (*parameters, count - most),
        )


def _delete_before(rows: sqlite3.Connection, agent: int, level: Level, before: int | None) -> int:
    return rows.execute(
        "DELETE FROM rollups WHERE agent = ?1 AND level = ?2 AND bucket IN (SELECT bucket"
        " FROM rollups WHERE agent = ?1 AND level = ?2 AND (?3 IS NULL OR bucket < ?3)"
        " ORDER BY bucket LIMIT ?4)",
        (agent, level.width_s, before, STEP_ROWS),
    ).rowcount


def _stats(packed: bytes) -> Stats:
    try:
        return Stats.unpack(packed)
    except (struct.error, TypeError, IndexError) as error:
        raise DamagedError(f"a bucket of the history is damaged: {error}") from error
