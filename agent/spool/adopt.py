"""Takes in again what an older version had set aside, because a newer one had written it."""

import dataclasses
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

from agent.model import Session
from agent.spool.account import Account
from agent.spool.rescue import open_checked
from agent.spool.tier import MIGRATIONS, Tier
from quartet.errors import StoreError

log = logging.getLogger(__name__)

Known = dict[str, tuple[Session, Account]]
"""Sessions by their ids."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Aside:
    """A file that was set aside."""

    tier: Tier
    sessions: dict[str, tuple[Session, Account]]


def adopt(tier: Tier, hot_path: Path, known: Known) -> bool:
    """Take in the files that both tiers have set aside; whether there were any.

    Their sessions come before all that are known. A file that cannot be read
    stays where it is.
    """
    before = min((session.sequence for session, _ in known.values()), default=1)
    found = _asides(hot_path), _asides(tier.path)
    with ExitStack() as stack:
        hots, colds = ([*_open(paths, stack)] for paths in found)
        left = list(hots)
        for cold in colds:
            # The hot tier holds the newest session, which its cold tier knows.
            its_hots = [hot for hot in left if hot.sessions.keys() & cold.sessions.keys()]
            before = _take_in(tier, [cold], its_hots, before, known)
            left = [hot for hot in left if hot not in its_hots]
        for hot in left:
            before = _take_in(tier, [], [hot], before, known)
    for aside in (*hots, *colds):
        aside.tier.delete()
        log.warning("%s: is taken in again", aside.tier.path)
    return any(found)


def _asides(path: Path) -> list[Path]:
    """The files of this name that were set aside and are this version's, the newest first."""
    name = re.compile(rf"{re.escape(path.stem)}\.schema-(\d+)(?:-(\d+))?{re.escape(path.suffix)}")
    found = [
        (int(match[2] or 1), each)
        for each in path.parent.iterdir()
        if (match := name.fullmatch(each.name)) and int(match[1]) <= len(MIGRATIONS)
    ]
    return [each for _, each in sorted(found, reverse=True)]


def _open(paths: list[Path], stack: ExitStack) -> Iterator[_Aside]:
    for path in paths:
        try:
            tier, sessions = open_checked(path, "normal", Tier.sessions)
        except StoreError as error:
            log.error("%s; it stays where it is", error)  # noqa: TRY400 - a person's error
        else:
            stack.enter_context(closing(tier))
            yield _Aside(tier, {entry[0].id: entry for entry in sessions})


def _take_in(tier: Tier, colds: list[_Aside], hots: list[_Aside], before: int, known: Known) -> int:
    """Copy a spool; the place of its first session. An account is newer in the hot tier.

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
    places: dict[int, int] = {}
    for session, _ in newest.values():
        if session.id in known:
            there, account = known[session.id]
            places[session.sequence] = there.sequence
            account.done_below = 0  # it was kept without knowing of these
    settled = {key for hot in hots for key in hot.tier.settled()}
    rows = chain.from_iterable(aside.tier.rows() for aside in (*colds, *hots))
    tier.write(
        sessions=unknown,
        rows=(
            row._replace(session=places.get(row.session, row.session + shift))
            for row in rows
            if row.key not in settled
        ),
    )
    return min((session.sequence for session, _ in unknown), default=before)
