"""A file that cannot be used as it is: moved aside, never deleted; its samples are saved.

A damaged file is replaced by a fresh one with all that could be read of it. A file of a newer
version is set aside as it is, and imported once that version runs again.
"""

import contextlib
import dataclasses
import itertools
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from agent.model import Session
from agent.spool.account import EARLIER, Account
from agent.spool.row import Key, Row, unpack
from agent.spool.tier import COMPANIONS, OpenTier, Tier, accounts, delete
from quartet.database import Synchronous
from quartet.errors import DamagedError, NewerSchemaError, StoreError
from quartet.foreign import shown
from wire.metadata import SESSION_ID

log = logging.getLogger(__name__)

Looked = TypeVar("Looked")

Known = dict[str, tuple[Session, Account]]
"""Sessions by their ids."""


class TierFile:
    """The file of a tier, which gives a tier whatever became of it. Any one thread at a time."""

    def __init__(self, path: Path, synchronous: Synchronous, open_tier: OpenTier) -> None:
        self.path = path
        self._synchronous: Synchronous = synchronous
        self._open_tier = open_tier

    def open(self, look: Callable[[Tier], Looked]) -> tuple[Tier, Looked, bool]:
        """Open the tier; what `look` returns for it, and whether the file was replaced.

        StoreError where the directory cannot be used at all.
        """
        self._finish_replacement()
        try:
            tier = self._open_tier(self.path, self._synchronous)
            return tier, _looked(tier, look), False
        except NewerSchemaError as error:
            aside = _move(self.path, f"schema-{error.version}")
            log.warning("%s; it is now %s, and a fresh one is used", error, aside)
            tier = self._open_tier(self.path, self._synchronous)
        except DamagedError as error:
            tier = self.replace(str(error))
        return tier, _looked(tier, look), True

    def replace(self, reason: str) -> Tier:
        """Move the damaged file aside; a fresh one with all that could be read of it.

        Where this is cut short, the next open() starts it again, or finishes it once all
        is saved. StoreError where there is no room to save.
        """
        saving = self._beside("saving")
        delete(saving)
        with contextlib.closing(self._open_tier(saving, self._synchronous)) as tier:
            count = _salvage(self.path, tier)
        saving.rename(self._beside("saved"))
        aside = self._finish_replacement()
        log.error("%s; it is now %s, and %d samples were saved from it", reason, aside, count)
        return self._open_tier(self.path, self._synchronous)

    def _finish_replacement(self) -> Path | None:
        """Use the file that was saved from a damaged one; the new path of the damaged one."""
        saved = self._beside("saved")
        if not saved.exists():
            return None
        aside = _move(self.path, "damaged")
        saved.rename(self.path)
        return aside

    def _beside(self, state: str) -> Path:
        return self.path.with_name(f"{self.path.stem}.{state}{self.path.suffix}")


class Adopted(NamedTuple):
    """Whether any file had been set aside, and the ids of known sessions that got rows of it."""

    any: bool
    rejoined: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Aside:
    """A file that was set aside."""

    tier: Tier
    sessions: Known


def adopt(tier: Tier, hot_path: Path, known: Known, open_tier: OpenTier) -> Adopted:
    """Import the files that an older version set aside from both tiers, and delete them.

    Their sessions come before all that are known. A file that cannot be read
    stays where it is.
    """
    before = min((session.sequence for session, _ in known.values()), default=1)
    found = [_asides(path, tier.newest_schema) for path in (hot_path, tier.path)]
    rejoined: set[str] = set()
    with contextlib.ExitStack() as stack:
        hots, colds = ([*_open(paths, stack, open_tier)] for paths in found)
        left = list(hots)
        for cold in colds:
            # The hot tier holds the newest session, which its cold tier knows.
            its_hots = [hot for hot in left if hot.sessions.keys() & cold.sessions.keys()]
            before = _import(tier, [cold], its_hots, before, known)
            left = [hot for hot in left if hot not in its_hots]
        for hot in left:
            before = _import(tier, [], [hot], before, known)
    for aside in (*hots, *colds):
        rejoined |= aside.sessions.keys() & known.keys()
        aside.tier.delete()
        log.warning("%s: imported again", aside.tier.path)
    return Adopted(any(found), frozenset(rejoined))


def _asides(path: Path, newest_schema: int) -> list[Path]:
    """The files of this name that were set aside and that this version reads, newest first."""
    name = re.compile(rf"{re.escape(path.stem)}\.schema-(\d+)(?:-(\d+))?{re.escape(path.suffix)}")
    found = [
        (int(match[2] or 1), each)
        for each in path.parent.iterdir()
        if (match := name.fullmatch(each.name)) and int(match[1]) <= newest_schema
    ]
    return [each for _, each in sorted(found, reverse=True)]


