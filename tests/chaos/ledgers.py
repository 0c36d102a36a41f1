"""What `agent ledger --json` and `broker ledger --json` print, as far as the verdict needs it."""

import msgspec

Runs = list[tuple[int, int]]

DAMAGED = "unknown (damaged file)"
CRASHED = "unknown (in memory alone at a crash)"
EXCUSES = {DAMAGED, CRASHED}
"""The reasons in the agent's books for which a sample may stay without prediction here."""


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


class Difference(msgspec.Struct):
    """What one side has and the other has not."""

    session_id: str
    text: str
    contradiction: bool


class AgentLedger(msgspec.Struct):
    """The agent's; with differences where it was compared."""

    balanced: bool
    sessions: list[Entry]
    differences: list[Difference] = []
    damaged: list[str] = []
    """Files that it could not read, before an agent has mended them."""


class BrokerEntry(msgspec.Struct):
    """What the broker says of a session."""

    session_id: str
    first_id: int | None
    received: int
    answered: int
    duplicates: int
    gaps: int
    missing: Runs


class BrokerLedger(msgspec.Struct):
    """The broker's."""

    sessions: list[BrokerEntry]


def ids_in(runs: Runs) -> set[int]:
    """All ids of some runs."""
    return {id_ for first, last in runs for id_ in range(first, last + 1)}
