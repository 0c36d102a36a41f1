"""What was read of the store and is not in console.db yet."""

from dataclasses import dataclass, field

from broker.console.book.rollups import FINEST, Buckets, fold
from broker.feed.alarms import Run, Tail
from broker.recorder.reader import Bulk, Strip


@dataclass(slots=True)
class Pending:
    """Rests on what console.db has behind a cursor: void where that has moved on by itself."""

    base: str
    """The cursor in console.db."""
    cursor: str
    """Behind all that is in here."""
    arrived_at_ns: int = 0
    """When the last sample arrived."""
    samples: int = 0
    buckets: dict[str, Buckets] = field(default_factory=dict)
    """Of the finest level, by agent: to be merged into those of console.db."""
    tails: dict[str, Tail] = field(default_factory=dict)
    """Of the lines that had samples, and of others."""
    peers: dict[str, str] = field(default_factory=dict)
    """Of the same lines, of whose first streams; empty: nobody can tell."""
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    """Alarms that are not as they are in console.db, by agent and beginning."""

    def take(self, bulk: Bulk, until_ns: int) -> tuple[bool, dict[str, int]]:
        """Take in what comes next. Its lines are known.

        Whether alarms changed; how many samples of each agent are from that time on, and not in
        the buckets.
        """
        is_changed, ahead = False, {}
        for strip in bulk.strips:
            within = strip
            if max(strip.sampled_at_ns) >= until_ns:
                within = _before(strip, until_ns)
                ahead[strip.agent_id] = len(strip.values) - len(within.values)
            fold(within, self.buckets.setdefault(strip.agent_id, {}), FINEST.width_ns)
            changed = self.tails[strip.agent_id].follow(strip)
            is_changed = is_changed or bool(changed)
            self.peers[strip.agent_id] = strip.peer or self.peers[strip.agent_id]
            self.runs.update({(strip.agent_id, begun): run for begun, run in changed.items()})
            self.samples += len(strip.values)
        self.cursor = bulk.cursor
        self.arrived_at_ns = bulk.arrived_at_ns or self.arrived_at_ns
        return is_changed, ahead

    def saved(self) -> None:
        """All of it is in console.db."""
        self.base = self.cursor
        self.samples = 0
        self.buckets.clear()
        self.runs.clear()


def _before(strip: Strip, until_ns: int) -> Strip:
    """The samples that were taken before a time, without what was said."""
    found = [number for number, at_ns in enumerate(strip.sampled_at_ns) if at_ns < until_ns]
    return Strip(
        strip.agent_id,
        [strip.sampled_at_ns[number] for number in found],
        [strip.predictions[number] for number in found],
        [strip.values[number] for number in found],
    )
