"""The link against scripted brokers over real sockets, and a proxy that cuts and stalls them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import grpc
import msgspec
import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.peers import Peer, Proxy, scripted_broker
from support.spools import home_in_ram

from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.link import RETRYABLE, Link
from agent.model import Identity, Prediction, Reading
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from agent.state import LinkState
from agent.stream import Ending
from quartet.address import Address
from quartet.clock import Clock

PERIOD_NS = 100_000_000
VALUES = (0.25, 0.5, 0.75, 1.0)
QUICK = LinkSettings(
    window=8, reply_deadline_s=0.5, backoff_min_s=0.01, backoff_max_s=0.02, keepalive_s=10
)


class Bench:
    """A link between a spool that a test fills and a list of predictions."""

    leaving: ExitStack

    def __init__(
        self,
        port: int,
        settings: LinkSettings = QUICK,
        period_ns: int = 0,
        clock: Clock = time,
    ) -> None:
        self.predictions: list[Prediction] = []
        home = self.leaving.enter_context(home_in_ram())
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        spool = Spool(directories, SpoolSettings(), period_ns)
        self.spool = self.leaving.enter_context(closing(spool))
        self.on_prediction: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()
        self.link = Link(
            Identity("bench"),
            [Address("127.0.0.1", port)],
            settings,
            self.spool,
            self._deliver,
            credentials=Plaintext(),
            clock=clock,
        )

    def sample(self, count: int, *, sampled_at_ns: int = 0) -> None:
        for number in range(count):
            self.spool.append(Reading(VALUES, sampled_at_ns + number * PERIOD_NS))

    def _deliver(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)
        self.on_prediction()
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; asked anew at each prediction and each entry of the link's log."""
        noticed = logging.getLogger("agent.link")
        handler = logging.Handler()
        handler.emit = lambda _: self._changed.set()  # type: ignore[method-assign]
        noticed.addHandler(handler)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            noticed.removeHandler(handler)

    @property
    def answers(self) -> list[tuple[int, bool]]:
        return [(p.sample.id, p.value) for p in self.predictions]

    async def run(self) -> None:
        """Until each sample that was put in is settled."""
        self.spool.finish()
        async with asyncio.timeout(PATIENCE_S):
            await self.link.run()


@pytest.fixture(autouse=True)
def _leaving_the_benches() -> Iterator[None]:
    with ExitStack() as Bench.leaving:
        yield


def by_parity(count: int) -> list[tuple[int, bool]]:
    return [(id_, id_ % 2 == 0) for id_ in range(count)]


async def test_every_sample_gets_its_prediction_in_order() -> None:
    async with scripted_broker(Peer.echo) as port:
        bench = Bench(port)
        bench.sample(500)
        await bench.run()
    assert bench.answers == by_parity(500)
    assert bench.spool.answered == bench.spool.sampled == 500
    assert bench.link.reconnects == 0


async def test_metadata_describes_the_run() -> None:
    seen: list[dict[str, str]] = []

    async def script(peer: Peer) -> None:
        seen.append(peer.metadata)
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port, period_ns=PERIOD_NS)
        bench.sample(3, sampled_at_ns=1_700_000_000_000_000_000)
        await bench.run()
    (metadata,) = seen
    assert metadata["agent-id"] == "bench"
    assert metadata["session-id"] == bench.predictions[0].sample.session.id
    assert metadata["first-id"] == "0"
    assert metadata["first-sampled-at-ns"] == "1700000000000000000"
    assert metadata["sample-period-ns"] == str(PERIOD_NS)


async def test_only_one_sample_is_sent_before_the_first_answer() -> None:
    requests: asyncio.Queue[int] = asyncio.Queue()
    answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        while (request := await peer.read()) is not None:
            requests.put_nowait(request.id)
            await answer.wait()
            await peer.answer(request.id)

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(20)
        running = asyncio.create_task(bench.run())
        assert await requests.get() == 0
        sent = len(bench.spool._queue._in_flight)  # noqa: SLF001 - what is on its way, and nothing else tells
        answer.set()
        await running
    assert sent == 1


