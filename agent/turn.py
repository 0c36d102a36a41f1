"""Whose turn it is, of several brokers: the agent's home, or the next one when a link breaks. Pure.

Any of them serves any agent. The agent alone decides: the brokers do not know of each other.
"""

from collections.abc import Sequence

from quartet.address import Address
from quartet.backoff import Backoff

# A link that breaks sooner after its first answer is one more failure, not a new first one: two
# brokers that both answer once and break would otherwise be tried in a loop without a pause.
STEADY_S = 1.0

_DIGEST_BYTES = 8


def ranked(agent_id: str, brokers: Sequence[Address]) -> tuple[Address, ...]:
    """The brokers in this agent's order; the first one is its home.

    Which of two comes first depends on these two and the agent alone. So the agents of a broker
    that is gone spread over all others, and nobody else moves. Source: Thaler and Ravishankar,
    "A Name-Based Mapping Scheme for Rendezvous", 1996.
    """

    if len(brokers) == 1:
        return tuple(brokers)
    from hashlib import blake2b  # noqa: PLC0415 - of no use for one broker

    def rank(broker: Address) -> bytes:
        return blake2b(f"{agent_id} {broker}".encode(), digest_size=_DIGEST_BYTES).digest()

    return tuple(sorted(brokers, key=rank))


class Turn:
    """Goes round the brokers in an agent's order: one whole round at once, and then a pause."""

    def __init__(self, order: Sequence[Address], backoff: Backoff) -> None:
        """At home. The order is that of ranked(), of one broker or more."""
        self._order = tuple(order)
        self._backoff = backoff
        self._at = 0
        self._failures = 0  # in a row
        self._left: int | None = None  # for home, which has not answered yet

    @property
    def present(self) -> Address:
        """The broker to stream to."""
        return self._order[self._at]

    @property
    def home(self) -> Address:
        """The first one of the order."""
        return self._order[0]

    @property
    def is_alone(self) -> bool:
        """Whether there is no other broker."""
        return len(self._order) == 1

    @property
    def is_homecoming(self) -> bool:
        """Whether another one was left for home, and home has not answered yet."""
        return self._left is not None

    def answered(self) -> None:
        """The present one answers."""
        self._left = None
        self._backoff.reset()

    def broken(self, streamed_s: float) -> float:
        """Go to the next one; the seconds to wait before. It streamed for so long before."""
        self._left = None
        self._failures = 1 if streamed_s >= STEADY_S else self._failures + 1
        self._at = (self._at + 1) % len(self._order)
        return self._backoff.next_s() if self._failures % len(self._order) == 0 else 0.0

    def go_home(self) -> None:
        """Go home, from one that serves."""
        self._left, self._at = self._at, 0

    def refused(self) -> None:
        """Go home after the wait: one that refuses serves nobody who could be lost there."""
        self._at = 0

    def go_back(self) -> bool:
        """Go back to the one that was left for home; False if home has answered since."""
        if self._left is None:
            return False
        self._at, self._left = self._left, None
        return True
