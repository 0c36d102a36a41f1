"""What is done to the records as a whole: check, repair, back up, restore."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

IdRange = tuple[int, int]
"""The first and the last of ids that follow each other."""

# More than a person reads; a program gets them all.
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a store. Where it concerns samples: whose, and which."""

    what: str
    remedy: str
    agent_id: str | None = None
    session_id: str | None = None
    ids: Sequence[IdRange] = ()

    def __str__(self) -> str:
        return f"{whose(self.agent_id, self.session_id, self.ids)}{self.what}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Loss:
    """Samples that were answered, and whose records are lost. The ids are those they had."""

    agent_id: str | None
    """None: nobody can tell."""
    session_id: str | None
    first: int | None
    last: int | None
    why: str
    at_ns: int
    """When the loss was found, in Unix ns."""

    def __str__(self) -> str:
        known = self.first is not None and self.last is not None
        ids = [(self.first, self.last)] if known else []
        return f"{whose(self.agent_id, self.session_id, ids)}{self.why}"  # type: ignore[arg-type]


@dataclass(slots=True)
class Findings:
    """What a check has found."""

    problems: list[Problem] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    """What former repairs and restores could not bring back. No problem: it is in the books."""
    samples: int = 0
    unverified: int = 0
    """Samples without a checksum, from an older version."""
    snapshots: int = 0
    is_counted: bool = True
    """False: the damage kept the check from counting what is there."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair has done."""

    aside: Path | None
    """Where the damaged file is now; None: nothing was damaged."""
    samples: int = 0
    losses: Sequence[Loss] = ()
    notes: Sequence[str] = ()
    """What else could not be kept, or had to be rebuilt."""
    answered: int = 0
    """What the counters of the agents' sessions say, as far as these could be read."""
    on_record: int = 0
    """Samples of these sessions that the new store has."""
    missing: int = 0
    """Answered, and not on record: pruned or lost."""
    booked: int = 0
    """Of the missing: what former repairs have booked as lost."""
    is_sure: bool = True
    """False: sessions, or losses that were booked before, may be missing as well."""

    @property
    def is_complete(self) -> bool:
        """Whether it is certain that no sample was lost."""
        return self.is_sure and not self.losses and self.missing <= self.booked


@dataclass(frozen=True, slots=True)
class Newest:
    """Where a session ends in a copy."""

    agent_id: str
    session_id: str
    last_id: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made."""

    path: Path
    bytes: int
    newest: Sequence[Newest]
    """The last session of each agent."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A store that was restored."""

    aside: Path | None
    """Where the former store is now; None: there was none."""
    lacks: Sequence[Problem]
    """Samples that the former store has and this one has not, by session."""
    unknown: str = ""
    """Why nobody can tell all that it lacks; empty: the above is all."""


class Upkeep(Protocol):
    """Each blocks for as long as it takes, and raises StoreError."""

    def check(self) -> Findings:
        """Look at everything, beside a running broker or without one. Writes nothing."""
        ...

    def repair(self) -> Repair:
        """Make a new store of all that is readable and verifies. InUseError: a broker runs."""
        ...

    def backup(self, to: Path) -> Backup:
        """Copy one state of the store, also of a running broker, to a file that is not there."""
        ...

    def restore(self, backup: Path) -> Restored:
        """Put a backup into the place of the store. InUseError: a broker runs."""
        ...


def ranges(ids: Iterable[int]) -> list[IdRange]:
    """Ids that rise, as ranges."""
    found: list[IdRange] = []
    for id_ in ids:
        if found and found[-1][1] == id_ - 1:
            found[-1] = found[-1][0], id_
        else:
            found.append((id_, id_))
    return found


def union(*sets: Iterable[IdRange]) -> list[IdRange]:
    """What is in any of them."""
    found: list[IdRange] = []
    for first, last in sorted(each for some in sets for each in some):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def without(whole: Iterable[IdRange], gone: Sequence[IdRange]) -> list[IdRange]:
    """What is in the ranges, and not in others that rise."""
    left: list[IdRange] = []
    for begin, last in whole:
        first = begin
        for gone_first, gone_last in gone:
            if gone_last < first or gone_first > last:
                continue
            if gone_first > first:
                left.append((first, gone_first - 1))
            first = gone_last + 1
        if first <= last:
            left.append((first, last))
    return left


def whose(agent_id: str | None, session_id: str | None, ids: Sequence[IdRange]) -> str:
    """The begin of a line about these samples; empty where it is about none."""
    parts = [agent_id] if agent_id is not None else []
    if session_id is not None:
        parts.append(f"session {session_id}")
    if ids:
        shown = ", ".join(f"{first}..{last}" for first, last in ids[:_MOST_SHOWN])
        more = len(ids) - _MOST_SHOWN
        parts.append(f"samples {shown}" + (f" and {more} ranges more" if more > 0 else ""))
    return f"{', '.join(parts)}: " if parts else ""
