"""A spool that is full: what is dropped is counted, and logged once an episode."""

import logging

from agent.spool.account import Fate
from quartet.plural import counted

log = logging.getLogger(__name__)

_CONSEQUENCES = {
    Fate.FULL: "the oldest samples are dropped until the broker answers",
    Fate.REFUSED: "new samples are refused until the broker answers",
    Fate.STALLED: "new samples are dropped until a commit succeeds",
}


class Fullness:
    """Logs an error at the first sample that is dropped, and their number at the end."""

    def __init__(self) -> None:
        self._in_this_episode = 0
        self.counts = dict.fromkeys(_CONSEQUENCES, 0)
        """Number of samples that were dropped, by the reason. May be read on any thread."""

    @property
    def count(self) -> int:
        """Number of samples that were dropped. Any thread."""
        return sum(self.counts.values())

    def dropped(self, fate: Fate, count: int, bound: str) -> None:
        """Count samples that were dropped; `bound` is the setting that says so, in brackets."""
        if count and not self._in_this_episode:
            log.error("the spool is full%s: %s", bound, _CONSEQUENCES[fate])
        self._in_this_episode += count
        self.counts[fate] += count

    def ended(self) -> None:
        """There is room again."""
        self._end("the spool has room again; %s dropped")

    def closed(self) -> None:
        """The spool ends, full or not."""
        self._end("the spool was full; %s dropped")

    def _end(self, message: str) -> None:
        if self._in_this_episode:
            log.warning(message, counted(self._in_this_episode, "sample", "was", "were"))
            self._in_this_episode = 0
