"""What a broker tells Prometheus, against what was sent to it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parsed
from support.clock import ManualClock

from broker.access import Access
from broker.config import LimitsSettings, Store
from broker.errors import RecordError, TakenError
from broker.lines import Lines
from broker.metering import Meter, MeteredRecorder, MeteredWorkers
from broker.metrics import BrokerMetrics
from broker.model import Sample
from broker.predictors import BlackBox
from broker.recorder.memory import Memory, MemoryRecorder
from broker.service import Service
from broker.transport import Call
from broker.transport.memory import MemoryCall, MemoryTransport
from broker.workers import Inline
from quartet.certificates import Certificate
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

many = settings(derandomize=True, deadline=None, max_examples=40)

TAKES_S = 0.003


class Odd:
    """True for odd ids. It learns from three samples, and takes its time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._seen = 0

    def predict(self, sample: Sample) -> bool:
        self._clock.advance(TAKES_S)
        self._seen += 1
        return sample.id % 2 == 1

    def learning(self) -> tuple[int, int]:
        return self._seen, 3


class Credentials:
    """A certificate, as far as it is asked for."""

    def __init__(self, until: datetime) -> None:
        self.identity = self
        self.certificate = Certificate(("b",), 1, "", until, until)


class Broker:
    """A service with metrics, and calls to it."""

    def __init__(
        self,
        recorder: MemoryRecorder | None = None,
        *,
        store: Store | None = None,
        credentials: Any = None,
    ) -> None:
        self.clock = ManualClock()
        self.meter = Meter(self.clock)
        self.recorder = recorder or MemoryRecorder()
        metered = MeteredRecorder(self.recorder, self.meter)
        workers = MeteredWorkers(Inline(self.clock), self.meter)
        access = Access(None, LimitsSettings(), None, self.clock)
        make = BlackBox(lambda: Odd(self.clock), "")
        self.lines = Lines(make, metered, workers, clock=self.clock)
        self.metrics = BrokerMetrics(
            *(self.meter, self.lines, access, metered), credentials=credentials, store=store
        )
        self.transport = MemoryTransport()
        self.service = Service(self.lines, access)

    async def call(
        self, agent: str, first_id: int = 0, session: int = 0, **more: Any
    ) -> MemoryCall:
        handlers = {METHOD_PATH: self.meter.timed(self.service.serve)}
        await self.transport.start(handlers)
        header = StreamHeader(agent, f"{session:032x}", first_id, 1, 10**8, **more)
        return self.transport.call(METHOD_PATH, header.to_metadata())

    async def send(self, agent: str, ids: Iterable[int], **more: Any) -> None:
        """A whole stream of an agent."""
        ids = [*ids]
        call = await self.call(agent, ids[0], **more)
        await answered(call, ids)
        call.done_sending()
        await call.ending()

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a family, by those of their labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in parsed(self.metrics.text())
            for sample in family.samples
            if sample.name == name
        }


async def answered(call: MemoryCall, ids: Iterable[int]) -> None:
    """Send samples, each once the one before is answered."""
    for id_ in ids:
        await call.send(BrokerRequest(id=id_, sensor1=1.0).SerializeToString())
        await call.receive()


async def test_each_sample_is_counted_by_its_fate() -> None:
    broker = Broker()
    await broker.send("press-1", [0, 1, 2, 5, 9])
    await broker.send("press-1", [1, 2])
    call = await broker.call("press-1", 9)
    await call.send(BrokerRequest(id=7, sensor1=1.0).SerializeToString())
    await call.ending()
    assert broker.values("quartet_broker_samples_total") == {
        ("answered",): 5,
        ("duplicate",): 2,
        ("refused",): 1,
    }
    assert broker.values("quartet_broker_gap_ids_total") == {(): 5}
    assert broker.values("quartet_broker_streams") == {(): 0}


async def test_answers_predictions_and_commits_are_timed() -> None:
    broker = Broker()
    await broker.send("press-1", range(4))
    for what, seconds in (("answer", 4 * TAKES_S), ("predict", 4 * TAKES_S), ("commit", 0.0)):
        name = f"quartet_broker_{what}_seconds"
        assert broker.values(f"{name}_count") == {(): 4}
        assert broker.values(f"{name}_sum")[()] == pytest.approx(seconds)
        assert broker.values(f"{name}_bucket")["0.0025",] == (4 if what == "commit" else 0)
        assert broker.values(f"{name}_bucket")["0.005",] == 4


async def test_a_sample_that_waits_for_room_is_timed_from_its_arrival() -> None:
    broker = Broker()

    async def serve(call: Call) -> None:
        assert await call.read(room)
        await call.write([b""])

    async def room() -> None:
        broker.clock.advance(7)

    await broker.transport.start({METHOD_PATH: broker.meter.timed(serve)})
    call = broker.transport.call(METHOD_PATH, ())
    await call.send(b"")
    await call.receive()
    assert broker.values("quartet_broker_answer_seconds_sum") == {(): 7}


@many
@given(st.lists(st.integers(1, 600), max_size=20))
def test_a_turn_counts_for_each_of_its_samples(turns: list[int]) -> None:
    broker = Broker()
    for count in turns:
        broker.meter.predict_s.observe(0.001, count)
    assert broker.values("quartet_broker_predict_seconds_count") == {(): sum(turns)}


