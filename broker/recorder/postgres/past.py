"""What a line's black box went through: its states on record, and the samples behind them."""

from bisect import bisect_right
from typing import Any

from broker.recorder.postgres.held import REBASED
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import ARRIVED, SAMPLE, once, position_of, sample_of
from broker.recorder.reader import Course, RecordedSample, RecordedSnapshot

# Samples that are fetched at once.
_CHUNK = 500

_LINE = "(SELECT line FROM lines WHERE agent_id = $1)"

# Those that a black box can begin with; each was taken with the last sample that it had seen.
_STATES = f"""
    SELECT position, coalesce(seen.sampled_at_ns,
        (extract(epoch FROM arrived_at) * 1000000)::bigint * 1000) AS sampled_at_ns
    FROM snapshots LEFT JOIN LATERAL (
        SELECT sampled_at_ns FROM recorded
        WHERE recorded.line = snapshots.line AND recorded.position <= snapshots.position
        ORDER BY recorded.position DESC LIMIT 1
    ) AS seen ON true
    WHERE line = {_LINE} AND (state IS NOT NULL OR kept = 2)
"""  # noqa: S608
_NEWEST = f"""
    SELECT * FROM ({_STATES}) AS states WHERE sampled_at_ns <= $2 ORDER BY position DESC LIMIT 1
"""  # noqa: S608
_OLDEST = f"SELECT * FROM ({_STATES}) AS states ORDER BY position LIMIT 1"  # noqa: S608
_SNAPSHOT = f"""
    SELECT position, digest, state, kept, {ARRIVED} FROM snapshots WHERE line = {_LINE}
"""  # noqa: S608

# Positions begin with 1, and none is left out.
_BEGINNING = f"""
    SELECT recorded.sampled_at_ns, {ARRIVED}, digest FROM recorded JOIN sessions USING (session)
    WHERE recorded.line = {_LINE} AND position = 1
"""  # noqa: S608


async def recent(link: Link, agent_id: str, since_ns: int, most: int) -> list[RecordedSample]:
    """The newest samples that arrived at this time or later, in their order."""
    found: list[RecordedSample] = []
    before = 2**63 - 1
    while len(found) < most:
        rows = await link.ask(
            f"{SAMPLE} WHERE recorded.line = {_LINE} AND position < $2"
            " ORDER BY position DESC LIMIT $3",
            *(agent_id, before, min(_CHUNK, most - len(found))),
        )
        for row in once(rows, position_of):
            if row["arrived_at_ns"] < since_ns:
                return found[::-1]
            found.append(sample_of(row))
        if not rows:
            break
        before = rows[-1]["position"]
    return found[::-1]


async def snapshot(link: Link, agent_id: str, at_ns: int) -> RecordedSnapshot | None:
    """The newest state up to this time of sampling; where there is none, the oldest behind it."""
    if found := await link.ask(_NEWEST, agent_id, at_ns):
        return await _read(link, agent_id, found[0])
    if found := await link.ask(_BEGINNING, agent_id):
        first = found[0]
        times = first["sampled_at_ns"], first["arrived_at_ns"]
        return RecordedSnapshot(first["digest"], None, True, *times, "0")
    found = await link.ask(_OLDEST, agent_id)
    return await _read(link, agent_id, found[0]) if found else None


async def course(link: Link, agent_id: str, cursor: str, most: int) -> Course:
    """The next samples of a line behind a cursor, with the states on record between them."""
    after = int(cursor)
    rows = once(
        await link.ask(
            f"{SAMPLE} WHERE recorded.line = {_LINE} AND position > $2 ORDER BY position LIMIT $3",
            *(agent_id, after, most),
        ),
        position_of,
    )
    positions = [row["position"] for row in rows]
    end = positions[-1] if positions else after
    between = await link.ask(
        f"{_SNAPSHOT} AND position > $2 AND position <= $3 ORDER BY position", agent_id, after, end
    )
    snapshots = []
    for row in between:
        number = bisect_right(positions, row["position"])
        taken_ns = rows[number - 1]["sampled_at_ns"] if number else row["arrived_at_ns"]
        snapshots.append((number, _snapshot(row, taken_ns)))
    return Course([sample_of(row) for row in rows], snapshots, str(end))


async def _read(link: Link, agent_id: str, state: Any) -> RecordedSnapshot | None:
    """The state of a row of _STATES; None: it has gone meanwhile."""
    rows = await link.ask(f"{_SNAPSHOT} AND position = $2", agent_id, state["position"])
    return _snapshot(rows[0], state["sampled_at_ns"]) if rows else None


def _snapshot(row: Any, sampled_at_ns: int) -> RecordedSnapshot:
    return RecordedSnapshot(
        row["digest"],
        row["state"],
        row["kept"] == REBASED,
        sampled_at_ns,
        row["arrived_at_ns"],
        str(row["position"]),
    )
