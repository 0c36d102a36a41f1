"""Where an agent's messages are on an MQTT server, and under which ids. Pure."""

from dataclasses import dataclass
from enum import StrEnum

ONLINE = b"online"
OFFLINE = b"offline"
"""What is at a topic `status`. Home Assistant uses the same two words for itself."""

# Home Assistant takes letters, digits, - and _ in an id.
_ESCAPES = {"/": "_", "-": "--", "_": "-u", ".": "-d"}


class Side(StrEnum):
    """Who tells of an agent. Both may do so on one server: they share no topic and no id."""

    AGENT = "agent"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one agent below `prefix`, as one side tells of it.

    The prefix and the agent id have only letters, digits, `-`, `_` and `.`; the prefix also `/`.
    """

    prefix: str
    side: Side
    agent_id: str

    @property
    def state(self) -> str:
        """Of the state document."""
        return f"{self._root}/state"

    @property
    def status(self) -> str:
        """Of "online" or "offline"."""
        return f"{self._root}/status"

    @property
    def check(self) -> str:
        """Where a check tries to publish. Nothing is kept there."""
        return f"{self._root}/check"

    @property
    def key(self) -> str:
        """An id of letters, digits, `-` and `_`: another one for each other agent and prefix."""
        return escaped(self._root)

    def discovery(self, discovery_prefix: str) -> str:
        """Of the document that tells Home Assistant which entities there are."""
        return f"{discovery_prefix}/device/{self.key}/config"

    @property
    def _root(self) -> str:
        return f"{self.prefix}/{self.side}/{self.agent_id}"


def escaped(text: str) -> str:
    """A topic as an id of letters, digits, `-` and `_`. No two topics give the same one."""
    return "".join(_ESCAPES.get(character, character) for character in text)
