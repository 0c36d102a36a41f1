"""What a former process left in the hot tier: all of it, also where it can only be read."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from agent.model import Session
from agent.spool.account import Sessions
from agent.spool.register import Given
from agent.spool.row import BEFORE_ALL, Row
from agent.spool.tier import COMPANIONS, OpenTier, Tier, delete, is_stale

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What a start finds in the hot tier; `replaced`: some rows may have been lost."""

    sessions: Sessions
    rows: dict[int, tuple[int, int]]
    settled: int
    replaced: bool

    @property
    def strays(self) -> set[int]:
        """The sequences of rows whose session is not there: its row was damaged."""
        return self.rows.keys() - {session.sequence for session, _ in self.sessions}

    def with_more(self, sessions: Sessions, rows: Iterable[Row]) -> "Found":
        """The same with these accounts in place of older ones, and with further rows."""
        accounts = {entry[0].id: entry for entry in (*self.sessions, *sessions)}
        counts = dict(self.rows)
        for row in rows:
            count, last_id = counts.get(row.session, (0, 0))
            counts[row.session] = count + 1, max(last_id, row.id)
        return self._replace(
            sessions=sorted(accounts.values(), key=lambda entry: entry[0].sequence), rows=counts
        )


def nameless(
    found: Found, given: Iterable[Given], cold: tuple[int, Sessions] | None
) -> Iterator[Session]:
    """Sessions whose row was damaged and whose samples are there, as the register tells them.

    Not those of which the cold tier has an account.
    """
    in_cold = {session.id for session, _ in cold[1]} if cold else set()
    sessions = (each.session for each in given)
    return (s for s in sessions if s.sequence in found.strays and s.id not in in_cold)


def look(hot: Tier) -> Found:
    """Check the whole of a hot tier, which is small, and use it: damage shows at once."""
    hot.check()
    hot.read(BEFORE_ALL, 1)
    hot.write(move=hot.moves())
    return _read(hot)


def look_only(
    path: Path, copy: Path, open_tier: OpenTier, cold: tuple[int, Sessions] | None
) -> tuple[Tier | None, Found]:
    """The tier and what is in it, where its file cannot be written; None for nothing of use.

    It is copied to `copy` where its directory has no room for what SQLite makes beside a file.
    `cold` is the last move and the sessions of the cold tier, where it can be read.
    """
    nothing = Found([], {}, 0, replaced=False)
    try:
        if not path.exists():
            return None, nothing
    except OSError:
        return None, nothing
    opened: tuple[Callable[[], Tier], ...] = (
        lambda: open_tier(path, None),
        lambda: _copied(path, copy, open_tier),
    )
    for open_one in opened:
        tier = None
        try:
            tier = open_one()
            found = _read(tier)
            stale = bool(cold and is_stale((tier.moves(), found.sessions), cold))
        except OSError as error:
            log.debug("%s: cannot be read either: %s", path, error)
            if tier:
                tier.close()
            continue
        if not stale:
            return tier, found
        tier.close()
        break
    else:
        log.error("%s: cannot be read: the samples in it are not sent", path)
        nothing = nothing._replace(replaced=True)
    with suppress(OSError):
        delete(copy)
    return None, nothing


def _copied(path: Path, copy: Path, open_tier: OpenTier) -> Tier:
    import shutil  # noqa: PLC0415 - a healthy device has no use for it

    delete(copy)
    for companion in ("", COMPANIONS[0]):
        source = Path(f"{path}{companion}")
        if source.exists():
            shutil.copyfile(source, f"{copy}{companion}")
    return open_tier(copy, "off")


def _read(hot: Tier) -> Found:
    settled = sum(1 for _ in hot.settled())
    return Found(hot.sessions(), hot.counts(), settled, replaced=False)
