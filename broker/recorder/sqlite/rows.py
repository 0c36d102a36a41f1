"""Rows of the store, as people ask for them."""

import struct
from typing import Any

from broker.recorder.reader import RecordedEvent, RecordedSample
from broker.recorder.sqlite.checksums import LABELS_COLUMNS, SENSORS, labels_verify
from broker.records import EventKind
from quartet.errors import DamagedError
from wire.sensors import Sensors, decode

SAMPLE = (
    "SELECT lines.agent_id, ifnull(sessions.id, ''), samples.id, sensors, sampled_at_ns,"
    " arrived_at_ns, prediction, position FROM samples JOIN lines ON lines.line = samples.line"
    " LEFT JOIN sessions ON sessions.session = samples.session"
)
EXPLANATION = (
    "SELECT ifnull(sessions.id, ''), explanations.id, sampled_at_ns, text FROM explanations"
    " JOIN samples USING (position)"
    " LEFT JOIN sessions ON sessions.session = explanations.session"
)
IS_REHEARSAL = (
    "EXISTS (SELECT 1 FROM commands WHERE commands.agent_id = lines.agent_id AND name = ?)"
)
"""Of a row of `lines`; takes the name of the command that marks one."""
LABELS = f"SELECT {LABELS_COLUMNS} FROM labels"  # noqa: S608
EVENT = "SELECT at_ns, CAST(kind AS BLOB), CAST(text AS BLOB) FROM events"


def sensors_of(row: tuple[Any, ...]) -> Sensors | None:
    """A row of LABELS; None where it is not whole: names alone are lost then."""
    if not labels_verify(row):
        return None
    try:
        return decode(row[2])
    except ValueError:
        return None


def sample_of(row: tuple[Any, ...]) -> RecordedSample:
    """A row of SAMPLE."""
    agent_id, session_id, id_, sensors, sampled_at_ns, arrived_at_ns, prediction, _ = row
    try:
        values = SENSORS.unpack(sensors)
    except (struct.error, TypeError) as error:
        raise DamagedError(f"sample {id_} of {agent_id} is damaged: {error}") from error
    return RecordedSample(
        agent_id, session_id, id_, values, sampled_at_ns, arrived_at_ns, bool(prediction)
    )


def event_of(row: tuple[Any, ...]) -> RecordedEvent:
    """A row of EVENT."""
    at_ns, kind, text = row
    try:
        return RecordedEvent(int(at_ns), EventKind(kind.decode()), text.decode())
    except (ValueError, TypeError) as error:
        raise DamagedError(f"an event is damaged: {error}") from error
