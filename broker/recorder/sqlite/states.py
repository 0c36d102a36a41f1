"""Where each line stands: a look at its newest rows."""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

from broker.model import Standing
from broker.recorder.reader import LineState, RecordedExplanation
from broker.recorder.sqlite.events import STANDING_COLUMNS, certificate_of, standing_of
from broker.recorder.sqlite.keeping import REHEARSAL
from broker.recorder.sqlite.rows import (
    EVENT,
    EXPLANATION,
    IS_REHEARSAL,
    LABELS,
    SAMPLE,
    event_of,
    sample_of,
    sensors_of,
)

# Enough to see the spacing of samples also where one interval spans an outage.
_INTERVALS = 5

_LINE = f"SELECT line, agent_id, peer, {IS_REHEARSAL} FROM lines"  # noqa: S608

# In the order of writing, which is that of what happened, whatever the clock says meanwhile.
_LATEST_STREAM = (
    f"{EVENT} WHERE line = ? AND kind IN ('opened', 'ended') ORDER BY event DESC LIMIT 1"
)
_LATEST_BEGUN = f"{EVENT} WHERE line = ? AND kind = 'begun' ORDER BY event DESC LIMIT 1"
_STANDING = f"SELECT certificate_until_ns, {STANDING_COLUMNS} FROM standings WHERE line = ?"  # noqa: S608


def line_states(rows: sqlite3.Connection) -> list[LineState]:
    """Those of all agents, by agent id."""
    lines = rows.execute(f"{_LINE} WHERE agent_id IS NOT NULL ORDER BY agent_id", (REHEARSAL,))
    return [_line_state(rows, *line) for line in lines.fetchall()]


def line_state(rows: sqlite3.Connection, agent_id: str) -> LineState | None:
    """That of one agent, if there is such."""
    line = rows.execute(f"{_LINE} WHERE agent_id = ?", (REHEARSAL, agent_id)).fetchone()
    return _line_state(rows, *line) if line else None


def _line_state(
    rows: sqlite3.Connection, line: int, agent_id: str, peer: str, is_rehearsal: int
) -> LineState:
    oldest, latest, said, standing, stream, begun, missing = (
        rows.execute(query, (line,)).fetchone()
        for query in (
            "SELECT sampled_at_ns FROM samples WHERE line = ? ORDER BY position LIMIT 1",
            f"{SAMPLE} WHERE samples.line = ? ORDER BY position DESC LIMIT 1",
            f"{EXPLANATION} WHERE explanations.line = ? ORDER BY position DESC LIMIT 1",
            *(_STANDING, _LATEST_STREAM, _LATEST_BEGUN),
            "SELECT ifnull(sum(gaps), 0) FROM sessions WHERE line = ?",
        )
    )
    labels = rows.execute(f"{LABELS} WHERE line = ? ORDER BY session DESC", (line,))
    times = rows.execute(
        "SELECT session, sampled_at_ns FROM samples WHERE line = ? ORDER BY position DESC LIMIT ?",
        (line, _INTERVALS + 1),
    ).fetchall()
    return LineState(
        agent_id,
        peer,
        oldest and oldest[0],
        latest and sample_of(latest),
        said and RecordedExplanation(*said),
        standing=standing_of(*standing[1:]) if standing else Standing(),
        certificate_until_ns=certificate_of(*standing[:1]) if standing else None,
        stream=stream and event_of(stream),
        begun=begun and event_of(begun),
        period_ns=_period_ns(times),
        missing=missing[0],
        is_rehearsal=bool(is_rehearsal),
        sensors=next(filter(None, map(sensors_of, labels)), None),
    )


def _period_ns(times: Sequence[tuple[int, int]]) -> int | None:
    """The shortest interval between samples that follow each other; the newest is first."""
    intervals = [
        newer_ns - older_ns
        for (newer, newer_ns), (older, older_ns) in pairwise(times)
        if newer == older and newer_ns > older_ns
    ]
    return min(intervals, default=None)
