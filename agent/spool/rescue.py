"""A file that cannot be used as it is: moved aside, never deleted; its samples are saved.

A damaged file is replaced by a fresh one with all that could be read of it. A file of a newer
version is set aside as it is, and imported once that version runs again.
"""

import contextlib
import dataclasses
import itertools
import logging
import re
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from agent.model import Session
from agent.spool.account import Account
from agent.spool.salvage import salvage
from agent.spool.tier import COMPANIONS, OpenTier, Tier, delete
from quartet.database import Synchronous
from quartet.errors import DamagedError, NewerSchemaError, StoreError
from quartet.foreign import shown
from quartet.plural import counted

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

    def open(
        self, look: Callable[[Tier], Looked], elsewhere: Container[str] = ()
    ) -> tuple[Tier, Looked, bool]:
        """Open the tier; what `look` returns for it, and whether the file was replaced.

        `elsewhere`: the ids of sessions of which another tier has an account as well.
        StoreError where the directory cannot be used at all.
        """
        self._finish_replacement()
        try:
            tier = self._open_tier(self.path, self._synchronous)
            return tier, _looked(tier, look), False
        except NewerSchemaError as error:
            aside = move_aside(self.path, f"schema-{error.version}")
            log.warning("%s; it was renamed to %s, and a new one is used", error, aside)
            tier = self._open_tier(self.path, self._synchronous)
        except DamagedError as error:
            tier = self.replace(str(error), elsewhere)
        return tier, _looked(tier, look), True

    def replace(self, reason: str, elsewhere: Container[str] = ()) -> Tier:
        """Move the damaged file aside; a fresh one with all that could be read of it.

        Where this is cut short, the next open() starts it again, or finishes it once all
        is saved. StoreError where there is no room to save.
        """
        count, aside = self._save(lambda tier: salvage(self.path, tier, elsewhere), "damaged")
        saved = counted(count, "sample", "was", "were")
        log.error("%s; it was renamed to %s, and %s saved from it", reason, aside, saved)
        return self._open_tier(self.path, self._synchronous)

    def restore(self, tier: Tier) -> Tier:
        """A fresh file with all of a tier that is open, and whose own is no more at the path.

        What is found there is moved aside; only then may the caller close the tier, which
        could delete another one's log. StoreError where there is no room, or no directory.
        """
        there = self.path.exists()
        count, aside = self._save(lambda fresh: _copy(tier, fresh), "replaced")
        found = f"; the file found there is now {aside}" if there else ""
        samples = counted(count, "sample")
        log.warning("%s: written again with all samples (%s)%s", self.path, samples, found)
        return self._open_tier(self.path, self._synchronous)

    def _save(self, save: Callable[[Tier], int], why: str) -> tuple[int, Path | None]:
        """Put a fresh file in the place of the one at the path; how many samples, and its path."""
        saving = self._beside("saving")
        delete(saving)
        with contextlib.closing(self._open_tier(saving, self._synchronous)) as tier:
            count = save(tier)
        try:
            saving.rename(self._beside("saved"))
            return count, self._finish_replacement(why)
        except OSError as error:
            raise StoreError(f"{saving}: cannot be renamed: {error.strerror}", saving) from error

    def _finish_replacement(self, why: str = "damaged") -> Path | None:
        """Use the file that was saved of another one; the new path of that other one."""
        saved = self._beside("saved")
        if not saved.exists():
            return None
        aside = move_aside(self.path, why)
        saved.rename(self.path)
        return aside

    def _beside(self, state: str) -> Path:
        return self.path.with_name(f"{self.path.stem}.{state}{self.path.suffix}")


class Adopted(NamedTuple):
    """Whether any file had been set aside, those imported, and known sessions that got rows."""

    any: bool
    paths: list[Path]
    rejoined: frozenset[str]
    """The ids of these sessions."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Aside:
    """A file that was set aside."""

    tier: Tier
    sessions: Known


def adopt(tier: Tier, hot_path: Path, known: Known, open_tier: OpenTier) -> Adopted:
    """Import the files that an older version set aside from both tiers.

    Their sessions come before all that are known. The caller deletes the files once the
    accounts agree with the rows: until then they may be imported again. A file that cannot be
    read stays where it is.
    """
    before = min((session.sequence for session, _ in known.values()), default=1)
    found = [_asides(path, tier.newest_schema) for path in (hot_path, tier.path)]
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
    rejoined = {each for aside in (*hots, *colds) for each in aside.sessions.keys() & known.keys()}
    paths = [aside.tier.path for aside in (*hots, *colds)]
    return Adopted(any(found), paths, frozenset(rejoined))


def is_set_aside(paths: Iterable[Path]) -> bool:
    """Whether a file of a newer version lies beside any of these: its samples are not lost."""
    return any(any(path.parent.glob(f"{path.stem}.schema-*{path.suffix}")) for path in paths)


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


def move_aside(path: Path, why: str) -> Path:
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


def _copy(tier: Tier, fresh: Tier) -> int:
    """Copy all of a tier; the number of samples."""
    fresh.write(
        sessions=tier.sessions(), rows=tier.rows(), settled=tier.settled(), move=tier.moves()
    )
    return fresh.size()
