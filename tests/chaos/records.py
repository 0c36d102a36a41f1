"""What the broker has on record, and by which fault something may be missing there."""

import struct
from typing import NamedTuple

from chaos.times import LONGEST_SILENCE_S, MARGIN_S

VALUES = struct.Struct("<4f")

_NS = 1_000_000_000


class Key(NamedTuple):
    """A sample of one agent, over all its sessions."""

    session_id: str
    id: int


class Logging(NamedTuple):
    """A prediction as the agent logged it once."""

    prediction: bool
    sampled_at_ns: int
    logged_at_ns: int
    """By a clock that no fault steps."""
    start: int = 0
    """The number of the agent's start that logged it."""


class Recorded(NamedTuple):
    """A sample as the broker has it on record."""

    key: Key
    values: bytes
    sampled_at_ns: int
    prediction: bool
    arrived_at_ns: int


class Taken(NamedTuple):
    """A fault that took records from the store. Times are Unix ns."""

    since_ns: int
    """Records from before then are not missing: a backup has them. 0: any may be."""
    told_ns: int
    """When it was told, by the broker or to the operator: no answer without record left later."""

    def may_lack(self, logged_at_ns: int) -> bool:
        """Whether the record of a prediction that was logged then may be missing.

        An answer is logged later than it leaves, by a link that is slow or an agent that is frozen.
        """
        since_ns = self.since_ns - round(MARGIN_S * _NS) if self.since_ns else 0
        return since_ns <= logged_at_ns <= self.told_ns + round(LONGEST_SILENCE_S * _NS)
