"""What peers do wrong, in the log, within bounds for each."""

import logging
import re
import time
from collections import OrderedDict

from broker.newcomers import host_of
from quartet.clock import Clock

log = logging.getLogger(__name__)

# What one host does is logged once in this time: an agent with a wrong file tries for ever.
_SPELL_S = 600.0

# Of hosts and what they do. What there is beyond them in a spell is at DEBUG.
_MOST = 1024


# Of these a peer chooses as many as it likes, and would leave no room for what others do.
_NUMBER = re.compile(r"\d+")


class PeerLog:
    """Logs what a peer did wrong, once in a spell for each host and deed. Loop only."""

    def __init__(
        self, clock: Clock = time, *, spell_s: float = _SPELL_S, most: int = _MOST
    ) -> None:
        self._clock = clock
        self._spell_s = spell_s
        self._most = most
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """When it was logged, and how often it came since; oldest first."""

    def tell(self, peer: str, what: str, level: int = logging.INFO) -> None:
        """A peer did this."""
        now_s = self._clock.monotonic()
        key = host_of(peer), _NUMBER.sub("", what)
        since_s, repeats = self._told.get(key, (now_s, -1))
        if repeats >= 0 and now_s - since_s < self._spell_s:
            self._told[key] = since_s, repeats + 1
            log.debug("%s: %s", peer, what)
            return
        while self._told and next(iter(self._told.values()))[0] <= now_s - self._spell_s:
            self._told.popitem(last=False)
        if len(self._told) >= self._most:
            log.debug("%s: %s", peer, what)
            return
        self._told[key] = now_s, 0
        more = f"; {repeats} more before, not logged" if repeats > 0 else ""
        log.log(level, "%s: %s%s", peer, what, more)
