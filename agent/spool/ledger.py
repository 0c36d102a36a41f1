"""Every sample's fate, read from the files of the spool, also while the agent runs."""

import contextlib
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.model import Session
from agent.spool import register, runs, tail
from agent.spool.account import Account, Fate, Ids, Sessions
from agent.spool.directories import FILE, LOCK, Directories
from agent.spool.register import Given
from agent.spool.rescue import is_set_aside
from agent.spool.row import Row, unpack
from agent.spool.runs import Runs
from agent.spool.tail import Records
from agent.spool.tier import OpenTier, Tier, is_stale
from quartet.errors import DamagedError, OlderSchemaError, StoreError
from quartet.lock import holder

# The tiers are read one after the other. Where the agent moved samples in
# between they are read again; it does so once a second at the most.
_MOST_TRIES = 100


class Entry(msgspec.Struct):
    """What became of the samples of one session."""

    session_id: str
    sequence: int
    started_at_ns: int
    sampled: int
    answered: int
    waiting: int
    waiting_ids: Runs
    fates: dict[Fate, Ids]
    ended: bool = False
    power_lost: bool = False
    """The power failed: ids from `sampled` on, if there were any, are unknown."""
    done_below: int = 0
    """Ids below this are settled."""
    damaged_ids: Runs = []
    """Their rows have a wrong checksum; they are not among `waiting_ids`."""
    unbooked_ids: Runs = []
    """The agent died while these were in memory alone; its next start books them as unknown."""

    @property
    def is_sound(self) -> bool:
        """Whether each sample is answered, waits or has a fate, and no row is damaged."""
        return not (self.difference or self.damaged_ids or self.unbooked_ids)

    @property
    def suspects(self) -> Runs:
        """Where samples have no fate, they are among these ids: some of them are answered."""
        unsettled: Runs = [(self.done_below, self.sampled - 1)]
        named = (ids.runs for ids in self.fates.values())
        return runs.minus(unsettled, runs.union(self.waiting_ids, *named))

    @property
    def difference(self) -> int:
        """Number of samples without a fate, or with one too many; 0 when all is balanced."""
        without = sum(ids.count for ids in self.fates.values())
        return self.sampled - self.answered - self.waiting - without


class Ledger(msgspec.Struct):
    """The sessions in their order; balanced where each sample is answered, waits or has a fate."""

    balanced: bool
    sessions: list[Entry]
    damaged: list[str] = []
    """Why a file cannot be read. Its samples are not in this ledger."""
    ignored: list[str] = []
    """Why a register of ids cannot be read: samples that were in memory alone are not told."""
    schema: int = 1


def read(directories: Directories, open_tier: OpenTier = Tier) -> Ledger:
    """Read the ledger, of one tier alone where the other is damaged.

    StoreError where there is no spool, or neither can be read.
    """
    damaged: dict[Path, DamagedError] = {}
    while True:
        try:
            return _read(directories, damaged, open_tier)
        except DamagedError as error:
            if error.path is None or damaged:
                raise
            damaged[error.path] = error


def _read(
    directories: Directories, damaged: dict[Path, DamagedError], open_tier: OpenTier
) -> Ledger:
    for _ in range(_MOST_TRIES):
        # Asked first: of an agent that stops meanwhile, what is read now may be in memory yet.
        is_running = _is_running(directories)
        with contextlib.ExitStack() as stack:
            paths = [path / FILE for path in (directories.cold, directories.hot, directories.cold)]
            cold, hot, watch = (
                None if path in damaged else _open(path, stack, open_tier) for path in paths
            )
            if not (cold or hot):
                raise next(iter(damaged.values()), _no_spool(directories))
            before = watch.version() if watch else 0
            in_cold, in_hot = (_hold(tier) if tier else [] for tier in (cold, hot))
            if not watch or watch.version() == before:
                if cold and hot and is_stale((hot.moves(), in_hot), (cold.moves(), in_cold)):
                    hot, in_hot = None, []
                noted = tail.read(directories.hot)
                given, ignored = _given(directories)
                entries = _entries(cold, in_cold, hot, in_hot, given)
                if is_running or _is_running(directories):
                    can_book = bool(cold) and not is_set_aside(paths)
                    given = _take_from_memory(entries, given, can_book=can_book)
                _take_from_tail(entries, noted)
                _add_unbooked(entries, given)
                balanced = not damaged and all(entry.is_sound for entry in entries)
                return Ledger(balanced, entries, [*map(str, damaged.values())], ignored)
    raise StoreError(f"{directories.cold}: keeps changing; try again")


def _no_spool(directories: Directories) -> StoreError:
    return StoreError(
        f"no samples stored in {directories.cold} and {directories.hot}: start an agent first, or"
        " name its directories under [spool]"
    )


def _open(path: Path, stack: contextlib.ExitStack, open_tier: OpenTier) -> Tier | None:
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return stack.enter_context(contextlib.closing(open_tier(path, None)))
    except OlderSchemaError:
        return None  # its disk was full when it was made


def _hold(tier: Tier) -> Sessions:
    """Freeze the view of a tier; its sessions."""
    tier.hold()
    return tier.sessions()


def _given(directories: Directories) -> tuple[list[Given], list[str]]:
    """What the registers tell, and what is wrong with them."""
    given: list[Given] = []
    ignored: list[str] = []
    for directory in (directories.hot, directories.cold):
        try:
            given += register.read(directory / register.FILE)
        except DamagedError as error:
            ignored.append(str(error))
        except OSError as error:
            ignored.append(f"{directory / register.FILE}: cannot be read: {error.strerror}")
    return given, ignored


