"""The accounts of all sessions, and which of them each tier has not been told yet."""

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.model import Session
from agent.spool import runs
from agent.spool.account import EARLIER, Account, Fate, Ids, Sessions
from agent.spool.row import BEFORE_ALL, Key
from agent.spool.runs import Runs

# Of a device that restarts every hour, six weeks are listed by session; what is
# older is one sum.
_MOST_SESSIONS = 1000


@dataclass(slots=True)
class _Book:
    """A session with its account, and with the part of it that the cold tier knows."""

    session: Session
    account: Account
    cold: Account
    """The account of ids up to `Books.moved` alone: it balances with the rows of the cold tier."""


class Books:
    """Keeps the accounts. Changed by its methods alone, on the disk thread.

    The counters may be read on any thread.
    """

    def __init__(self, most_sessions: int = _MOST_SESSIONS) -> None:
        self._most_sessions = most_sessions
        self._books: dict[int, _Book] = {}
        self._last_stray = 0
        self._powered: frozenset[str] = frozenset()
        # Sequences of sessions whose account is news: to the hot tier, to the cold tier
        # with all rows, and to the cold tier about rows that it has already.
        self._unwritten: set[int] = set()
        self._unmoved: set[int] = set()
        self._undeleted: set[int] = set()
        self._moved = BEFORE_ALL
        self._first_sequence: int | None = None
        self._kept = self._lost = self._met_late = 0

    def __iter__(self) -> Iterator[tuple[Session, Account]]:
        return ((book.session, book.account) for book in self._books.values())

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._books

    @property
    def kept(self) -> int:
        """Number of samples that the spool holds."""
        return self._kept

    @property
    def lost(self) -> int:
        """Number of samples that were in a damaged file and could not be read."""
        return self._lost

    @property
    def met_late(self) -> int:
        """Number of samples on a disk that could not be read at the start, and was read later."""
        return self._met_late

    @property
    def moved(self) -> Key:
        """The last key that may be in the cold tier; later ones are in the hot tier alone."""
        return self._moved

    def find(self, sequence: int) -> Session | None:
        """The session with this sequence, if there is one."""
        book = self._books.get(sequence)
        return book.session if book else None

    def may_hold(self, key: Key) -> bool:
        """Whether a sample of this key may be kept, as far as the accounts know."""
        book = self._books.get(key.session)
        return book is not None and book.account.is_open(key.id)

    def next_sequence(self) -> int:
        """A sequence after those of all sessions, and of rows that have no session."""
        return max(*self._books, self._last_stray, 0) + 1

    # What is found in the files

    def enter(self, session: Session, account: Account) -> None:
        """Add a session that a tier knows."""
        self._books[session.sequence] = _Book(session, account, copy.deepcopy(account))
        self._kept += account.waiting

    def note_strays(self, sequences: Iterable[int]) -> None:
        """Leave out the sequences of rows whose session may be unknown."""
        self._last_stray = max(sequences, default=0)

    def note_powered(self, ids: Iterable[str]) -> None:
        """These sessions did not end by a power cut, whatever the tiers say."""
        self._powered = frozenset(ids)

    def book_given(self, session: Session, next_id: int) -> int:
        """Ids below this one were given in a session that has ended; those not booked are unknown.

        The number of them. The session may be one that no tier was told of.
        """
        known = next((book for book in self._books.values() if book.session.id == session.id), None)
        if known is None:
            if session.sequence in self._books or session.sequence == self._first_sequence:
                session = dataclasses.replace(session, sequence=min(self._books) - 1)
            self.enter(session, Account(ended=True))
            known = self._books[session.sequence]
        first = known.account.sampled
        if first >= next_id:
            return 0
        known.account.sampled = next_id
        known.account.add(Fate.CRASHED, first, next_id - 1)
        self._touch(known.session.sequence)
        return next_id - first

    def start(self) -> int:
        """Both tiers are open: the sequence of the first session of this start.

        What earlier sessions left may be in either tier.
        """
        self._first_sequence = self.next_sequence()
        self._moved = Key(self._first_sequence, -1)
        return self._first_sequence

    def before_start(self) -> set[int]:
        """The sequences of sessions that were there before this start."""
        first = self._first_sequence
        return {each for each in self._books if first is None or each < first}

    def shift_for(self, found: Sessions) -> int:
        """By how much the sequences of a file must be shifted, before it is met().

        Sessions of the file that are unknown here come before those that the file does not know.
        """
        known, in_file = self._ids(), {session.id for session, _ in found}
        own = [session.sequence for session, _ in self if session.id not in in_file]
        if self._first_sequence is not None:
            own.append(self._first_sequence)
        unknown = [session.sequence for session, _ in found if session.id not in known]
        if unknown and own and unknown[-1] >= min(own):
            return min(own) - 1 - max(session.sequence for session, _ in found)
        return 0

    def meet(self, found: Sessions) -> None:
        """Add those sessions of the cold tier's file that are unknown here."""
        known = {book.session.id: book for book in self._books.values()}
        for session, account in found:
            if book := known.get(session.id):
                book.session = dataclasses.replace(
                    book.session, sensors=book.session.sensors or session.sensors
                )
                continue
            self.enter(session, account)
            if self._first_sequence is not None:
                self._met_late += account.waiting
            if not account.ended:  # and nothing of it is in RAM
                self.end(session.sequence, power_lost=session.id not in self._powered)

    def rejoin(self, ids: Iterable[str]) -> None:
        """Forget up to where these sessions are done with: older rows of them came back."""
        wanted = set(ids)
        for session, account in self:
            if session.id in wanted:
                account.done_below = 0
                self._touch(session.sequence)

    def reconcile(self, found: dict[int, Runs]) -> int:
        """Book as lost what damaged files should hold and do not; the number of samples.

        `found` gives the ids of each session's rows. A sample that is there although it was
        answered is booked as kept, and will be answered again.
        """
        lost = 0
        for session, account in self:
            ids = found.get(session.sequence, [])
            waiting = account.waiting
            account.sampled = max(account.sampled, ids[-1][1] + 1 if ids else 0)
            account.take_back(ids)
            missing = account.waiting - runs.size(ids)
            if missing > 0:
                account.lose(missing, ids)
                lost += missing
            else:
                account.find_again(-missing)
            self._kept += account.waiting - waiting
            self._touch(session.sequence)
        self._lost += lost
        return lost

    # What happens to sessions and samples

    def begin(self, session: Session) -> None:
        """Open the account of a new session."""
        self.enter(session, Account())
        self._touch(session.sequence)

    def end(self, sequence: int, *, power_lost: bool = False) -> None:
        """Close a session: it samples no more."""
        account = self._books[sequence].account
        account.ended = True
        account.power_lost |= power_lost
        self._touch(sequence)

    def book_sample(self, key: Key) -> None:
        """Book a sample that is kept from now on, or gets a fate next."""
        self._books[key.session].account.sampled += 1
        self._kept += 1
        self._touch(key.session)

    def book_passed(self, sequence: int, first: int, last: int, fate: Fate | None) -> None:
        """Book samples that were never kept: answered from memory, or without answer."""
        account = self._books[sequence].account
        account.sampled += last - first + 1
        if fate:
            account.add(fate, first, last)
        else:
            account.answered += last - first + 1
        self._touch(sequence)

    def book_answer(self, key: Key) -> None:
        """Book the answer of a sample."""
        for account in self._accounts(key):
            account.answered += 1
        self._kept -= 1

    def book_fate(self, fate: Fate, key: Key) -> None:
        """Book a sample that stays without prediction."""
        for account in self._accounts(key):
            account.add(fate, key.id, key.id)
        self._kept -= 1
        self._lost += fate is Fate.DAMAGED

    def raise_done_below(self, key: Key) -> None:
        """Note, in the accounts that change anyway, that all samples before a key are settled."""
        for book in self._at(self._unwritten):
            sequence, account = book.session.sequence, book.account
            if sequence < key.session:
                account.done_below = account.sampled
            elif sequence == key.session:
                account.done_below = max(account.done_below, min(key.id, account.sampled))

    # What the tiers are told. An account goes where its rows go, in the same commit.

    @property
    def has_news(self) -> bool:
        """Whether any account changed since the cold tier was given all."""
        return bool(self._unmoved)

    @property
    def is_written(self) -> bool:
        """Whether the hot tier, or the cold one in its place, has all accounts."""
        return not self._unwritten

    def sampled(self, session_id: str) -> int:
        """The number of samples that are booked of a session."""
        return max((a.sampled for s, a in self if s.id == session_id), default=0)

    def running(self) -> Sessions:
        """The accounts of sessions that may still sample: one at the most."""
        return [(session, account) for session, account in self if not account.ended]

    def for_hot(self) -> Sessions:
        """The accounts that are news to the hot tier."""
        news = self._at(self._unwritten)
        # The sum of the earlier ones has no rows, and would be older here after a crash.
        return [(b.session, b.account) for b in news if b.session.id != EARLIER]

    def for_cold(self) -> Sessions:
        """The accounts for the cold tier when it is given all rows."""
        return [(b.session, b.account) for b in self._at(self._unmoved)]

    def for_cold_alone(self) -> Sessions:
        """The accounts for the cold tier when it only deletes rows of its own."""
        return [(b.session, b.cold) for b in self._at(self._undeleted)]

    def note_written(self) -> None:
        """The hot tier has what for_hot() gave."""
        self._unwritten.clear()

    def note_moved(self, newest: Key) -> None:
        """The cold tier has what for_cold() gave, with all rows up to this key."""
        for book in self._at(self._unmoved):
            book.cold = copy.deepcopy(book.account)
        self._unmoved.clear()
        self._undeleted.clear()
        self._moved = newest

    def note_deleted(self) -> None:
        """The cold tier has what for_cold_alone() gave."""
        self._undeleted.clear()

    def note_cold_replaced(self) -> None:
        """The cold tier's file is another one: every account is news to it."""
        self._unmoved = set(self._books)

    # The sum of the oldest

    def surplus(self) -> list[int]:
        """The sequences of the oldest finished sessions, when there are too many in all."""
        done = [s.sequence for s, a in self if a.ended and not a.waiting and s.id != EARLIER]
        return sorted(done)[: max(0, len(self._books) - self._most_sessions)]

    def sum_of(self, sequences: Iterable[int]) -> tuple[Session, Account]:
        """The sum of these sessions and of those in the former sum."""
        former = next((entry for entry in self if entry[0].id == EARLIER), None)
        session, total = former or (
            Session(min(self._books, default=1) - 1, EARLIER, 0, 0),
            Account(ended=True),
        )
        total = copy.deepcopy(total)
        for sequence in sequences:
            total.add_up(self._books[sequence].account)
        return session, total

    def sum_with_strays(self, count: int) -> tuple[Session, Account]:
        """The former sum, and samples of which nobody can tell the session: they are unknown."""
        session, total = self.sum_of([])
        total.sampled += count
        total.fates.setdefault(Fate.DAMAGED, Ids()).count += count
        return session, total

    def fold(self, sequences: Sequence[int], total: tuple[Session, Account]) -> None:
        """Replace the sessions by their sum, as the cold tier has it already."""
        for sequence in sequences:
            del self._books[sequence]
        for news in (self._unwritten, self._unmoved, self._undeleted):
            news.difference_update(sequences)
        self.enter(*total)

    def _ids(self) -> set[str]:
        return {session.id for session, _ in self}

    def _accounts(self, key: Key) -> Iterator[Account]:
        """The accounts that a sample is in."""
        book = self._books[key.session]
        self._touch(key.session)
        yield book.account
        if key <= self._moved:
            self._undeleted.add(key.session)
            yield book.cold

    def _at(self, sequences: Iterable[int]) -> list[_Book]:
        return [self._books[sequence] for sequence in sequences]

    def _touch(self, sequence: int) -> None:
        self._unwritten.add(sequence)
        self._unmoved.add(sequence)
