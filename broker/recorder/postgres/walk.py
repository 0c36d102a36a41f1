"""Finds an agent's samples of a span among all that its line has on record."""

from collections.abc import Mapping
from typing import Any

from broker.recorder.postgres.cursors import Place
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import ARRIVED, VALUES, once, position_of
from broker.recorder.reader import Span

# A clock that is set by an hour, and some minutes.
_DISORDER_NS = 3900 * 10**9

# A clock that is ahead by more is not of another time zone, but wrong.
_AHEAD_NS = 26 * 3600 * 10**9

# Looks between two positions, for a beginning.
_PROBES = 64

# Read at once: some ten milliseconds.
_PART = 20_000

_ENDS = """
    SELECT line, head, coalesce((
        SELECT position FROM recorded WHERE recorded.line = lines.line ORDER BY position LIMIT 1
    ), 1) - 1 AS begin
    FROM lines WHERE agent_id = $1
"""
_TIMES = f"""
    SELECT probe, found.sampled_at_ns, found.arrived_at_ns
    FROM unnest($2::bigint[]) AS probe CROSS JOIN LATERAL (
        SELECT sampled_at_ns, {ARRIVED}, (round, line, position) > ($3, $4, $5) AS is_wanted
        FROM recorded WHERE line = $1 AND position <= probe ORDER BY position DESC LIMIT 1
    ) AS found WHERE is_wanted ORDER BY probe
"""  # noqa: S608
_ORDER = f"""
    CASE WHEN sampled_at_ns - arrived_at_ns < {_AHEAD_NS} THEN sampled_at_ns
        ELSE arrived_at_ns END
"""
_PART_END = f"""
    SELECT max(position) AS end, count(*) AS count, coalesce(min({_ORDER}) >= $3, true) AS is_past
    FROM (
        SELECT position, sampled_at_ns, {ARRIVED} FROM recorded WHERE line = $1 AND position > $2
        ORDER BY position LIMIT {_PART}
    ) AS part
"""  # noqa: S608
_ROWS = f"""
    SELECT line, position, sampled_at_ns, prediction, {VALUES} FROM recorded
    WHERE line = $1 AND position > $2 AND position <= $3
        AND sampled_at_ns >= $4 AND sampled_at_ns < $5 AND (round, line, position) > ($6, $7, $8)
    ORDER BY position
"""  # noqa: S608


async def walk(link: Link, agent_id: str, span: Span, most: int, behind: Place) -> list[Any] | None:
    """Rows of a span behind a place, in order; None: they are more than `most`."""
    found: list[Any] = []
    for ends in await link.ask(_ENDS, agent_id):
        line, position = ends["line"], await _begin(link, ends, span, behind)
        is_done, end_ns = False, min(span.until_ns + _DISORDER_NS, 2**63 - 1)
        while not is_done:
            part = (await link.ask(_PART_END, line, position, end_ns))[0]
            is_done = part["is_past"] or part["count"] < _PART
            if part["end"] is None:
                break
            arguments = line, position, part["end"], span.since_ns, span.until_ns, *behind.where
            rows = await link.ask(_ROWS, *arguments)
            found += once(rows, position_of)
            position = part["end"]
            if len(found) > most:
                return None
    return found


async def _begin(link: Link, ends: Mapping[str, Any], span: Span, place: Place) -> int:
    """A position behind which the samples of a span lie: all, but for a short disorder.

    Looks at records at equal distances, again and again: a clock that was wrong for a while puts
    the times out of order, which a bisection would not survive.
    """
    begin, end = ends["begin"], ends["head"]
    near = Span(span.since_ns - _DISORDER_NS, span.until_ns + _DISORDER_NS)
    while end - begin > _PART:
        step = (end - begin) // _PROBES
        probes = [*range(begin + step, end, step)]
        looked = [[*row] for row in await link.ask(_TIMES, ends["line"], probes, *place.where)]
        within = [probe for probe, at_ns, _ in looked if at_ns in near]
        behind = [probe for probe, *times in looked if _order_ns(*times) >= near.since_ns]
        end = next(iter(within or behind), end)
        begin = max((probe for probe in probes if probe < end), default=begin)
    return int(begin)


def _order_ns(sampled_at_ns: int, arrived_at_ns: int) -> int:
    """By what records are nearly in order: the time of sampling, where that is not absurd."""
    return sampled_at_ns if sampled_at_ns - arrived_at_ns < _AHEAD_NS else arrived_at_ns