def states(broker: Broker) -> dict[str, float]:
    found = broker.values("quartet_broker_agents")
    return {state: count for (state,), count in found.items() if count}


async def test_the_state_of_an_agent_is_that_of_the_status() -> None:
    broker = Broker()
    assert {state for (state,) in broker.values("quartet_broker_agents")} == {
        *("offline", "late", "alarm", "learning", "steady", "normal")
    }
    await broker.send("press-1", [0])
    assert states(broker) == {"learning": 1}
    await broker.send("press-1", [1])
    assert states(broker) == {"alarm": 1}
    assert broker.values("quartet_broker_alarm") == {("press-1",): 1}
    await broker.send("press-1", [2, 3, 4])
    assert states(broker) == {"normal": 1}
    at_s = broker.clock.time_ns() / 1e9
    broker.clock.advance(4)
    assert states(broker) == {"late": 1}
    broker.clock.advance(30)
    assert states(broker) == {"offline": 1}
    heard = broker.values("quartet_broker_last_sample_timestamp_seconds")
    assert heard == {("press-1",): pytest.approx(at_s)}
    assert broker.values("quartet_broker_alarm") == {("press-1",): 0}


async def test_a_line_that_another_broker_has_taken_is_left_out() -> None:
    memory = Memory()
    first, second = Broker(MemoryRecorder(memory)), Broker(MemoryRecorder(memory))
    await first.send("press-1", [0, 1])
    await second.send("press-1", [2])
    assert first.values("quartet_broker_alarm") == {}
    assert states(first) == {}
    assert second.values("quartet_broker_alarm") == {("press-1",): 0}


async def test_with_a_database_only_agents_with_a_stream_are_told() -> None:
    broker = Broker(store="postgresql://db/x")
    call = await broker.call("press-1")
    await answered(call, [0, 1])
    assert broker.values("quartet_broker_alarm") == {("press-1",): 1}
    call.done_sending()
    await call.ending()
    assert broker.values("quartet_broker_alarm") == {}
    assert broker.values("quartet_broker_last_sample_timestamp_seconds") == {}


async def test_simulations_without_a_name_are_left_out() -> None:
    broker = Broker()
    await broker.send("trial-1", [0, 1], is_rehearsal=True)
    await broker.send("press-1", [0])
    assert broker.values("quartet_broker_alarm") == {("press-1",): 0}
    assert sum(states(broker).values()) == 1


async def test_beyond_a_thousand_agents_the_others_are_counted() -> None:
    broker = Broker()
    for number in range(1003):
        await broker.send(f"press-{number:04}", [0])
    assert broker.values("quartet_broker_agents_left_out") == {(): 3}
    told = broker.values("quartet_broker_alarm")
    assert len(told) == 1000
    assert ("press-0999",) in told
    assert sum(states(broker).values()) == 1003


class Failing(MemoryRecorder):
    """Its leases fail at a commit."""

    error: RecordError | None = None

    def record(self, batch: Any) -> Any:
        if self.error:
            batch.claim.lease.fail(self.error)
        return super().record(batch)


async def test_a_failed_commit_is_counted_and_makes_the_broker_not_ready() -> None:
    failing = Failing()
    broker = Broker(failing)
    assert broker.metrics.trouble() == ""
    failing.error = RecordError("disk full")
    call = await broker.call("press-1")
    await call.send(BrokerRequest(id=0, sensor1=1.0).SerializeToString())
    await call.ending()
    assert broker.values("quartet_broker_commit_failures_total") == {(): 1}
    assert broker.metrics.trouble() == "the latest commit failed: see the log"
    failing.error = TakenError("0" * 32)
    await _refused(broker, "press-2")
    assert broker.values("quartet_broker_commit_failures_total") == {(): 1}
    failing.error = None
    await broker.send("press-3", [0])
    assert broker.metrics.trouble() == ""


async def _refused(broker: Broker, agent: str) -> None:
    call = await broker.call(agent)
    await call.send(BrokerRequest(id=0, sensor1=1.0).SerializeToString())
    await call.ending()


def test_trouble_of_the_recorder_is_told() -> None:
    broker = Broker()
    broker.recorder.trouble = "broker.db: is gone"
    assert broker.metrics.trouble() == "broker.db: is gone"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "broker.db"
    path.write_bytes(bytes(100))
    return path


def test_the_store_counts_with_its_log_and_a_database_not_at_all(store: Path) -> None:
    assert Broker(store=store).values("quartet_broker_store_bytes") == {(): 100}
    Path(f"{store}-wal").write_bytes(bytes(11))
    assert Broker(store=store).values("quartet_broker_store_bytes") == {(): 111}
    store.unlink()
    assert Broker(store=store).values("quartet_broker_store_bytes") == {(): 11}
    assert Broker(store="postgresql://db/x").values("quartet_broker_store_bytes") == {}


def test_the_certificate_is_told_by_its_end() -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    name = "quartet_broker_certificate_expiry_timestamp_seconds"
    assert Broker(credentials=Credentials(until)).values(name) == {(): until.timestamp()}
    assert Broker().values(name) == {}


def test_each_name_is_of_the_form_that_prometheus_wants() -> None:
    families = [*parsed(Broker(store="postgresql://db/x").metrics.text())]
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith(("quartet_broker_", "quartet_build"))
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert not {"session", "id"} & sample.labels.keys()