async def test_the_window_is_never_exceeded() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        first = await peer.read()
        await peer.answer(first.id)
        held: list[int] = []
        while (request := await peer.read()) is not None:
            held.append(request.id)
            most = max(most, len(held))
            if len(held) == QUICK.window or request.id == 99:
                while held:
                    await peer.answer(held.pop(0))

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(100)
        await bench.run()
    assert most == QUICK.window
    assert len(bench.predictions) == 100


@pytest.mark.parametrize("code", sorted(RETRYABLE - {grpc.StatusCode.OK}, key=str))
async def test_a_broken_stream_is_resumed_from_the_lowest_unanswered_id(
    code: grpc.StatusCode,
) -> None:
    firsts: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        firsts.append((int(peer.metadata["first-id"]), len(bench.predictions)))
        if len(firsts) == 1:
            for _ in range(10):
                request = await peer.read()
                await peer.answer(request.id, request.id % 2 == 0)
            await peer.abort(code, "one bad moment")
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(50)
        await bench.run()
    assert bench.answers == by_parity(50)
    ((_, _), (first_id, answered)) = firsts
    assert 1 <= first_id == answered <= 10
    assert bench.link.reconnects == 1


async def test_an_early_ok_is_a_broken_link() -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        request = await peer.read()
        await peer.answer(request.id, request.id % 2 == 0)
        if streams > 2:
            await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(10)
        await bench.run()
    assert bench.answers == by_parity(10)
    assert bench.link.reconnects == 2


async def test_a_cut_connection_is_resumed() -> None:
    async with scripted_broker(Peer.echo) as port, Proxy(port).serving() as (proxy, via):
        bench = Bench(via)
        running = asyncio.create_task(bench.link.run())
        for number in range(5):
            bench.sample(20)
            await bench.until(lambda seen=20 * (number + 1): len(bench.predictions) == seen)
            proxy.cut()
        bench.sample(20)
        bench.spool.finish()
        await asyncio.wait_for(running, PATIENCE_S)
    assert bench.answers == by_parity(120)
    assert bench.link.reconnects == 5


async def test_a_half_open_connection_is_left_for_a_new_one_after_the_reply_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with scripted_broker(Peer.echo) as port, Proxy(port).serving() as (proxy, via):
        bench = Bench(via)
        running = asyncio.create_task(bench.link.run())
        bench.sample(5)
        await bench.until(lambda: len(bench.predictions) == 5)
        proxy.stall()
        bench.sample(5)
        await bench.until(lambda: len(bench.predictions) == 10)
        bench.spool.finish()
        await asyncio.wait_for(running, PATIENCE_S)
        assert proxy.connections == 2
    assert bench.answers == by_parity(10)
    assert "no answer for 0.5 s" in caplog.text
    assert "streaming to" in caplog.text


async def test_an_outage_is_logged_at_its_first_failure_and_with_its_length_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent.link")
    clock = ManualClock()
    endings = iter([*("UNIMPLEMENTED", "UNAVAILABLE", "UNAVAILABLE"), None])

    async def script(peer: Peer) -> None:
        await peer.read()
        if ending := next(endings):
            clock.advance(2.5)
            await peer.abort(grpc.StatusCode[ending], "not now")
        await peer.answer(0, True)
        await peer.echo()

    async with scripted_broker(script) as port:
        patient = msgspec.structs.replace(QUICK, reply_deadline_s=30.0)
        bench = Bench(port, patient, clock=clock)
        bench.sample(1)
        await bench.run()
    entries = [
        (record.levelname, record.getMessage().partition(" (")[0]) for record in caplog.records
    ]
    address = f"127.0.0.1:{port}"
    assert entries == [
        ("ERROR", f"{address} refuses the stream"),
        ("WARNING", f"no connection to {address}"),
        ("DEBUG", f"no connection to {address}"),
        ("INFO", f"streaming to {address}, after 5.0 s"),
    ]


