"""What became of each sample that reached the broker, by agent and session."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from broker.recorder.reader import Accounts, PlainAccount, SessionAccount
from quartet.columns import aligned
from quartet.plural import counted

# Of what to_json() gives; raised when a reader of this one would misread it.
_SCHEMA = 1

# Of a session's id, in the text: as many as `agent ledger` shows.
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Ledger:
    """All accounts, for people and for programs."""

    accounts: Accounts

    def problems(self) -> list[str]:
        """What does not balance, session by session."""
        return [
            f"{account.agent_id}, session {account.session_id}: does not balance: {found}"
            for account in self.accounts.sessions
            if (found := problem(account))
        ]

    def to_json(self) -> str:
        """For programs."""
        accounts = self.accounts
        tree = {
            "schema": _SCHEMA,
            "sessions": accounts.sessions,
            "plain": accounts.plain,
            "losses": accounts.losses,
        }
        return msgspec.json.encode(tree).decode()

    def to_text(self) -> str:
        """For people."""
        agents = [each for each in self.accounts.sessions if not each.is_rehearsal]
        rows = [
            (
                *(account.agent_id, account.session_id[:_SHORT], _shown(account.first_id)),
                *(_shown(account.last_id), str(account.received), str(account.answered)),
                *(str(account.duplicates), str(account.refused), str(account.gaps)),
            )
            for account in agents
        ]
        rehearsals = [each for each in self.accounts.sessions if each.is_rehearsal]
        plain = self.accounts.plain
        lines = [
            *(aligned([_HEAD, *rows], names=2) if rows else ()),
            *(_without_metadata(plain) if plain.streams else ()),
            *(_rehearsed(rehearsals) if rehearsals else ()),
            *(f"record lost: {loss}" for loss in self.accounts.losses),
        ]
        return "\n".join(lines or ["no sessions"])


_HEAD = (
    *("agent", "session", "first id", "last id"),
    *("received", "answered", "duplicates", "refused", "gaps"),
)


def problem(account: SessionAccount) -> str:
    """What does not balance, or nothing."""
    fates = account.answered + account.duplicates + account.refused
    if account.received != fates:
        return f"{account.received} received, but {fates} answered, duplicate or refused"
    passed = 0
    if account.first_id is not None and account.last_id is not None:
        passed = account.last_id - account.first_id + 1
    if (known := account.answered + account.gaps) != passed:
        return f"{passed} ids from {account.first_id} to {account.last_id}, but {known} are counted"
    return ""


def _without_metadata(plain: PlainAccount) -> Iterator[str]:
    streams = counted(plain.streams, "stream")
    yield (
        f"without agent metadata: {streams}, {plain.received} received, {plain.answered} answered"
    )


def _rehearsed(accounts: Sequence[SessionAccount]) -> Iterator[str]:
    """One line for all simulations: each has a name of its own, and nobody needs it later."""
    received = sum(account.received for account in accounts)
    answered = sum(account.answered for account in accounts)
    sessions = counted(len(accounts), "session")
    yield f"rehearsals: {sessions}, {received} received, {answered} answered"


def _shown(id_: int | None) -> str:
    return "-" if id_ is None else str(id_)
