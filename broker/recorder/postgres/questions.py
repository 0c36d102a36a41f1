"""What the recorder is asked, each on a connection of the pool."""

from collections.abc import Sequence

from broker.model import Answer, Sample
from broker.recorder.postgres.link import Link
from wire.metadata import StreamHeader

# As many samples are read at a time as are replayed in some milliseconds.
_CHUNK = 500

_ANSWERS = """
    SELECT DISTINCT recorded.id, prediction FROM recorded
    WHERE session = (
            SELECT session FROM lines JOIN sessions USING (line)
            WHERE agent_id = $1 AND sessions.id = $2
        ) AND recorded.id >= $3 AND recorded.id < $4
    ORDER BY recorded.id
"""

_SAMPLES = """
    SELECT position, id, sensor1, sensor2, sensor3, sensor4 FROM recorded
    WHERE line = (SELECT line FROM lines WHERE agent_id = $1) AND position > $2
    ORDER BY position LIMIT $3
"""


async def answers(link: Link, header: StreamHeader, first_id: int, count: int) -> list[Answer]:
    """The recorded answers to `count` ids of a session, from `first_id` on."""
    rows = await link.ask(_ANSWERS, header.agent_id, header.session_id, first_id, first_id + count)
    return [Answer(row["id"], row["prediction"]) for row in rows]


async def samples(link: Link, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
    """The next samples of a line behind a position, with theirs."""
    rows = await link.ask(_SAMPLES, agent_id, after, _CHUNK)
    found = {position: Sample(id_, tuple(values)) for position, id_, *values in rows}
    return [*found.items()]