async def test_the_link_knows_since_when_it_streams_or_does_not() -> None:
    clock = ManualClock(now_s=100.0)
    since: list[tuple[LinkState, float]] = []
    endings = iter(["UNAVAILABLE", None, "UNAVAILABLE", "UNAVAILABLE", None])

    async def script(peer: Peer) -> None:
        await peer.read()
        since.append((bench.link.state, bench.link.since_s))
        clock.advance(1.0)
        if ending := next(endings):
            await peer.abort(grpc.StatusCode[ending], "not now")
        await peer.answer(0 if len(since) == 2 else 1)
        if len(since) == 2:
            await peer.read()
            clock.advance(1.0)
            await peer.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        await peer.echo()

    async with scripted_broker(script) as port:
        patient = msgspec.structs.replace(QUICK, reply_deadline_s=30.0)
        bench = Bench(port, patient, clock=clock)
        bench.sample(2)
        await bench.run()
    assert since == [
        (LinkState.CONNECTING, 100.0),
        (LinkState.WAITING, 100.0),  # it has never streamed
        (LinkState.WAITING, 103.0),
        (LinkState.WAITING, 103.0),
        (LinkState.WAITING, 103.0),
    ]
    assert (bench.link.state, bench.link.since_s) == (LinkState.STREAMING, 106.0)


async def test_unknown_and_repeated_answers_are_counted_and_ignored() -> None:
    async def script(peer: Peer) -> None:
        while (request := await peer.read()) is not None:
            await peer.answer(request.id + 1000)
            await peer.answer(request.id, request.id % 2 == 0)
            await peer.answer(request.id, request.id % 2 == 1)

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(10)
        await bench.run()
    assert bench.answers == by_parity(10)
    assert 18 <= bench.link.unknown_answers <= 20


async def test_answers_out_of_order_are_taken_each_for_its_own_id() -> None:
    async def script(peer: Peer) -> None:
        first = await peer.read()
        await peer.answer(first.id, True)
        held = [await peer.read() for _ in range(4)]
        for request in reversed(held):
            await peer.answer(request.id, request.id % 2 == 0)
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(5)
        await bench.run()
    assert sorted(bench.answers) == by_parity(5)


