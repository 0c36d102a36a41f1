"""How, and how much, a database keeps."""

from dataclasses import dataclass

from broker.recorder.postgres.server import Sync
from broker.records import MOST_REHEARSALS


@dataclass(frozen=True, slots=True)
class FleetKeeping:
    """Bounds of a database. What is beyond them is deleted, or only counted."""

    sync: Sync = "normal"
    replay: int = 10_000
    """The latest samples of a line, from which a black box without a snapshot is rebuilt."""
    max_age_days: float = 30.0
    """Samples go by the day, once all of a day is older."""
    rehearsals: int = MOST_REHEARSALS
    """Simulations without a stream. They go as a whole."""
    plain_lines: int = 1000
    """Streams of plain peers: enough to look at what came in lately."""
    sessions: int = 1000
    """Of one line."""
    labels: int = 100
    """Of one line: sessions of which it is kept what their sensors are called."""
    events: int = 100
    """Of one line, and of each kind: those of its streams, and those of its predictor."""
    gaps: int = 1000
    """Named in one session."""
