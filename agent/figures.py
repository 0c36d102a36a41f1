"""What Prometheus is told of an agent: read from each stage at the moment of the question."""

from collections.abc import Iterator

from agent.credentials import Credentials
from agent.link import Link
from agent.metrics import Metrics
from agent.sampler import Sampler
from agent.sources import Source
from agent.spool.spool import Spool
from agent.state import LinkState
from quartet.metrics.build import build
from quartet.metrics.text import DURATIONS_S, alone, counter, gauge, histogram, labels


class Figures:
    """Reads every stage. Loop only."""

    def __init__(
        self,
        *,
        source: Source,
        sampler: Sampler,
        spool: Spool,
        link: Link,
        metrics: Metrics,
        credentials: Credentials,
    ) -> None:
        self._source = source
        self._sampler = sampler
        self._spool = spool
        self._link = link
        self._metrics = metrics
        self._credentials = credentials

    def text(self) -> str:
        """All figures."""
        return "".join((*self._samples(), *self._readings(), *self._connection()))

    def _samples(self) -> Iterator[str]:
        spool = self._spool
        fates = {
            "answered": spool.answered,
            "dropped": spool.dropped,
            "lost": spool.lost,
            "unanswerable": spool.unanswerable,
        }
        yield build("agent")
        yield counter(
            "quartet_agent_samples_total",
            "Samples by what became of them since the start: 'agent ledger' lists them all.",
            [(labels(fate=fate), count) for fate, count in fates.items()],
        )
        yield counter(
            "quartet_agent_dropped_total",
            "Samples that were dropped: the oldest of a full spool, new ones that a full spool"
            " refuses, or new ones that a slow disk cannot take.",
            [(labels(reason=reason), count) for reason, count in spool.dropped_by.items()],
        )
        yield gauge("quartet_agent_waiting", "Samples without an answer.", alone(spool.unanswered))
        yield gauge(
            "quartet_agent_spool_bytes", "Size of the files of the spool.", alone(spool.size)
        )

    def _readings(self) -> Iterator[str]:
        yield counter(
            "quartet_agent_overruns_total",
            "Samples that were not taken, because the reading before was late.",
            alone(self._sampler.overruns),
        )
        yield counter(
            "quartet_agent_reading_failures_total",
            "Readings with a fault, by its kind.",
            [(labels(kind=kind), count) for kind, count in {**self._source.faults}.items()],
        )

    def _connection(self) -> Iterator[str]:
        trips = self._metrics.round_trips
        yield histogram(
            "quartet_agent_round_trip_seconds",
            "From a sample's sending until its prediction, in seconds.",
            trips.by_bound(DURATIONS_S),
            trips.sum_ns / 1e9,
        )
        yield gauge(
            "quartet_agent_link_up",
            "1 while the broker answers samples.",
            alone(int(self._link.state is LinkState.STREAMING)),
        )
        if expiry := self._credentials.expiry:
            yield gauge(
                "quartet_agent_certificate_expiry_timestamp_seconds",
                "When the agent's certificate expires, in Unix seconds.",
                alone(expiry.timestamp()),
            )
