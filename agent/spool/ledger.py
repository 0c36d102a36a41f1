"""Every sample's fate, read from the files of the spool, also while the agent runs."""

import contextlib
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import msgspec

from agent.model import Session
from agent.spool import runs
from agent.spool.account import Account, Fate, Ids, Sessions
from agent.spool.directories import FILE, Directories
from agent.spool.row import Key
from agent.spool.runs import Runs
from agent.spool.tier import OpenTier, Tier, is_stale
from quartet.errors import DamagedError, OlderSchemaError, StoreError

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
    ended: bool
    power_lost: bool
    """The power failed: ids from `sampled` on, if there were any, are unknown."""

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
                entries = _entries(cold, in_cold, hot, in_hot)
                balanced = not damaged and all(not entry.difference for entry in entries)
                return Ledger(balanced, entries, [*map(str, damaged.values())])
    raise StoreError(f"{directories.cold}: changes all the time; try again")


def _no_spool(directories: Directories) -> StoreError:
    return StoreError(
        f"no spool in {directories.cold} and {directories.hot}: name its directories in the"
        " configuration, or start an agent there first"
    )


def _open(path: Path, stack: contextlib.ExitStack, open_tier: OpenTier) -> Tier | None:
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return stack.enter_context(contextlib.closing(open_tier(path, None)))
    except OlderSchemaError as error:
        if error.version:
            raise
        return None  # its disk was full when it was made


def _hold(tier: Tier) -> Sessions:
    """Freeze the view of a tier; its sessions."""
    tier.hold()
    return tier.sessions()


def _by_session(keys: Iterable[Key], sessions: Sessions) -> dict[str, Runs]:
    """The ids of rising keys, by session id: the tiers may use one sequence for two sessions."""
    names = {session.sequence: session.id for session, _ in sessions}
    return {
        names[sequence]: runs.gather(key.id for key in of_session)
        for sequence, of_session in groupby(keys, attrgetter("session"))
        if sequence in names
    }


def _entries(
    cold: Tier | None, in_cold: Sessions, hot: Tier | None, in_hot: Sessions
) -> list[Entry]:
    """The entries of all sessions. Of an account that both tiers have, the hot one is newer."""
    newest = {session.id: (session, account) for session, account in (*in_cold, *in_hot)}
    hot_ids = {session.id for session, _ in in_hot}
    kept = [
        _by_session(tier.keys(), sessions)
        for tier, sessions in ((cold, in_cold), (hot, in_hot))
        if tier
    ]
    settled = _by_session(hot.settled(), [*newest.values()]) if hot else {}
    return [
        _entry(
            session,
            account,
            runs.minus(
                runs.union(*(tier.get(session.id, []) for tier in kept)),
                settled.get(session.id, []),
            ),
            in_ram=session.id in hot_ids,
        )
        for session, account in sorted(newest.values(), key=lambda entry: entry[0].sequence)
    ]


def _entry(session: Session, account: Account, waiting: Runs, *, in_ram: bool) -> Entry:
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
        power_lost=account.power_lost or not (account.ended or in_ram),
    )
