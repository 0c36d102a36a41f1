"""Rows of the database, as people ask for them."""

from collections.abc import Callable, Iterable
from typing import Any

from broker.model import Alarm, Learning, Standing
from broker.recorder.reader import RecordedEvent, RecordedSample
from broker.records import EventKind
from wire.sensors import Sensors, decode

VALUES = "sensor1, sensor2, sensor3, sensor4"
ARRIVED = "(extract(epoch FROM arrived_at) * 1000000)::bigint * 1000 AS arrived_at_ns"

SAMPLE = f"""
    SELECT lines.agent_id, coalesce(sessions.id, '') AS session_id, recorded.id, {VALUES},
        sampled_at_ns, {ARRIVED}, recorded.prediction, position, round, recorded.line
    FROM recorded JOIN lines ON lines.line = recorded.line
    LEFT JOIN sessions ON sessions.session = recorded.session
"""  # noqa: S608
EVENT = "SELECT at_ns, kind, text FROM events"


def sample_of(row: Any) -> RecordedSample:
    """A row of SAMPLE."""
    return RecordedSample(
        row["agent_id"],
        row["session_id"],
        row["id"],
        (row["sensor1"], row["sensor2"], row["sensor3"], row["sensor4"]),
        row["sampled_at_ns"],
        row["arrived_at_ns"],
        row["prediction"],
    )


def event_of(row: Any) -> RecordedEvent:
    """A row of EVENT."""
    return RecordedEvent(row["at_ns"], EventKind(row["kind"]), row["text"])


def standing_of(row: Any) -> Standing:
    """A row with the columns of `standings`."""
    learning = alarm = None
    if row["learned"] is not None:
        learning = Learning(row["learned"], row["to_learn"])
    if row["alarm_since_ns"] is not None:
        alarm = Alarm(row["alarm_since_ns"], row["alarm_reason"])
    return Standing(learning, alarm, row["shift"])


def sensors_of(labels: bytes | None) -> Sensors | None:
    """What an agent calls its sensors; None where that is not readable: names alone are lost."""
    try:
        return decode(labels) if labels else None
    except ValueError:
        return None


def once(rows: Iterable[Any], key: Callable[[Any], object]) -> list[Any]:
    """Rows without those that come twice: see the view `recorded`."""
    return [*{key(row): row for row in rows}.values()]


def position_of(row: Any) -> object:
    """What tells a sample from all others, for once()."""
    return row["line"], row["position"]
