"""What happens to an agent, or to the records of all."""

from dataclasses import dataclass
from enum import StrEnum

from wire.sensors import Sensors


class Kind(StrEnum):
    """What happened."""

    ALARM_BEGUN = "alarm_begun"
    ALARM_CHANGED = "alarm_changed"
    """The predictor blames another sensor than before, or says that only a reset ends it."""
    ALARM_ENDED = "alarm_ended"
    AGENT_SILENT = "agent_silent"
    """No sample for a while, although a broker runs."""
    AGENT_BACK = "agent_back"
    CERTIFICATE_EXPIRES = "certificate_expires"
    """Soon, or it has: told 30 days, 7 days and 1 day ahead, and at the end."""
    RECORDER_FAILS = "recorder_fails"
    """No broker runs, nothing is recorded, or the store cannot be read."""
    RECORDER_WORKS = "recorder_works"


FORGOTTEN = "the agent was forgotten"
"""The reason of an alarm's end by 'broker forget': nothing is over at the machine."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Times are Unix ns. Text is as it came: escape it."""

    kind: Kind
    agent_id: str
    """Empty: it is of the records, and not of one agent."""
    at_ns: int
    """When: of an alarm by the agent's clock, of all else by the broker's. Of a certificate, when
    it expires."""
    known_at_ns: int
    """When it was on record at the latest: of a backlog, long after `at_ns`."""
    reason: str = ""
    """Why, in the words of the predictor or the broker; empty: nobody says."""
    alarm_ns: int | None = None
    """When the alarm began: with the agent it names the alarm. None: it is of no alarm."""
    sensors: Sensors | None = None
    """What people call the agent's sensors; None: nobody told."""
    waits_for_person: bool = False
    """Whether the alarm stays until a person resets the predictor."""
    lasted_ns: int | None = None
    """Of an end: how long the alarm, the silence or the failure was."""

    days_left: int | None = None
    """Of a certificate: of the days at which it is told, the one that has come."""

    @property
    def key(self) -> str:
        """The same for the same event, also after a restart; of no other one."""
        parts = (self.kind, self.agent_id, self.at_ns, self.alarm_ns, self.days_left)
        return "/".join("" if part is None else str(part) for part in parts)
