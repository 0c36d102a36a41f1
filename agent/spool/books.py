"""All sessions with their accounts, as the ledger will show them."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.model import Session
from agent.spool.account import Account, Fate
from agent.spool.tier import BEFORE_ALL, Key

Sessions = list[tuple[Session, Account]]

# Of a device that restarts every hour, six weeks can be told by session; what is
# older is told as one sum.
_MOST_SESSIONS = 1000

EARLIER = "earlier"
"""Stands in place of a session id for the sum of what is not told by session any more."""


@dataclass(slots=True)
class Entry:
    """A session with its account, and with what of it the cold tier knows."""

    session: Session
    account: Account
    cold: Account
    """The account of ids up to `Books.moved` alone: it balances with the rows of the cold tier."""


class Books:
    """Keeps the accounts, and which of them each tier has not heard of. Disk thread."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._unwritten: set[int] = set()  # in the hot tier
        self._unmoved: set[int] = set()  # to the cold tier
        self._last_stray = 0
        self._settled: set[int] = set()  # of which the cold tier has rows that are done with
        self.moved = BEFORE_ALL
        """The last key that may be in the cold tier; later ones are in the hot one alone."""
        self.first_place: int | None = None
        """Where the sessions of this start begin, once that is decided."""
        self.kept = 0
        """How many samples wait in all."""
        self.lost = 0
        """How many samples a damaged file took along."""
        self.met_late = 0
        """How many samples waited on a disk that could not be read at the start."""

    def __iter__(self) -> Iterator[tuple[Session, Account]]:
        return ((entry.session, entry.account) for entry in self._entries.values())

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._entries

    def find(self, sequence: int) -> Session | None:
        """The session at this place in the order, if there is one."""
        entry = self._entries.get(sequence)
        return entry.session if entry else None

    def next_sequence(self) -> int:
        """A place after all sessions, and after rows that have none."""
        return max(*self._entries, self._last_stray, 0) + 1

    def has_strays(self, sequences: Iterable[int]) -> None:
        """There are rows at these places, perhaps of sessions that are not known."""
        self._last_stray = max(sequences, default=0)

    def enter(self, session: Session, account: Account) -> None:
        """Take a session up that a tier knows."""
        self._entries[session.sequence] = Entry(session, account, copy.deepcopy(account))
        self.kept += account.waiting

    def begin(self, session: Session) -> None:
        """Open the account of a new session."""
        self.enter(session, Account())
        self._touch(session.sequence)

    def end(self, sequence: int, *, power_lost: bool = False) -> None:
        """Close a session: it samples no more."""
        account = self._entries[sequence].account
        account.ended = True
        account.power_lost |= power_lost
        self._touch(sequence)

    def sampled(self, key: Key) -> None:
        """Book a sample that is kept from now on, or gets a fate next."""
        self._entries[key.session].account.sampled += 1
        self.kept += 1
        self._touch(key.session)

    def answered(self, key: Key) -> None:
        """Book an answer."""
        for account in self._accounts(key):
            account.answered += 1
        self.kept -= 1

    def book(self, fate: Fate, key: Key) -> None:
        """Book a sample that stays without prediction."""
        for account in self._accounts(key):
            account.add(fate, key.id)
        self.kept -= 1
        self.lost += fate is Fate.DAMAGED

    def nothing_waits_before(self, key: Key) -> None:
        """Note in the accounts that change what is done with as a whole."""
        for entry in self._at(self._unwritten):
            sequence, account = entry.session.sequence, entry.account
            if sequence < key.session:
                account.done_below = account.sampled
            elif sequence == key.session:
                account.done_below = max(account.done_below, key.id)

    # What the tiers are told. An account goes where its rows go, in the same commit.

    def for_hot(self) -> Sessions:
        """The accounts that the hot tier has not heard of."""
        news = self._at(self._unwritten)
        # The sum of the earlier ones has no rows, and would be older here after a crash.
        return [(e.session, e.account) for e in news if e.session.id != EARLIER]

    def for_cold(self) -> Sessions:
        """The accounts for the cold tier when it is given all rows."""
        return [(e.session, e.account) for e in self._at(self._unmoved)]

    def for_cold_alone(self) -> Sessions:
        """The accounts for the cold tier when it only learns what became of its own rows."""
        return [(e.session, e.cold) for e in self._at(self._settled)]

    def hot_has_heard(self) -> None:
        """What for_hot() gave is written."""
        self._unwritten.clear()

    def cold_has_all(self, newest: Key) -> None:
        """What for_cold() gave is written, with all rows up to this key."""
        for entry in self._at(self._unmoved):
            entry.cold = copy.deepcopy(entry.account)
        self._unmoved.clear()
        self._settled.clear()
        self.moved = newest

    def cold_has_heard(self) -> None:
        """What for_cold_alone() gave is written."""
        self._settled.clear()

    def cold_begins_anew(self) -> None:
        """The file of the cold tier is another one, which has heard of nothing."""
        self._unmoved = set(self._entries)

    def reconcile(self, counts: dict[int, tuple[int, int]]) -> int:
        """Book as lost what damaged files should hold and do not; how many.

        `counts` tells how many rows each session has, and its last id. What there
        is once more although it was answered will be answered again.
        """
        lost = 0
        for session, account in self:
            count, last_id = counts.get(session.sequence, (0, -1))
            waiting = account.waiting
            account.sampled = max(account.sampled, last_id + 1)
            missing = account.waiting - count
            if missing > 0:
                account.lose(missing)
                lost += missing
            else:
                account.find_again(-missing)
            self.kept += account.waiting - waiting
            self._touch(session.sequence)
        self.lost += lost
        return lost

    def surplus(self) -> list[int]:
        """The places of the oldest settled sessions, when there are too many in all."""
        settled = [s.sequence for s, a in self if a.ended and not a.waiting and s.id != EARLIER]
        return sorted(settled)[: max(0, len(self._entries) - _MOST_SESSIONS)]

    def sum_up(self, sequences: list[int]) -> tuple[Session, Account]:
        """The sum of these sessions and of those that were summed up before."""
        former = next((entry for entry in self if entry[0].id == EARLIER), None)
        session, total = former or (
            Session(min(self._entries) - 1, EARLIER, 0, 0),
            Account(ended=True),
        )
        total = copy.deepcopy(total)
        for sequence in sequences:
            total.add_up(self._entries[sequence].account)
        return session, total

    def fold(self, sequences: list[int], total: tuple[Session, Account]) -> None:
        """Put the sum in place of the sessions, as the cold tier has it already."""
        for sequence in sequences:
            del self._entries[sequence]
        for places in (self._unwritten, self._unmoved, self._settled):
            places.difference_update(sequences)
        self.enter(*total)

    def _accounts(self, key: Key) -> Iterator[Account]:
        """The accounts that a sample is in."""
        entry = self._entries[key.session]
        self._touch(key.session)
        yield entry.account
        if key <= self.moved:
            self._settled.add(key.session)
            yield entry.cold

    def _at(self, sequences: Iterable[int]) -> list[Entry]:
        return [self._entries[sequence] for sequence in sequences]

    def _touch(self, sequence: int) -> None:
        self._unwritten.add(sequence)
        self._unmoved.add(sequence)
