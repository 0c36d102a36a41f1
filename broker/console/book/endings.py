"""Alarms that no answer ends: of a simulation that is over, and where a person has reset."""

from collections.abc import Sequence

from broker.feed.endings import is_over
from broker.recorder.reader import Reader

# Lines that are looked at in one go.
_MOST = 20


class Endings:
    """Looks at the lines in alarm, some after the others. One task at a time."""

    def __init__(self) -> None:
        self._asked = 0

    async def find(self, reader: Reader, agents: Sequence[str], now_ns: int) -> list[str]:
        """Those of some agents in alarm whose alarm is over. StoreError."""
        begin = self._asked % len(agents) if agents else 0
        some = agents[begin : begin + _MOST]
        self._asked = begin + len(some)
        lines = [await reader.line(agent_id) for agent_id in some]
        return [line.agent_id for line in lines if line and is_over(line, now_ns)]
