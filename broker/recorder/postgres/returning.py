"""Lines that this broker gives back: of plain peers, of simulations, and those never begun."""

from weakref import WeakSet

from broker.errors import RecordError
from broker.recorder.postgres.leases import Leases
from broker.recorder.postgres.link import Link
from broker.records import Claim, Lease

# A line of which nothing was recorded goes: who only opens streams leaves nothing behind.
_GIVE_BACK = """
    WITH given AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS given (line, epoch)),
    unbegun AS (
        DELETE FROM lines USING given
        WHERE lines.line = given.line AND lines.epoch = given.epoch AND heard_at IS NULL
    )
    UPDATE lines SET owner = NULL FROM given
    WHERE lines.line = given.line AND lines.epoch = given.epoch AND heard_at IS NOT NULL
"""


class Returning:
    """Counts the streams of each line, and gives back those that have none. Loop only.

    An agent's line stays with its broker: the agent is soon back.
    """

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._left: set[Lease] = set()
        self._beginning: WeakSet[Lease] = WeakSet()
        self._early: set[Lease] = set()

    def begins(self, lease: Lease) -> None:
        """The next round makes a line for this lease, unless it has one."""
        self._beginning.add(lease)

    def release(self, claim: Claim) -> None:
        """A stream has ended."""
        held = self._leases.held(claim.lease)
        if held is None:
            if claim.lease in self._beginning and claim.lease.is_good:
                self._early.add(claim.lease)
            return
        held.streams -= 1
        if held.is_passing or not held.is_begun:
            self._left.add(claim.lease)

    async def step(self, link: Link) -> None:
        """Give back what is left; all that was recorded before is committed."""
        for lease in self._early:
            if held := self._leases.held(lease):
                held.streams -= 1
                self._left.add(lease)
        self._early.clear()
        left = {*self._left}
        rows = []
        for lease in left:
            held = self._leases.held(lease)
            if held and held.streams <= 0 and (held.is_passing or not held.is_begun):
                lease.fail(RecordError("its last stream has ended"))
                rows.append((held.line, held.epoch))
        if rows:
            await link.commit(_GIVE_BACK, *map(list, zip(*rows, strict=True)))
        self._left -= left
