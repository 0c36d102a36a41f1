"""What every stage counts and says: the present state on the way, and the sum at the end."""

from collections.abc import Callable

from agent.inquiry import Inquiry
from agent.link import Link
from agent.metrics import Metrics
from agent.sampler import Sampler
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.latch import Latch
from agent.sources import Source
from agent.spool.spool import Spool
from agent.state import AlarmState, Latest, State
from quartet.clock import Clock
from quartet.columns import named


class Summary:
    """Reads every stage. Loop only."""

    def __init__(
        self,
        agent_id: str,
        *,
        source: Source,
        sampler: Sampler,
        spool: Spool,
        link: Link,
        metrics: Metrics,
        inquiry: Inquiry,
        sinks: FanOut,
        alarm: Alarm | None,
        latch: Latch | None,
        mqtt: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._agent_id = agent_id
        self._source = source
        self._sampler = sampler
        self._spool = spool
        self._link = link
        self._metrics = metrics
        self._inquiry = inquiry
        self._sinks = sinks
        self._alarm = alarm
        self._latch = latch
        self._mqtt = mqtt
        self._clock = clock

    @property
    def complete(self) -> bool:
        """Whether every sample has its prediction or is safe, and every sink has all of them."""
        spool = self._spool
        waits_in_vain = spool.unanswered if spool.private else 0
        without = spool.dropped + spool.lost + spool.unanswerable + waits_in_vain
        return not without and not self._sinks.failures

    def state(self) -> State:
        """What the agent is doing now."""
        at_ns = self._clock.time_ns()
        in_state_ns = round((self._clock.monotonic() - self._link.since_s) * 1e9)
        latest, standing = self._metrics.latest, self._inquiry.standing
        since_ns = self._metrics.true_since_ns
        if since_ns is not None and standing.alarm_since_ns is not None:
            since_ns = min(since_ns, standing.alarm_since_ns)  # it may be older than this start
        return State(
            at_ns=at_ns,
            agent_id=self._agent_id,
            broker=str(self._link.broker),
            home=str(self._link.home or ""),
            link=self._link.state,
            link_since_ns=at_ns - in_state_ns,
            link_trouble=self._link.trouble,
            waiting=self._spool.unanswered,
            prediction=Latest(
                latest.sample.session.id,
                latest.sample.id,
                latest.sample.sampled_at_ns,
                latest.value,
            )
            if latest
            else None,
            learning=standing.learning if standing.is_learning else None,
            alarm_since_ns=since_ns,
            alarm_reason=standing.reason if since_ns is not None else "",
            sensors=tuple(self._source.labels),
            source_trouble=self._source.trouble,
            spool_trouble=self._spool.trouble or "",
            output=self._output(),
            output_held_since_ns=self._latch.hold.since_ns
            if self._latch and self._latch.hold
            else None,
            mqtt=self._mqtt(),
        )

    def _output(self) -> str:
        if self._alarm:
            return self._alarm.state
        # Its pin cannot be used, and a person waits for it all the same.
        return AlarmState.HELD if self._latch and self._latch.hold else ""

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
            "late readings": self._sampler.overruns,
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
