"""Samples as columns, and those of all lines one behind the other."""

from collections.abc import Sequence
from typing import Any

from broker.recorder.postgres.cursors import Place
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.moment import moment
from broker.recorder.postgres.rows import ARRIVED, SAMPLE, once, position_of
from broker.recorder.postgres.walk import walk
from broker.recorder.reader import Bulk, Span, Strip

# Rounds that began before one that is still under way may yet appear: a reader stays behind it.
_SETTLED = """
    (SELECT ahead + pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM quartet_store)
"""
_STORE = "(SELECT lpad(id, 8, '0') FROM quartet_store) AS store"
_PLACE = f"SELECT {_STORE}, round, line, position, {ARRIVED} FROM recorded WHERE round < {_SETTLED}"  # noqa: S608
_IS_BEHIND = "round >= $1 AND (round, recorded.line, position) > ($1, $2, $3)"

# In one question with the samples themselves, the server would put all there are in order.
_END = f"""
    SELECT max(round) AS round FROM (
        SELECT round FROM recorded WHERE {_IS_BEHIND} AND round < {_SETTLED}
        ORDER BY round LIMIT $4
    ) AS next
"""  # noqa: S608
_NEXT = f"""
    {SAMPLE.replace("SELECT", f"SELECT peer, {_STORE},", 1)}
    WHERE {_IS_BEHIND} AND round <= $5 ORDER BY round, recorded.line, position LIMIT $4
"""
_TAIL = f"{_PLACE} ORDER BY round DESC, line DESC, position DESC LIMIT 1"
_ARRIVED = f"""
    {_PLACE} AND arrived_at <= $1
    ORDER BY arrived_at DESC, round DESC, line DESC, position DESC LIMIT 1
"""

# Another database; or an earlier state of this one, from a backup, in which a line ends before it.
# What was pruned, or forgotten, is neither.
_IS_ANOTHER = f"""
    SELECT {_STORE.removesuffix(" AS store")} != $1 OR $2 >= {_SETTLED}
        OR EXISTS (SELECT 1 FROM lines WHERE line = $3 AND head < $4)
        OR EXISTS (
            SELECT 1 FROM recorded WHERE line = $3 AND position = $4
                AND (round != $2 OR arrived_at != $5)
        ) AS is_another
"""  # noqa: S608
_SAID = """
    SELECT line, position, text FROM explanations
    JOIN unnest($1::bigint[], $2::bigint[]) AS given (line, position) USING (line, position)
"""


async def tail(link: Link) -> Place:
    """Behind the newest sample."""
    rows = await link.ask(_TAIL)
    return place_of(rows[0]) if rows else Place()


async def following(link: Link, behind: Place, most: int) -> list[Any]:
    """The next samples of all lines, plain peers' as well; rows of SAMPLE, and `peer`."""
    end = (await link.ask(_END, *behind.where, most))[0]["round"]
    if end is None:
        return []
    return once(await link.ask(_NEXT, *behind.where, most, end), position_of)


async def bulk(link: Link, behind: Place, most: int) -> Bulk:
    """At most `most` samples of all agents behind a place, as strips."""
    if behind.store and await _is_another(link, behind):
        found = await link.ask(_ARRIVED, moment(behind.arrived_at_ns))
        return Bulk([], str(place_of(found[0]) if found else Place()), is_another=True)
    rows = await following(link, behind, most)
    if not rows:
        return Bulk([], str(behind), is_last=True)
    end = place_of(rows[-1])
    said = await _said(link, rows)
    lines: dict[int, list[Any]] = {}
    for row in rows:
        if row["agent_id"] is not None:
            lines.setdefault(row["line"], []).append(row)
    strips = [_strip(of_line, said) for of_line in lines.values()]
    return Bulk(strips, str(end), end.arrived_at_ns, len(rows) < most)


async def strip(link: Link, agent_id: str, span: Span, most: int, behind: Place) -> Strip | None:
    """An agent's samples of a span behind a place; None: they are more than `most`."""
    rows = await walk(link, agent_id, span, most, behind)
    return None if rows is None else Strip(agent_id, *_columns(rows))


async def _is_another(link: Link, behind: Place) -> bool:
    at = moment(behind.arrived_at_ns)
    rows = await link.ask(_IS_ANOTHER, behind.store, *behind.where, at)
    return bool(rows[0]["is_another"])


def place_of(row: Any) -> Place:
    """Where a row of following() is."""
    columns = ("store", "round", "line", "position", "arrived_at_ns")
    return Place(*[row[column] for column in columns])


async def _said(link: Link, rows: Sequence[Any]) -> dict[tuple[int, int], str]:
    """By line and position, what was said about these samples."""
    positions = [row["position"] for row in rows]
    found = await link.ask(_SAID, [row["line"] for row in rows], positions)
    return {(row["line"], row["position"]): row["text"] for row in found}


def _strip(rows: Sequence[Any], said: dict[tuple[int, int], str]) -> Strip:
    texts = [
        (number, said[key])
        for number, row in enumerate(rows)
        if (key := (row["line"], row["position"])) in said
    ]
    return Strip(rows[0]["agent_id"], *_columns(rows), texts, rows[0]["peer"])


def _columns(rows: Sequence[Any]) -> tuple[list[int], list[int], list[Any]]:
    """When they were taken, the answers, and the values."""
    return (
        [row["sampled_at_ns"] for row in rows],
        [int(row["prediction"]) for row in rows],
        [(row["sensor1"], row["sensor2"], row["sensor3"], row["sensor4"]) for row in rows],
    )
