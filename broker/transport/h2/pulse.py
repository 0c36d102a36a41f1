"""Whether the peer of a connection is still there, and wants something."""

from enum import Enum

# Who connects and says nothing, or has no call any more, goes; an agent always has one.
_GREETING_S = 10.0
_IDLE_S = 300.0

# Agents ping every 20 s, idle or not. Ours find peers that vanished without a word.
_PING_AFTER_S = 60.0
_PONG_S = 20.0


class Step(Enum):
    """What is to be done about a connection."""

    NOTHING = 0
    PING = 1
    STOP = 2
    """Say that it is over: nobody needs it."""
    ABORT = 3
    """Nobody is there."""


class Pulse:
    """Knows when something was heard, and when there was a call last."""

    def __init__(self, now_s: float) -> None:
        self.heard_s = now_s
        """When bytes came last."""
        self._busy_s = now_s
        self._pinged_s: float | None = None
        self.is_greeted = False
        """Whether the peer has said that it speaks HTTP/2."""

    def look(self, now_s: float, *, is_busy: bool) -> Step:
        """What is to be done now; busy: it has a call."""
        if is_busy:
            self._busy_s = now_s
        if self._pinged_s is not None and self.heard_s > self._pinged_s:
            self._pinged_s = None
        if not self.is_greeted:
            return Step.ABORT if now_s - self._busy_s >= _GREETING_S else Step.NOTHING
        if self._pinged_s is not None:
            return Step.ABORT if now_s - self._pinged_s >= _PONG_S else Step.NOTHING
        if now_s - self._busy_s >= _IDLE_S:
            return Step.STOP
        if now_s - self.heard_s >= _PING_AFTER_S:
            self._pinged_s = now_s
            return Step.PING
        return Step.NOTHING
