"""How, and how much, a store keeps."""

from dataclasses import dataclass

from broker.records import MOST_REHEARSALS
from quartet.database import Synchronous

CUT = "cut"
"""The name of a command that nobody gave: up to its position, samples that a black box would be
rebuilt from were deleted."""

REHEARSAL = "rehearsal"
"""The name of another one: the agent is a simulation, whose line nobody needs later. It is
written with the line, and goes with it."""

NOBODY = "nobody"
"""In place of an address, in a line that is being erased."""

UNKNOWN = "unknown"
"""The same, in a line whose own row was lost."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Bounds of a store. What is beyond them is deleted, or only counted."""

    synchronous: Synchronous = "normal"
    """normal: a commit survives the broker's death; full: also that of the machine."""
    replay: int = 10_000
    """The latest samples of a line, from which a black box without a snapshot is rebuilt."""
    max_age_days: float = 30.0
    max_bytes: int = 1 << 30
    rehearsals: int = MOST_REHEARSALS
    """Simulations without a stream. They go as a whole, and before anything of an agent does."""
    plain_lines: int = 1000
    """Streams of plain peers: enough to look at what came in lately."""
    empty_lines: int = 1000
    """Lines of agents of which nothing is left but the last ids of their sessions."""
    sessions: int = 1000
    """Of one line: of an agent that restarts every hour, those of six weeks. The last ids of
    more, to be told from new ones, nobody will send again."""
    labels: int = 100
    """Of one line: sessions of which it is kept what their sensors are called."""
    events: int = 100
    """Of one line, and of each kind: those of its streams, and those of its predictor."""
    gaps: int = 1000
    """Named in one session: an agent that leaves out every other id would have one for each
    sample; from here on they are only counted."""
