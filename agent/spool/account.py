"""What became of each sample of a session, in numbers, and by id where that is short to say."""

from enum import StrEnum

import msgspec

from agent.model import Session
from agent.spool import runs
from agent.spool.runs import Runs

EARLIER = "earlier"
"""In place of a session id: the sum of the sessions that are too old to be listed one by one."""

# A spool that drops and keeps by turns would name every other id for ever; from
# here on it only counts.
_MOST_RANGES = 1000


class Fate(StrEnum):
    """Why a sample stays without prediction."""

    FULL = "dropped (spool full)"
    REFUSED = "dropped (refused, spool full)"
    STALLED = "dropped (disk too slow)"
    UNANSWERABLE = "unanswerable"
    DAMAGED = "unknown (damaged file)"
    CRASHED = "unknown (in memory alone at a crash)"


class Ids(msgspec.Struct):
    """Some ids of a session: how many, and the first and last of each run of them."""

    count: int = 0
    runs: list[tuple[int, int]] = msgspec.field(default_factory=list)

    def add(self, first: int, last: int) -> None:
        """Count more ids; they come in rising order, or nearly so."""
        self.count += last - first + 1
        if self.runs and self.runs[-1][1] == first - 1:
            self.runs[-1] = self.runs[-1][0], last
        elif len(self.runs) < _MOST_RANGES:
            self.runs.append((first, last))


class Account(msgspec.Struct):
    """The fates of a session's samples. `sampled` is also the next id."""

    sampled: int = 0
    answered: int = 0
    done_below: int = 0
    """Ids below this are done with."""
    fates: dict[Fate, Ids] = msgspec.field(default_factory=dict)
    ended: bool = False
    power_lost: bool = False
    """The power failed: more samples may have been taken than `sampled` counts."""

    @property
    def waiting(self) -> int:
        """Number of samples that the spool must still hold."""
        return self.sampled - self.answered - sum(ids.count for ids in self.fates.values())

    def add(self, fate: Fate, first: int, last: int) -> None:
        """Book samples that stay without prediction."""
        self.fates.setdefault(fate, Ids()).add(first, last)

    def lose(self, count: int, left: Runs) -> None:
        """Book samples that a damaged file took along; `left` are the ids that it still has.

        They are named where no other ids can be meant: of those that were answered since,
        only the number is known.
        """
        named = (ids.runs for ids in self.fates.values())
        missing = runs.minus([(self.done_below, self.sampled - 1)], runs.union(left, *named))
        ids = self.fates.setdefault(Fate.DAMAGED, Ids())
        if runs.size(missing) == count:
            for first, last in missing:
                ids.add(first, last)
        else:
            ids.count += count

    def is_open(self, id_: int) -> bool:
        """Whether a sample may still be kept: it was taken, and is not known to be settled."""
        named = (run for ids in self.fates.values() for run in ids.runs)
        return self.done_below <= id_ < self.sampled and not any(
            first <= id_ <= last for first, last in named
        )

    def take_back(self, found: Runs) -> None:
        """Samples that were booked as damaged, by their ids, are there after all."""
        if lost := self.fates.get(Fate.DAMAGED):
            again = runs.common(lost.runs, found)
            lost.runs = runs.minus(lost.runs, again)
            lost.count -= runs.size(again)

    def find_again(self, count: int) -> None:
        """Book samples that wait although they were booked as lost, or else as answered."""
        if lost := self.fates.get(Fate.DAMAGED):
            found = min(count, lost.count - runs.size(lost.runs))
            lost.count -= found
            count -= found
        self.answered -= count

    def add_up(self, other: "Account") -> None:
        """Add what another session's account says; ids mean nothing in the sum."""
        self.sampled += other.sampled
        self.answered += other.answered
        for fate, ids in other.fates.items():
            self.fates.setdefault(fate, Ids()).count += ids.count


Sessions = list[tuple[Session, Account]]
