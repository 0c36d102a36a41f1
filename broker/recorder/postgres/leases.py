"""The leases that this broker has, and what it knows of their lines. Loop only."""

from weakref import WeakKeyDictionary, WeakValueDictionary

from broker.errors import RecordError
from broker.recorder.postgres.held import Held
from broker.records import Lease


class Leases:
    """By agent id, and by lease: as long as somebody has it."""

    def __init__(self) -> None:
        self._by_agent: WeakValueDictionary[str, Lease] = WeakValueDictionary()
        self._held: WeakKeyDictionary[Lease, Held] = WeakKeyDictionary()

    def good(self, agent_id: str) -> Lease | None:
        """The one of an agent, if nothing has voided it."""
        lease = self._by_agent.get(agent_id)
        return lease if lease and lease.is_good and lease in self._held else None

    def of_agent(self, agent_id: str) -> Held | None:
        """What is known of an agent's line, if the lease is good."""
        lease = self.good(agent_id)
        return self._held[lease] if lease else None

    def add(self, agent_id: str | None, lease: Lease, held: Held) -> None:
        """Have one; a plain peer's has no agent id."""
        if agent_id is not None:
            self._by_agent[agent_id] = lease
        self._held[lease] = held

    def held(self, lease: Lease) -> Held | None:
        """What is known of its line; None: a plain peer's, of which nothing is recorded."""
        return self._held.get(lease)

    def fail(self, agent_id: str, error: RecordError) -> None:
        """Void the one of an agent."""
        if lease := self._by_agent.pop(agent_id, None):
            lease.fail(error)
