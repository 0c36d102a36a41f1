"""What Prometheus is told of a broker: read where it is known, at the moment of the question."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from broker.access import Access
from broker.config import Store
from broker.judged import S_NS, State, at_rest, overdue
from broker.line import Line
from broker.lines import Lines
from broker.metering import Meter
from broker.recorder import Recorder
from quartet.metrics.build import build
from quartet.metrics.text import Histogram, alone, counter, gauge, histogram, labels

if TYPE_CHECKING:
    from broker.credentials import Credentials

# Of each family that has a row for each agent. Prometheus would keep more for weeks.
_MOST_AGENTS = 1000

# Only the console knows what a person has acknowledged.
_STATES = [state for state in State if state is not State.ACKNOWLEDGED]

_WAL = "-wal"


class BrokerMetrics:
    """The figures of a broker, and whether it is ready. Loop only.

    They tell of lines whose lease this broker holds. Simulations without a name of their own are
    left out: each run is a new agent, which nobody misses.
    """

    def __init__(
        self,
        meter: Meter,
        lines: Lines,
        access: Access,
        recorder: Recorder,
        *,
        credentials: "Credentials | None",
        store: Store | None,
    ) -> None:
        """`store`: a file, or a database, which other brokers may have, too."""
        self._meter = meter
        self._lines = lines
        self._access = access
        self._recorder = recorder
        self._credentials = credentials
        self._store = store

    def trouble(self) -> str:
        """Why no sample can be answered; empty when they can."""
        if trouble := self._recorder.trouble:
            return trouble
        return "the latest commit failed: see the log" if self._meter.has_failed else ""

    def text(self) -> str:
        """All figures."""
        return "".join((*self._counts(), *self._times(), *self._files(), *self._agents()))

    def _counts(self) -> Iterator[str]:
        meter = self._meter
        yield build("broker")
        yield gauge("quartet_broker_streams", "Streams that are open.", alone(self._access.streams))
        fates = {
            "answered": meter.answered,
            "duplicate": meter.duplicates,
            "refused": meter.refused,
        }
        yield counter(
            "quartet_broker_samples_total",
            "Samples that arrived: answered by the predictor, answered again from the records, or"
            " refused.",
            [(labels(fate=fate), count) for fate, count in fates.items()],
        )
        yield counter(
            "quartet_broker_gap_ids_total",
            "Ids that agents left out: samples that they have dropped or lost.",
            alone(meter.gap_ids),
        )
        yield counter(
            "quartet_broker_commit_failures_total",
            "Batches of samples that could not be recorded. The agents send them again.",
            alone(meter.commit_failures),
        )

    def _times(self) -> Iterator[str]:
        meter = self._meter
        yield _times(
            "answer",
            "From the reading of a sample until its answer is sent, in seconds.",
            meter.answer_s,
        )
        yield _times(
            "predict", "Time that the predictor takes for a sample, in seconds.", meter.predict_s
        )
        yield _times(
            "commit", "Time until a batch of samples is recorded, in seconds.", meter.commit_s
        )

    def _files(self) -> Iterator[str]:
        if isinstance(self._store, Path):
            yield gauge(
                "quartet_broker_store_bytes",
                "Size of the file of the store with its log of commits.",
                alone(sum(map(_size, (self._store, Path(f"{self._store}{_WAL}"))))),
            )
        if self._credentials:
            expiry = self._credentials.identity.certificate.not_after
            yield gauge(
                "quartet_broker_certificate_expiry_timestamp_seconds",
                "When the broker's certificate expires, in Unix seconds.",
                alone(expiry.timestamp()),
            )

    def _agents(self) -> Iterator[str]:
        now_ns = self._meter.clock.time_ns()
        told = [line for line in self._lines.held() if self._is_told(line)]
        heard_at = self._meter.heard_at_ns.get
        heard = [(line, heard_at(line.lease)) for line in told]
        states = Counter(_state(line, at_ns, now_ns) for line, at_ns in heard)
        yield gauge(
            "quartet_broker_agents",
            "Agents of this broker, by their state.",
            [(labels(state=state.value), states[state]) for state in _STATES],
        )
        left_out = max(0, len(told) - _MOST_AGENTS)
        yield gauge(
            "quartet_broker_agents_left_out",
            f"Agents beyond the first {_MOST_AGENTS}, which have no rows of their own.",
            alone(left_out),
        )
        if left_out:
            heard = sorted(heard, key=lambda each: each[0].name)[:_MOST_AGENTS]
        rows = [(labels(agent=line.name), line, at_ns) for line, at_ns in heard]
        yield gauge(
            "quartet_broker_alarm",
            "1 while the latest prediction of the agent is True.",
            [(agent, int(line.standing.alarm is not None)) for agent, line, _ in rows],
        )
        yield gauge(
            "quartet_broker_last_sample_timestamp_seconds",
            "When the newest sample of the agent arrived, in Unix seconds.",
            [(agent, at_ns / S_NS) for agent, _, at_ns in rows if at_ns is not None],
        )

    def _is_told(self, line: Line) -> bool:
        """Whether the line is an agent's, and no other broker can have it meanwhile."""
        if line.is_rehearsal:
            return False
        return line.live is not None or not isinstance(self._store, str)


def _state(line: Line, heard_at_ns: int | None, now_ns: int) -> State:
    if heard_at_ns is None:
        silence: State | None = State.OFFLINE
    else:
        silence = overdue((now_ns - heard_at_ns) / S_NS, line.period_ns / S_NS)
    if silence:
        return silence
    return State.ALARM if line.standing.alarm else at_rest(line.standing)


def _times(what: str, meaning: str, times: Histogram) -> str:
    return histogram(f"quartet_broker_{what}_seconds", meaning, times.counts, times.sum_s)


def _size(path: Path) -> int:
    """In bytes. The broker has the file open: its size is in memory."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - cheaper
    except OSError:
        return 0