def _open(paths: list[Path], stack: contextlib.ExitStack, open_tier: OpenTier) -> Iterator[_Aside]:
    for path in paths:
        try:
            tier = open_tier(path, "normal")
            sessions = _looked(tier, Tier.sessions)
        except StoreError as error:
            log.error("%s; it stays where it is", error)  # noqa: TRY400 - a person's error
        else:
            stack.enter_context(contextlib.closing(tier))
            yield _Aside(tier, {entry[0].id: entry for entry in sessions})


def _import(tier: Tier, colds: list[_Aside], hots: list[_Aside], before: int, known: Known) -> int:
    """Copy a spool; the sequence of its first session. An account is newer in the hot tier.

    Samples of a session that is known join those that are there, perhaps once more.
    """
    newest: Known = {}
    for aside in (*colds, *hots):
        newest |= aside.sessions
    in_hot = {session_id for hot in hots for session_id in hot.sessions}
    for session_id, (_, account) in newest.items():
        account.power_lost |= not (account.ended or session_id in in_hot)
        account.ended = True
    shift = before - 1 - max((s.sequence for s, _ in newest.values()), default=0)
    unknown = [
        (dataclasses.replace(session, sequence=session.sequence + shift), account)
        for session, account in newest.values()
        if session.id not in known
    ]
    sequences = {
        session.sequence: known[session.id][0].sequence
        for session, _ in newest.values()
        if session.id in known
    }
    settled = {key for hot in hots for key in hot.tier.settled()}
    rows = itertools.chain.from_iterable(aside.tier.rows() for aside in (*colds, *hots))
    tier.write(
        sessions=unknown,
        rows=(
            row._replace(session=sequences.get(row.session, row.session + shift))
            for row in rows
            if row.key not in settled
        ),
    )
    return min((session.sequence for session, _ in unknown), default=before)


def _looked(tier: Tier, look: Callable[[Tier], Looked]) -> Looked:
    """What `look` returns for a tier, which is closed where it raises: StoreError or its kinds."""
    try:
        return look(tier)
    except (StoreError, msgspec.MsgspecError, TypeError, ValueError) as error:
        tier.close()
        if isinstance(error, StoreError):
            raise
        raise DamagedError(f"{tier.path}: is damaged ({shown(error)})", tier.path) from error


def _move(path: Path, why: str) -> Path:
    """Rename a file with its companions to a name that is free.

    The file comes last. Where this is cut short, the companions have a name that counts as
    free, and the file gets the same name when it is moved again.
    """
    names = (f"{path.stem}.{why}{number}{path.suffix}" for number in _numbers())
    free = next(name for name in map(path.with_name, names) if not name.exists())
    for companion in (*COMPANIONS, ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{free}{companion}")
    return free


def _numbers() -> Iterator[str]:
    return itertools.chain([""], (f"-{number}" for number in itertools.count(2)))


def _salvage(path: Path, tier: Tier) -> int:
    """Copy what is readable and sound in a damaged file; the number of samples."""
    try:
        damaged = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    with contextlib.closing(damaged):
        sessions = {entry[0].sequence: entry for entry in _sound_sessions(damaged)}
        rows = (
            row
            for row in map(Row._make, _readable(damaged, "samples", "session, id, reading"))
            if _is_sound(row, sessions)
        )
        keys = map(Key._make, _readable(damaged, "settled", "session, id"))
        settled = (key for key in keys if all(isinstance(part, int) for part in key))
        tier.write(sessions=sessions.values(), rows=rows, settled=settled)
    return tier.size()


def _sound_sessions(damaged: sqlite3.Connection) -> Iterator[tuple[Session, Account]]:
    seen = set()
    columns = "sequence, id, period_ns, started_at_ns, account"
    for sequence, id_, period_ns, started_at_ns, account in _readable(damaged, "sessions", columns):
        numbers = (sequence, period_ns, started_at_ns)
        if not all(isinstance(number, int) for number in numbers) or id_ in seen:
            continue
        with contextlib.suppress(msgspec.MsgspecError, TypeError):
            if id_ == EARLIER or SESSION_ID.fullmatch(id_):
                seen.add(id_)
                yield Session(sequence, id_, period_ns, started_at_ns), accounts.decode(account)


def _is_sound(row: Row, sessions: dict[int, tuple[Session, Account]]) -> bool:
    """Whether a row has the right types, and the right checksum where its session is known."""
    if not (
        isinstance(row.session, int) and isinstance(row.id, int) and isinstance(row.reading, bytes)
    ):
        return False
    entry = sessions.get(row.session)
    return entry is None or unpack(row, entry[0]) is not None


def _readable(damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows, read from both ends towards the damage, and by the columns' places alone.

    Some come more than once.
    """
    names = columns.split(", ")
    rising, falling = (", ".join(name + order for name in names[:2]) for order in ("", " DESC"))
    by_place = f"WITH found({columns}) AS (SELECT * FROM {table}) SELECT * FROM found"  # noqa: S608
    for query in (
        f"SELECT {columns} FROM {table} ORDER BY {rising}",  # noqa: S608
        f"SELECT {columns} FROM {table} ORDER BY {falling}",  # noqa: S608
        by_place,
    ):
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            yield from damaged.execute(query)
