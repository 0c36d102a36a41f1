"""Names and units of sensors, as agents tell them: what is none is ignored, never refused."""

import logging
from collections import OrderedDict
from dataclasses import replace

from quartet.foreign import shown
from wire import sensors
from wire.metadata import SENSORS, StreamHeader

log = logging.getLogger(__name__)

# Agents that are remembered as warned about.
_MOST_AGENTS = 4096


class LabelCheck:
    """Looks at the labels of each stream that opens. Loop only."""

    def __init__(self, most_agents: int = _MOST_AGENTS) -> None:
        self._most_agents = most_agents
        self._warned: OrderedDict[str, None] = OrderedDict()

    def checked(self, header: StreamHeader) -> StreamHeader:
        """The header, without labels that cannot be read; an agent is warned about once."""
        if not header.sensors:
            return header
        try:
            sensors.decode(header.sensors)
        except ValueError as error:
            self._warn(header.agent_id, str(error))
            return replace(header, sensors=b"")
        return header

    def _warn(self, agent_id: str, why: str) -> None:
        if agent_id not in self._warned:
            log.warning(
                "%s: its names of sensors are ignored: metadata %s: %s",
                *(agent_id, SENSORS, shown(why)),
            )
        self._warned[agent_id] = None
        self._warned.move_to_end(agent_id)
        if len(self._warned) > self._most_agents:
            self._warned.popitem(last=False)
