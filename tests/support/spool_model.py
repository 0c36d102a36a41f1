"""What a spool must do, for operations in any order."""

from collections.abc import Iterable
from pathlib import Path

from support.clock import ManualClock
from support.spools import (
    Blocked,
    Device,
    Name,
    content,
    name,
    rows,
    waiting,
)

from agent.model import Sample
from agent.spool import ledger
from agent.spool.account import Account, Fate
from agent.spool.directories import FILE, Directories
from agent.spool.ledger import Ledger
from quartet.errors import StoreError


class Model:
    """A device, and what must be true of it."""

    def __init__(self, device: Device, clock: ManualClock) -> None:
        self.device = device
        self.clock = clock
        self.order: list[str] = []  # of sessions
        self.samples: dict[Name, Sample] = {}  # all that ever was
        self.appended: list[Name] = []  # since the last step
        self.kept_since_s: dict[Name, float] = {}  # what is booked, and when that was
        self.answered: set[Name] = set()
        self.fates: dict[Name, Fate] = {}
        self.in_flight: dict[Name, Sample] = {}
        self.settled: list[tuple[Name, bool]] = []  # since the last step
        self.ever_answered: set[Name] = set()
        self.committed: tuple[set[Name], set[Name]] = (set(), set())  # sampled, and waiting
        self.hidden: set[Name] = set()  # in a cold tier that cannot be read
        self.blind = False  # since the start: the tiers have not met
        self.on_disk: set[Name] = set()  # for good, or it is not safe from the power
        self.given: set[Name] = set()  # ids, since the start
        self.crashed: set[Name] = set()  # that were in memory alone, and are not booked yet
        self.cold_block: Blocked | None = None
        self.hot_block: Blocked | None = None
        self.trips: dict[str, int] = {}  # after how many commits of a tier the next one fails
        device.files.before_commit = self._trip
        device.start()

    # What happens

    def append(self, count: int) -> None:
        samples = self.device.append(count)
        if samples[0].session.id not in self.order:
            self.order.append(samples[0].session.id)
        self.samples.update((name(sample), sample) for sample in samples)
        self.appended += map(name, samples)
        self.given.update(map(name, samples))

    def step(self) -> None:
        before, was_failing = self.waiting, self.device.disk_fails
        was_in_memory = self.device.keeper.failing  # some samples, also at the first commit
        seen: list[Directories] = []
        appended, self.appended = self.appended, []
        settled, self.settled = self.settled, []
        with self.device.files.meanwhile(after_commit=lambda: seen.append(self.device.snapshot())):
            self.device.step()
        if not self.device.tiers.has_unbooked:
            self.kept_since_s.update(dict.fromkeys(self.crashed, 0.0))
            self.fates.update(dict.fromkeys(self.crashed, Fate.CRASHED))
            self.crashed = set()
        self.kept_since_s.update(dict.fromkeys(appended, self.clock.monotonic()))
        self.answered |= {each for each, answered in settled if answered}
        self.fates.update({each: Fate.UNANSWERABLE for each, answered in settled if not answered})
        self._learn_drops(before, appended, was_failing=was_failing)
        if not self.device.keeper.failing:
            self.committed = set(self.kept_since_s), self.waiting
            for directories in seen[-1:] if was_in_memory else seen:
                self.assert_would_start(directories)
            self._note_what_is_on_disk()
        self.check()

    async def read(self, limit: int) -> None:
        expected = self.expected()
        taken = await self.device.take(limit)
        assert [*map(name, taken)] == expected[: len(taken)]
        for sample in taken:
            assert content(sample) == content(self.samples[name(sample)])
            self.in_flight[name(sample)] = sample

    def settle(self, number: int, *, answered: bool) -> None:
        if self.in_flight:
            key = sorted(self.in_flight)[number % len(self.in_flight)]
            self.device.queue.settle(self.in_flight.pop(key), answered=answered)
            self.settled.append((key, answered))
            if answered:
                self.ever_answered.add(key)

    def answer_all(self) -> None:
        for _ in range(len(self.in_flight)):
            self.settle(0, answered=True)

    def rewind(self) -> None:
        self.device.queue.rewind()
        self.in_flight.clear()

    def new_session(self) -> None:
        self.device.begin_session()

    def kill(self, *, blind: bool) -> None:
        self.recover()
        self.device.kill()
        self._forget_memory()
        sampled, kept = self.committed
        self.crashed |= self.given - sampled
        self.kept_since_s = {each: self.kept_since_s[each] for each in sampled}
        self.answered = sampled - kept - set(self.fates)
        self.fates = {each: fate for each, fate in self.fates.items() if each in sampled - kept}
        self.start(blind=blind)

    def cut_power(self, *, blind: bool) -> None:
        self.recover()
        self.device.cut_power()
        self.crashed = set()  # the register is in RAM
        self._forget_memory()
        left = Left(self.device.directories)
        assert left.ledger.balanced
        assert self.waiting & self.on_disk <= left.waiting
        assert left.answered <= self.ever_answered
        assert left.waiting | left.answered | set(left.fates) <= set(self.samples)
        at_s = self.kept_since_s
        self.kept_since_s = {each: at_s.get(each, 0.0) for each in left.sampled}
        self.answered, self.fates = left.answered, left.fates
        self.committed = left.sampled, left.waiting
        self.start(blind=blind)

    def close(self) -> None:
        self.recover()
        self.clock.advance(6)
        self.step()
        self.device.queue.close()
        self.step()
        assert rows(self.device.directories.cold) == self.waiting
        assert rows(self.device.directories.hot) == set()
        self.device.tiers.close()
        self._forget_memory()
        self.start(blind=False)

    def start(self, *, blind: bool) -> None:
        self.hidden, self.blind = set(), blind
        self.given = set()
        if blind:
            self.hidden = waiting(self.device.directories) - rows(self.device.directories.hot)
            self.cold_block = Blocked(self.device.directories.cold, unreadable=True)
        self.device.start()

    def fail(self, which: str) -> None:
        if which == "cold" and not self.cold_block:
            self.cold_block = Blocked(self.device.directories.cold)
        is_there = (self.device.directories.hot / FILE).exists()
        if which == "hot" and is_there and not self.hot_block:
            self.hot_block = Blocked(self.device.directories.hot)

    def trip(self, which: str, after: int) -> None:
        """One commit of this tier fails."""
        self.trips[which] = after

    def _trip(self, path: Path) -> None:
        which = path.parent.name
        if which in self.trips:
            self.trips[which] -= 1
            if self.trips[which] < 0:
                del self.trips[which]
                raise StoreError(f"{path}: cannot be used: disk I/O error", path)

    def recover(self) -> None:
        self.trips.clear()
        for block in (self.cold_block, self.hot_block):
            if block:
                block.close()
        self.cold_block = self.hot_block = None

    # What must be true

    @property
    def waiting(self) -> set[Name]:
        return set(self.kept_since_s) - self.answered - set(self.fates)

    def expected(self) -> list[Name]:
        """What read() must give next, in this order."""
        just_settled = {each for each, _ in self.settled}
        ready = self.waiting - set(self.in_flight) - just_settled - self.hidden
        return self.sorted(each for each in ready)

    def sorted(self, some: Iterable[Name]) -> list[Name]:
        return sorted(some, key=lambda each: (self.order.index(each[0]), each[1]))

    def check(self) -> None:
        books = self.device.books
        known = {session.id for session, _ in books}
        assert books.kept == sum(session in known for session, _ in self.waiting)
        for session, account in books:
            self._check_account(session.id, account)
        if self.device.keeper.failing:
            return
        if not self.cold_block:
            assert waiting(self.device.directories) == self.waiting
        if not (self.cold_block or self.blind):
            left = Left(self.device.directories)
            assert left.ledger.balanced
            assert left.answered == self.answered
            assert left.fates == self.fates | dict.fromkeys(self.crashed, Fate.CRASHED)

    async def check_liveness(self) -> None:
        """After a step of a healthy spool, something can be read where something waits."""
        if not self.device.keeper.failing:
            before = len(self.in_flight)
            expected = self.expected()
            await self.read(1)
            assert bool(expected) == (len(self.in_flight) > before)

    def assert_would_start(self, directories: Directories) -> None:
        """Killed or without power here, the device has all that it should."""
        assert waiting(directories) == self.waiting
        if not self.blind:
            left = Left(directories)
            assert left.ledger.balanced
            assert left.answered == self.answered

    def _check_account(self, session_id: str, account: Account) -> None:
        def mine(some: Iterable[Name]) -> int:
            return sum(session == session_id for session, _ in some)

        assert account.sampled == mine(self.kept_since_s)
        assert account.answered == mine(self.answered)
        for fate, ids in account.fates.items():
            assert ids.count == mine(n for n, why in self.fates.items() if why is fate)

    def _learn_drops(self, before: set[Name], appended: list[Name], *, was_failing: bool) -> None:
        """Take from the books what was dropped, and see that it was right to drop it."""
        kept_before = len(self.waiting)
        dropped = {
            (session.id, id_): fate
            for session, account in self.device.books
            for fate, ids in account.fates.items()
            for first, last in ids.runs
            for id_ in range(first, last + 1)
            if (session.id, id_) not in self.fates
        }
        assert set(dropped) <= before | set(appended)
        assert not set(dropped) & set(self.in_flight)
        device = self.device.settings
        room, ram = device.max_bytes // 64, device.hot_max_bytes // 64
        candidates = [n for n in self.expected() if n not in self.in_flight]
        self.fates.update(dropped)
        if device.when_full == "refuse_new":
            assert set(dropped.values()) <= {Fate.REFUSED}
            newest = self.sorted((before | set(appended)) - set(self.in_flight))
            assert self.sorted(dropped) == newest[len(newest) - len(dropped) :]
        else:
            assert set(dropped.values()) <= {Fate.FULL}
        if self.device.keeper.failing:
            return
        refusing = device.when_full == "refuse_new"
        if was_failing and self.device.disk_fails and not refusing:
            assert len(rows(self.device.directories.hot)) <= max(ram, len(self.in_flight))
        if was_failing or self.device.disk_fails or self.cold_block or self.blind:
            return
        kept = self.device.books.kept
        assert refusing or kept <= max(room, len(self.in_flight))
        assert not dropped or kept >= min(room, kept_before)
        assert refusing or self.sorted(dropped) == candidates[: len(dropped)]

    def _note_what_is_on_disk(self) -> None:
        if self.device.tiers.cold_state.is_open:
            self.hidden = set()
        if self.device.disk_fails:
            return
        if not self.cold_block:
            self.hidden, self.blind = set(), False
        settings = self.device.settings
        age_s = 0.0 if settings.durability == "disk" else 1.25 * settings.spill_after_s
        self.on_disk |= {
            each
            for each, since_s in self.kept_since_s.items()
            if since_s <= self.clock.monotonic() - age_s
        }

    def _forget_memory(self) -> None:
        self.appended, self.settled, self.in_flight = [], [], {}


class Left:
    """What files say of every sample, when a process or the power is gone."""

    def __init__(self, directories: Directories) -> None:
        self.ledger: Ledger = ledger.read(directories)
        self.waiting = {
            (entry.session_id, id_)
            for entry in self.ledger.sessions
            for first, last in entry.waiting_ids
            for id_ in range(first, last + 1)
        }
        self.fates = {
            (entry.session_id, id_): fate
            for entry in self.ledger.sessions
            for fate, ids in entry.fates.items()
            for first, last in ids.runs
            for id_ in range(first, last + 1)
        }
        self.sampled = {
            (entry.session_id, id_)
            for entry in self.ledger.sessions
            for id_ in range(entry.sampled)
        }
        self.answered = self.sampled - self.waiting - set(self.fates)
        assert self.waiting | set(self.fates) <= self.sampled
        for entry in self.ledger.sessions:
            mine = sum(session == entry.session_id for session, _ in self.answered)
            assert entry.answered == mine