@pytest.mark.parametrize(("code", "tries"), [("INTERNAL", 3), ("OUT_OF_RANGE", 1)])
async def test_a_sample_that_is_refused_is_given_up_and_the_next_go_on(
    code: str, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    alone = 0

    async def script(peer: Peer) -> None:
        nonlocal alone
        while (request := await peer.read()) is not None:
            if request.id == 7:
                alone += peer.metadata["first-id"] == "7"
                await peer.abort(grpc.StatusCode[code], "not this one", refused_id="7")
            await peer.answer(request.id, request.id % 2 == 0)

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(20)
        await bench.run()
    assert bench.answers == [answer for answer in by_parity(20) if answer[0] != 7]
    assert bench.spool.unanswerable == 1
    assert bench.link.answers_expired == (code == "OUT_OF_RANGE")
    assert alone <= tries
    assert alone == tries or code == "OUT_OF_RANGE"
    assert "sample 7 gets no prediction" in caplog.text


async def test_an_internal_without_refused_id_gives_no_sample_up() -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        if streams <= 6:
            await peer.read()
            await peer.abort(grpc.StatusCode.INTERNAL, "a proxy's bad day")
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(3)
        await bench.run()
    assert bench.answers == by_parity(3)
    assert bench.spool.unanswerable == 0


async def test_a_broker_of_another_service_is_refused_loudly_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scripted_broker(None) as port:
        bench = Bench(port)
        bench.sample(3)
        running = asyncio.create_task(bench.link.run())
        await bench.until(lambda: caplog.text.count("UNIMPLEMENTED") >= 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert "this is not a Quartet broker" in caplog.text
    assert bench.spool.unanswered == 3


async def test_being_superseded_is_said_and_not_fought_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        await peer.read()
        await peer.abort(grpc.StatusCode.ABORTED, "a newer stream", superseded_by="f" * 32)

    async with scripted_broker(script) as port:
        bench = Bench(port, LinkSettings(backoff_min_s=0.01, backoff_max_s=3600))
        bench.sample(1)
        running = asyncio.create_task(bench.link.run())
        await bench.until(lambda: "give each device its own id" in caplog.text)
        assert "next try in 3600 s" in caplog.text
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert streams == 1


async def test_a_broker_that_sends_garbage_is_left(caplog: pytest.LogCaptureFixture) -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        if streams == 1:
            await peer.read()
            await peer.context.write(b"\xff\xff\xff")
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(5)
        await bench.run()
    assert bench.answers == by_parity(5)
    assert "3 bytes that are not a BrokerResponse" in caplog.text


async def test_a_step_of_the_clock_begins_a_new_stream_on_the_same_connection() -> None:
    headers: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        m = peer.metadata
        headers.append((int(m["first-id"]), int(m["first-sampled-at-ns"])))
        await peer.echo()

    step_ns = 3600 * 10**9
    async with scripted_broker(script) as port, Proxy(port).serving() as (proxy, via):
        bench = Bench(via, period_ns=PERIOD_NS)
        bench.sample(10)
        bench.sample(10, sampled_at_ns=step_ns)
        bench.sample(10, sampled_at_ns=5)
        await bench.run()
        assert proxy.connections == 1
    assert bench.answers == by_parity(30)
    assert headers == [(0, 0), (10, step_ns), (20, 5)]
    assert bench.link.reconnects == 0


async def test_jitter_below_the_tolerance_keeps_the_stream() -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port, period_ns=PERIOD_NS)
        for number in range(20):
            jitter_ns = 49_000_000 if number % 2 else -49_000_000
            bench.spool.append(Reading(VALUES, 10**9 + number * PERIOD_NS + jitter_ns // 2))
        await bench.run()
    assert streams == 1


async def test_a_sample_is_settled_only_after_its_prediction_was_delivered() -> None:
    async with scripted_broker(Peer.echo) as port:
        bench = Bench(port)
        unanswered: list[int] = []
        bench.on_prediction = lambda: unanswered.append(bench.spool.unanswered)
        bench.sample(3)
        await bench.run()
    assert unanswered == [3, 2, 1]


async def test_a_cancellation_at_the_very_end_of_a_stream_ends_the_link() -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.abort(grpc.StatusCode.UNAVAILABLE)

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(1)
        running = asyncio.create_task(bench.link.run())
        judge = bench.link._judge  # noqa: SLF001 - runs in the tick in which a stream has ended

        def cancel_and_judge(ending: Ending) -> float:
            running.cancel()
            return judge(ending)

        bench.link._judge = cancel_and_judge  # noqa: SLF001
        await asyncio.wait((running,), timeout=PATIENCE_S)
        assert running.cancelled()


async def test_a_peer_that_never_ends_its_side_keeps_nobody_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.echo()
        await asyncio.Event().wait()

    async with scripted_broker(script) as port:
        bench = Bench(port)
        bench.sample(3)
        await bench.run()
    assert bench.answers == by_parity(3)
    assert "no connection" not in caplog.text


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_broker(Peer.echo) as port, Proxy(port).serving() as (proxy, via):
        for name in ("http_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{via}")
        bench = Bench(port)
        bench.sample(3)
        await bench.run()
        assert proxy.connections == 0
    assert bench.answers == by_parity(3)


async def test_a_new_channel_is_a_new_connection() -> None:
    async with scripted_broker(Peer.echo) as port, Proxy(port).serving() as (proxy, via):
        former, present = Bench(via), Bench(via)
        for bench in (former, present):
            bench.sample(1)
        running = [asyncio.create_task(bench.link.run()) for bench in (former, present)]
        for bench in (former, present):
            await bench.until(lambda bench=bench: len(bench.predictions) == 1)
        assert proxy.connections == 2
        for bench in (former, present):
            bench.spool.finish()
        await asyncio.wait_for(asyncio.gather(*running), PATIENCE_S)
