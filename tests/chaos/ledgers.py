"""What `agent ledger --json` and `broker ledger --json` print, as far as the verdict needs it."""

import re

import msgspec

Runs = list[tuple[int, int]]

UNKNOWN = "unknown"
"""Begins the reasons in the agent's books for which a sample may stay without prediction here."""

UNANSWERABLE = "unanswerable"
"""The reason for samples that the broker refused."""

_JUMPS = re.compile(r"; the agent left out (\d+) of them$")
_IDS = re.compile(r"\b(\d+)(?:\.\.(\d+))?")


class Ids(msgspec.Struct):
    """Some ids: how many, and those that are named."""

    count: int
    runs: Runs


class Entry(msgspec.Struct):
    """What the agent says of a session."""

    session_id: str
    sequence: int
    sampled: int
    answered: int
    waiting: int
    waiting_ids: Runs
    fates: dict[str, Ids]
    power_lost: bool
    done_below: int = 0

    @property
    def difference(self) -> int:
        """Number of samples without a fate, but for one that had only just its id."""
        without = sum(ids.count for ids in self.fates.values())
        return self.sampled - self.answered - self.waiting - without

    def balances(self, *, is_disk_there: bool) -> bool:
        """Whether each sample has a fate, but for those that only the disk's file can tell of.

        It has the oldest: those before all that wait in the RAM directory.
        """
        waits_from = min((first for first, _ in self.waiting_ids), default=self.sampled)
        on_disk = 0 if is_disk_there else waits_from - self.done_below
        return 0 <= self.difference <= on_disk

    @property
    def excused(self) -> Ids:
        """The samples that, by these books, were lost in a way that nobody could help."""
        found = [ids for fate, ids in self.fates.items() if fate.startswith(UNKNOWN)]
        return Ids(sum(ids.count for ids in found), [run for ids in found for run in ids.runs])


class Difference(msgspec.Struct):
    """What one side has and the other has not."""

    session_id: str
    text: str
    contradiction: bool

    @property
    def ids(self) -> set[int]:
        """Those that the text names."""
        named = self.text.rpartition(": ")[2]
        return ids_in([(int(m[1]), int(m[2] or m[1])) for m in _IDS.finditer(named)])


class AgentLedger(msgspec.Struct):
    """The agent's; with differences where it was compared."""

    balanced: bool
    sessions: list[Entry]
    differences: list[Difference] = []
    damaged: list[str] = []
    """Files that it could not read, before an agent has mended them."""


class BrokerEntry(msgspec.Struct):
    """What the broker says of a session."""

    agent_id: str
    session_id: str
    first_id: int | None
    last_id: int | None
    received: int
    answered: int
    duplicates: int
    gaps: int
    missing: Runs


class Loss(msgspec.Struct):
    """Records that a repair could not read. None: nobody can tell."""

    agent_id: str | None
    session_id: str | None
    first: int | None
    last: int | None
    at_ns: int
    why: str = ""

    @property
    def jumps(self) -> int:
        """The number of these ids that had no record before: a repair could not tell which."""
        match = _JUMPS.search(self.why)
        return int(match[1]) if match else 0

    @property
    def ids(self) -> range:
        """Those that are lost, as far as they are known."""
        return range(self.first or 0, (-1 if self.last is None else self.last) + 1)


class BrokerLedger(msgspec.Struct):
    """The broker's."""

    sessions: list[BrokerEntry]
    losses: list[Loss] = []


def ids_in(runs: Runs) -> set[int]:
    """All ids of some runs."""
    return {id_ for first, last in runs for id_ in range(first, last + 1)}
