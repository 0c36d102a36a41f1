"""Where each line stands: a look at its newest rows, at all lines at once."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from broker.recorder.postgres.link import Link
from broker.recorder.postgres.rows import (
    ARRIVED,
    VALUES,
    sample_of,
    sensors_of,
    standing_of,
)
from broker.recorder.reader import LineState, RecordedEvent, RecordedExplanation, RecordedSample
from broker.records import EventKind

# Enough to see the spacing of samples also where one interval spans an outage.
_INTERVALS = 5

# An interval may span a night; and a line looks into few days.
_LOOK_BACK = "interval '2 days'"

_LINES = f"""
    SELECT lines.agent_id, lines.peer, lines.is_rehearsal, oldest.sampled_at_ns AS oldest_ns,
        latest.*, said.session_id AS said_in, said.id AS said_of, said.sampled_at_ns AS said_at_ns,
        said.text AS said, standings.*, stream.at_ns AS stream_at_ns, stream.kind AS stream_kind,
        stream.text AS stream_text, begun.at_ns AS begun_at_ns, begun.text AS begun_text,
        missing.count AS missing, spacing.sessions, spacing.times, labelled.sensors
    FROM lines
    LEFT JOIN LATERAL (
        SELECT sampled_at_ns FROM recorded WHERE recorded.line = lines.line
        ORDER BY position LIMIT 1
    ) AS oldest ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sessions.id, '') AS session_id, recorded.id, {VALUES}, sampled_at_ns,
            {ARRIVED}, recorded.prediction
        FROM recorded LEFT JOIN sessions ON sessions.session = recorded.session
        WHERE recorded.line = lines.line AND position = lines.head AND arrived_at = newest_at
        LIMIT 1
    ) AS latest ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sessions.id, '') AS session_id, explanations.id, sampled_at_ns, text
        FROM explanations LEFT JOIN sessions ON sessions.session = explanations.session
        WHERE explanations.line = lines.line ORDER BY position DESC LIMIT 1
    ) AS said ON true
    LEFT JOIN standings ON standings.line = lines.line
    LEFT JOIN LATERAL (
        SELECT at_ns, kind, text FROM events
        WHERE events.line = lines.line AND kind IN ('opened', 'ended') ORDER BY event DESC LIMIT 1
    ) AS stream ON true
    LEFT JOIN LATERAL (
        SELECT at_ns, text FROM events
        WHERE events.line = lines.line AND kind = 'begun' ORDER BY event DESC LIMIT 1
    ) AS begun ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(gaps), 0)::bigint AS count FROM sessions
        WHERE sessions.line = lines.line
    ) AS missing
    CROSS JOIN LATERAL (
        SELECT array_agg(session ORDER BY position DESC) AS sessions,
            array_agg(sampled_at_ns ORDER BY position DESC) AS times
        FROM (
            SELECT DISTINCT session, sampled_at_ns, position FROM recorded
            WHERE recorded.line = lines.line AND position >= lines.head - {_INTERVALS}
                AND arrived_at >= newest_at - {_LOOK_BACK}
        ) AS newest
    ) AS spacing
    CROSS JOIN LATERAL (
        SELECT array_agg(sensors ORDER BY session DESC) AS sensors FROM labels
        WHERE labels.line = lines.line
    ) AS labelled
    WHERE lines.agent_id IS NOT NULL AND heard_at IS NOT NULL
"""  # noqa: S608


async def line_states(link: Link) -> list[LineState]:
    """Those of all agents, by agent id."""
    return [_line_state(row) for row in await link.ask(f'{_LINES} ORDER BY agent_id COLLATE "C"')]


async def line_state(link: Link, agent_id: str) -> LineState | None:
    """That of one agent, if there is such."""
    rows = await link.ask(f"{_LINES} AND agent_id = $1", agent_id)
    return _line_state(rows[0]) if rows else None


def _line_state(row: Any) -> LineState:
    return LineState(
        row["agent_id"],
        row["peer"],
        row["oldest_ns"],
        _latest(row),
        _explanation(row),
        standing=standing_of(row),
        certificate_until_ns=row["certificate_until_ns"],
        stream=_event(row["stream_at_ns"], row["stream_kind"], row["stream_text"]),
        begun=_event(row["begun_at_ns"], "begun", row["begun_text"]),
        period_ns=_period_ns([*zip(row["sessions"] or (), row["times"] or (), strict=True)]),
        missing=row["missing"],
        is_rehearsal=row["is_rehearsal"],
        sensors=next(filter(None, map(sensors_of, row["sensors"] or ())), None),
    )


def _latest(row: Any) -> RecordedSample | None:
    return None if row["id"] is None else sample_of(row)


def _explanation(row: Any) -> RecordedExplanation | None:
    if row["said"] is None:
        return None
    return RecordedExplanation(row["said_in"], row["said_of"], row["said_at_ns"], row["said"])


def _event(at_ns: int | None, kind: str, text: str) -> RecordedEvent | None:
    return None if at_ns is None else RecordedEvent(at_ns, EventKind(kind), text)


def _period_ns(times: Sequence[tuple[int, int]]) -> int | None:
    """The shortest interval between samples that follow each other; the newest is first."""
    intervals = [
        newer_ns - older_ns
        for (newer, newer_ns), (older, older_ns) in pairwise(times)
        if newer == older and newer_ns > older_ns
    ]
    return min(intervals, default=None)
