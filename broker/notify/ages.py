"""How old messages are, whatever the clock is set to while they wait."""

from collections import OrderedDict
from collections.abc import Iterable

from broker.notify.message import Message
from broker.notify.outbox import MOST
from quartet.clock import Clock


class Ages:
    """Of messages of this process, and of earlier ones. Loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_ns = self._ahead_ns()
        self._set_ns: OrderedDict[str, int] = OrderedDict()
        """By the id of a message of this process, by how much the clock had been set by then."""

    def note(self, messages: Iterable[Message]) -> None:
        """They are new."""
        self._set_ns.update((message.id, self._set_by_ns()) for message in messages)
        while len(self._set_ns) > MOST:  # none of those waits any more
            self._set_ns.popitem(last=False)

    def of(self, message: Message) -> int:
        """How old one is, in ns."""
        since_ns = self._set_by_ns() - self._set_ns.get(message.id, 0)
        return max(0, self._clock.time_ns() - message.at_ns - since_ns)

    def _set_by_ns(self) -> int:
        """By how much the clock has been set since the process began."""
        return self._ahead_ns() - self._began_ns

    def _ahead_ns(self) -> int:
        return self._clock.time_ns() - self._clock.monotonic_ns()
