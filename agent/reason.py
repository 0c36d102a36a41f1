"""Why a broker is not reached: how far the connection came, and what to do. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from agent.errors import AgentError

CLOSED = ("Socket closed", "Connection reset by peer", "Broken pipe")
"""How gRPC says that the other side closed the connection."""


class Stage(IntEnum):
    """Where a connection ended, in the order in which it is made."""

    NAME = 1
    CONNECT = 2
    TLS = 3
    HTTP2 = 4
    SERVICE = 5
    ADMISSION = 6


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in words, and what to do."""

    stage: Stage
    text: str
    remedy: str
    is_late: bool = False
    """Whether it was only waited for, and may have come later."""


class UnreachedError(AgentError):
    """A broker that is not reached, for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason
