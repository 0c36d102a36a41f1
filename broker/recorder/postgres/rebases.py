"""The rebase commands that wait, known without a look at the database. Loop only."""

from broker.recorder.postgres import commands
from broker.recorder.postgres.link import Link
from broker.records import Lease


class Rebases:
    """What look() found, and what is newer than that."""

    def __init__(self) -> None:
        self._pending: dict[str, int] = {}
        self._claimed: dict[str, int] = {}
        self._applied: dict[str, tuple[int, Lease]] = {}

    def pending(self, agent_id: str) -> int:
        """The newest command of an agent that is not applied; 0: there is none."""
        command = self._pending.get(agent_id, 0)
        applied, lease = self._applied.get(agent_id, (0, None))
        return 0 if lease and lease.is_good and command <= applied else command

    def claimed(self, agent_id: str, command: int) -> None:
        """A claim has seen which one waits: another broker may have applied it just now."""
        self._pending[agent_id] = self._claimed[agent_id] = command

    def applied(self, agent_id: str, command: int, lease: Lease) -> None:
        """One is applied, if the batch with it is recorded: otherwise its lease fails."""
        self._applied[agent_id] = command, lease

    async def look(self, link: Link) -> None:
        """Find those that people have given since; claims meanwhile know better."""
        self._claimed = {}
        found = await commands.rebases(link)
        self._pending = {**found, **self._claimed}
        kept = self._applied.items()
        self._applied = {agent_id: each for agent_id, each in kept if each[1].is_good}
