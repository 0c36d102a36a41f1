"""What the console remembers, as its pages get it. Times are Unix ns."""

from dataclasses import dataclass, field
from enum import StrEnum

from broker.recorder.reader import Span

Column = list[float | None]
"""A value for each bucket; None: nothing was measured, or there is no such number."""

MOST_TEXT = 2000
"""Characters of a note."""

ASKED_FOR_RESET = "asked for a reset of the model"
"""The note that stands for a reset, at its time, with the name of the person."""

MOST_NAME = 64
"""Characters of a person's name."""


def _columns() -> list[Column]:
    return [[], [], [], []]


@dataclass(frozen=True, slots=True)
class Series:
    """An agent's samples of a span, in order: each by itself, or folded into buckets."""

    agent_id: str
    level: str
    """"raw", or the width of what was folded, for a person: "10 s"."""
    width_ns: int
    """Of a bucket; 0: each sample by itself."""
    begin_ns: list[int] = field(default_factory=list)
    """Where the bucket begins; when the sample was taken."""
    n: list[int] = field(default_factory=list)
    """Samples."""
    trues: list[int] = field(default_factory=list)
    """How many of them were answered with True."""
    failed: list[list[int]] = field(default_factory=lambda: [[], [], [], []])
    """By channel, how many values are NaN."""
    least: list[Column] = field(default_factory=_columns)
    most: list[Column] = field(default_factory=_columns)
    mean: list[Column] = field(default_factory=_columns)
    """None also where the values are infinite on both sides."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That somebody knows of an alarm."""

    by: str
    at_ns: int
    note: str


class AlarmState(StrEnum):
    """What is to be done about an alarm."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Open, and somebody knows."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RecordedAlarm:
    """True answers of an agent that follow each other; known by the agent and its beginning."""

    agent_id: str
    begun_at_ns: int
    """When its first sample was taken."""
    ended_at_ns: int | None
    """When its last one was; None: the agent's newest answer is True."""
    reason: str
    """The first explanation in it; empty: there is none."""
    samples: int
    acknowledged: Acknowledgement | None

    @property
    def state(self) -> AlarmState:
        """What is to be done about it."""
        if self.ended_at_ns is not None:
            return AlarmState.ENDED
        return AlarmState.ACKNOWLEDGED if self.acknowledged else AlarmState.OPEN


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Which alarms: all that meet each condition."""

    state: AlarmState | None = None
    agent_id: str | None = None
    span: Span = Span()  # noqa: RUF009 - frozen
    """Some part of it lies in this span."""
    behind: tuple[int, str] | None = None
    """It follows the alarm that began at this time, of this agent: the next page."""
    most: int = 200
    is_acknowledged: bool | None = None
    """Whether somebody has taken note of it; None: either."""
    part: str = ""
    """Of the agent's name, in capitals or not."""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a moment of an agent."""

    at_ns: int
    by: str
    text: str
    written_at_ns: int


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, for the audit."""

    at_ns: int
    by: str
    address: str
    verb: str
    subject: str
    detail: str = ""
