"""What the agent did, in numbers: for a person at the end, for systemd on the way."""

from agent.link import Link
from agent.metrics import Metrics
from agent.sampler import Sampler
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sources import Source
from agent.spool.spool import Spool
from quartet.columns import named
from quartet.plural import counted


class Summary:
    """Reads the counters of every stage. Loop only."""

    def __init__(
        self,
        *,
        source: Source,
        sampler: Sampler,
        spool: Spool,
        link: Link,
        metrics: Metrics,
        sinks: FanOut,
        alarm: Alarm | None,
    ) -> None:
        self._source = source
        self._sampler = sampler
        self._spool = spool
        self._link = link
        self._metrics = metrics
        self._sinks = sinks
        self._alarm = alarm

    @property
    def complete(self) -> bool:
        """Whether every sample has its prediction or is safe, and every sink has all of them."""
        spool = self._spool
        waits_in_vain = spool.unanswered if spool.private else 0
        without = spool.dropped + spool.lost + spool.unanswerable + waits_in_vain
        return not without and not self._sinks.failures

    def line(self) -> str:
        """The state of the agent on one line."""
        round_trip_ms = self._metrics.round_trips.percentile_ms(50)
        late = self._sampler.overruns
        overruns = f", {counted(late, 'overrun')}" if late else ""
        from_memory = self._spool.from_memory
        alone = f", {from_memory} kept in memory alone" if from_memory else ""
        alarm = f"; alarm {self._alarm.state}" if self._alarm else ""
        return (
            f"{self._link.state}; {counted(self._spool.sampled, 'sample')},"
            f" {self._spool.unanswered} waiting{alone}, {self._metrics.true} predicted True"
            f"{overruns}; round trip {round_trip_ms:.1f} ms{alarm}" + self._trouble()
        )

    def text(self) -> str:
        """The summary at the end, a line a figure; counters only where they are not zero."""
        metrics = self._metrics
        trips = metrics.round_trips
        p50_ms, p99_ms = trips.percentile_ms(50), trips.percentile_ms(99)
        rows = [
            ("samples", str(self._spool.sampled)),
            ("predictions", f"{trips.count} (True {metrics.true}, False {metrics.false})"),
            ("round trip", f"p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms" if trips.count else "none"),
            ("reconnects", str(self._link.reconnects)),
        ]
        rows += [(name, str(count)) for name, count in self._counters().items() if count]
        return "\n".join(named(rows))

    def _counters(self) -> dict[str, int]:
        return {
            "overruns": self._sampler.overruns,
            "of earlier starts": self._spool.earlier,
            "without answer" if self._spool.private else "kept for later": self._spool.unanswered,
            "dropped": self._spool.dropped,
            "lost": self._spool.lost,
            "kept in memory alone": self._spool.from_memory,
            "unanswerable": self._spool.unanswerable,
            "answers expired": self._link.answers_expired,
            "unknown answers": self._link.unknown_answers,
            "sink failures": self._sinks.failures,
            **self._source.faults,
        }

    def _trouble(self) -> str:
        troubles = "; ".join(
            filter(None, (self._source.trouble, self._spool.trouble, self._link.trouble))
        )
        return f" ({troubles})" if troubles else ""
