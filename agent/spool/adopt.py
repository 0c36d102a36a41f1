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


@dataclasses.dataclass(frozen=True, slots=True)
class _Aside:
    """A file that was set aside."""

    tier: Tier
    sessions: dict[str, tuple[Session, Account]]


def adopt(tier: Tier, hot_path: Path, before: int) -> bool:
    """Take in the files that both tiers have set aside; whether there were any.

    Their sessions come before this place in the order of all. A file that cannot
    be read stays where it is.
    """
    found = _asides(hot_path), _asides(tier.path)
    with ExitStack() as stack:
        hots, colds = ([*_open(paths, stack)] for paths in found)
        left = list(hots)
        for cold in colds:
            # The hot tier holds the newest session, which its cold tier knows.
            its_hots = [hot for hot in left if hot.sessions.keys() & cold.sessions.keys()]
            before = _take_in(tier, [cold], its_hots, before)
            left = [hot for hot in left if hot not in its_hots]
        for hot in left:
            before = _take_in(tier, [], [hot], before)
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


def _take_in(tier: Tier, colds: list[_Aside], hots: list[_Aside], before: int) -> int:
    """Copy a spool; the place of its first session. An account is newer in the hot tier.

    What the tier has already was copied before an end that came before the file was deleted.
    """
    newest: dict[str, tuple[Session, Account]] = {}
    for aside in (*colds, *hots):
        newest |= aside.sessions
    there = {session.id for session, _ in tier.sessions()}
    copied = {entry[0].sequence for session_id, entry in newest.items() if session_id in there}
    newest = {session_id: entry for session_id, entry in newest.items() if session_id not in there}
    in_hot = {session_id for hot in hots for session_id in hot.sessions}
    for session_id, (_, account) in newest.items():
        account.power_lost |= not (account.ended or session_id in in_hot)
        account.ended = True
    shift = before - 1 - max((s.sequence for s, _ in newest.values()), default=0)
    settled = {key for hot in hots for key in hot.tier.settled()}
    rows = chain.from_iterable(aside.tier.rows() for aside in (*colds, *hots))
    tier.write(
        sessions=[
            (dataclasses.replace(session, sequence=session.sequence + shift), account)
            for session, account in newest.values()
        ],
        rows=(
            row._replace(session=row.session + shift)
            for row in rows
            if row.key not in settled and row.session not in copied
        ),
    )
    return min((s.sequence + shift for s, _ in newest.values()), default=before)
