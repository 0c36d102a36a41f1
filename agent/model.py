"""What crosses a stage of the agent's pipeline."""

from dataclasses import dataclass

from quartet.channels import Values


@dataclass(frozen=True, slots=True)
class Reading:
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


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading with its place in a session: ids start at 0 and rise by 1."""

    session: Session
    id: int
    values: Values
    sampled_at_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker said of the sample with this id."""

    id: int
    prediction: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """A sample with its answer, and how long the answer took from the send."""

    sample: Sample
    value: bool
    round_trip_ns: int
