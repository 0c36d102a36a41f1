"""What crosses the stages of the broker."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from quartet.channels import Values


class Sample(NamedTuple):
    """Four values with their id. A value that is NaN is a reading that failed."""

    id: int
    values: Values


class Answer(NamedTuple):
    """The prediction for the sample with this id."""

    id: int
    prediction: bool


class Code(Enum):
    """How a call ends, by the names and numbers of google.rpc.Code."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a call ends, as its peer is told."""

    code: Code
    reason: str = ""
    trailing: tuple[tuple[str, str], ...] = ()
    """Trailing metadata."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sample that ends its stream."""

    sample_id: int
    code: Code
    reason: str
    cause: BaseException | None = None
    """What the black box raised."""

    def __str__(self) -> str:
        return f"sample {self.sample_id}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Learning:
    """How far a predictor is with learning, in samples."""

    seen: int
    needed: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A run of answers that are True."""

    since_ns: int
    """When its first sample was taken, in Unix ns."""
    reason: str = ""
    """What the predictor said first; empty: nothing."""


class Standing(NamedTuple):
    """How a line stands after its latest answer."""

    learning: Learning | None = None
    """None: the predictor does not learn, or does not say so."""
    alarm: Alarm | None = None
    shift: str | None = None
    """How far the level that the predictor has accepted is off the first one, in its words; None:
    not at all, or it does not say so."""
