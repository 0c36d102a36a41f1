"""What crosses a stage of the agent's pipeline.

Objects that each sample needs are Structs of msgspec, which cost less. The others are dataclasses.
"""

from dataclasses import dataclass, field

from msgspec import Struct

from quartet.channels import Values


@dataclass(frozen=True, slots=True)
class Identity:
    """The name on the broker, for one run of the agent."""

    agent_id: str
    is_rehearsal: bool = False


class Reading(Struct, frozen=True):
    """Four values and when they were taken (Unix ns). No id yet."""

    values: Values
    sampled_at_ns: int


@dataclass(frozen=True, slots=True)
class Session:
    """One start of an agent: its place in their order, a random id (32 hex digits).

    Further its cadence (0 = not paced), and when its first sample was taken (Unix ns).
    """

    sequence: int
    id: str
    period_ns: int
    started_at_ns: int
    sensors: bytes = field(default=b"", compare=False)
    """The labels of its sensors as they are sent; empty: nobody knows them."""


class Sample(Struct, frozen=True):
    """A reading with its place in a session: ids start at 0 and rise by 1."""

    session: Session
    id: int
    values: Values
    sampled_at_ns: int


class Answer(Struct, frozen=True):
    """What the broker said of the sample with this id."""

    id: int
    prediction: bool


class Prediction(Struct, frozen=True):
    """A sample with its answer, and how long the answer took from the send."""

    sample: Sample
    value: bool
    round_trip_ns: int


@dataclass(frozen=True, slots=True)
class Learning:
    """How far the predictor is with learning what is normal, in samples."""

    seen: int
    needed: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the broker says of the predictor's state, behind its latest answer."""

    learning: Learning | None = None
    """None: it does not learn, or does not say so."""
    alarm_since_ns: int | None = None
    """When the first sample of the present alarm was taken (Unix ns); None without an alarm."""
    reason: str = ""
    """Of the alarm; empty: the predictor gives none. Fit for a terminal."""

    @property
    def is_learning(self) -> bool:
        """Whether the predictor does not know yet what is normal."""
        return self.learning is not None and self.learning.seen < self.learning.needed