def _is_running(directories: Directories) -> bool:
    return any(holder(each / LOCK) for each in (directories.hot, directories.cold))


def _take_from_memory(entries: list[Entry], given: list[Given], *, can_book: bool) -> list[Given]:
    """Add the ids that a running agent has in memory alone; the others.

    `can_book`: ids of an earlier process count as booked, as the agent is about to do.
    """
    others = []
    for each in given:
        if each.earlier and not can_book:
            others.append(each)
            continue
        entry = _entry_of(each, entries)
        first, last = entry.sampled, each.next_id - 1
        if first > last:
            continue
        entry.sampled = each.next_id
        if each.earlier:
            entry.fates.setdefault(Fate.CRASHED, Ids()).add(first, last)
        else:
            entry.waiting_ids = runs.union(entry.waiting_ids, [(first, last)])
            entry.waiting = runs.size(entry.waiting_ids)
    return others


def _take_from_tail(entries: list[Entry], records: Records) -> None:
    """Add the samples that no tier had when the agent was killed: its next start sends them."""
    for entry in entries:
        ids = (id_ for id_, _ in records.get(entry.session_id, []))
        found = runs.gather(id_ for id_ in ids if id_ >= entry.sampled)
        if found:
            missing = runs.minus([(entry.sampled, found[-1][1])], found)
            entry.sampled = found[-1][1] + 1
            entry.unbooked_ids = runs.union(entry.unbooked_ids, missing)
            entry.waiting_ids = runs.union(entry.waiting_ids, found)
            entry.waiting = runs.size(entry.waiting_ids)


def _add_unbooked(entries: list[Entry], given: list[Given]) -> None:
    """Add the ids that were given and that no tier knows."""
    for each in given:
        entry = _entry_of(each, entries)
        if entry.sampled < each.next_id:
            unbooked = [(entry.sampled, each.next_id - 1)]
            entry.unbooked_ids = runs.union(entry.unbooked_ids, unbooked)


def _entry_of(given: Given, entries: list[Entry]) -> Entry:
    """The entry of its session, which is made where no tier knows it."""
    session = given.session
    entry = next((entry for entry in entries if entry.session_id == session.id), None)
    if entry is None:
        entry = Entry(session.id, session.sequence, session.started_at_ns, 0, 0, 0, [], {})
        entries.append(entry)
    return entry


class _Kept(NamedTuple):
    """The ids of the rows of a session, by whether their checksum is right."""

    sound: Runs
    damaged: Runs


def _by_session(rows: Iterable[Row], sessions: Sessions) -> dict[str, _Kept]:
    """The ids of rising rows, by session id: the tiers may use one sequence for two sessions."""
    known = {session.sequence: session for session, _ in sessions}
    kept: dict[str, _Kept] = {}
    for sequence, of_session in groupby(rows, attrgetter("session")):
        session = known.get(sequence)
        if session is None:
            continue
        ids: dict[bool, list[int]] = {True: [], False: []}
        for row in of_session:
            ids[unpack(row, session) is not None].append(row.id)
        kept[session.id] = _Kept(runs.gather(ids[True]), runs.gather(ids[False]))
    return kept


def _entries(
    cold: Tier | None,
    in_cold: Sessions,
    hot: Tier | None,
    in_hot: Sessions,
    given: list[Given],
) -> list[Entry]:
    """The entries of all sessions. Of an account that both tiers have, the hot one is newer."""
    newest = {session.id: (session, account) for session, account in (*in_cold, *in_hot)}
    powered = {session.id for session, _ in in_hot}
    powered |= {each.session.id for each in given if each.this_boot}
    kept = [
        _by_session(tier.rows(), sessions)
        for tier, sessions in ((cold, in_cold), (hot, in_hot))
        if tier
    ]
    settled: dict[str, Runs] = {}
    names = {session.sequence: session.id for session, _ in newest.values()}
    if hot:
        for sequence, keys in groupby(hot.settled(), attrgetter("session")):
            if sequence in names:
                settled[names[sequence]] = runs.gather(key.id for key in keys)
    return [
        _entry(
            session,
            account,
            [tier[session.id] for tier in kept if session.id in tier],
            settled.get(session.id, []),
            powered=session.id in powered,
        )
        for session, account in sorted(newest.values(), key=lambda entry: entry[0].sequence)
    ]


def _entry(
    session: Session, account: Account, kept: list[_Kept], settled: Runs, *, powered: bool
) -> Entry:
    sound = runs.union(*(each.sound for each in kept))
    damaged = runs.union(*(each.damaged for each in kept))
    waiting = runs.minus(sound, settled)
    return Entry(
        session_id=session.id,
        sequence=session.sequence,
        started_at_ns=session.started_at_ns,
        sampled=account.sampled,
        answered=account.answered,
        waiting=runs.size(waiting),
        waiting_ids=waiting,
        fates={fate: Ids(ids.count, runs.union(ids.runs)) for fate, ids in account.fates.items()},
        ended=account.ended,
        power_lost=account.power_lost or not (account.ended or powered),
        done_below=account.done_below,
        damaged_ids=runs.minus(runs.minus(damaged, sound), settled),
    )
