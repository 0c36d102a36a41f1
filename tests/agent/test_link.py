"""The link against scripted brokers over real sockets, and a proxy that cuts and stalls them."""

import asyncio

import msgspec
import pytest
from support.link_bench import PERIOD_NS, QUICK, VALUES, Bench, by_parity, leaving_the_benches
from support.patience import PATIENCE_S
from support.peers import Peer, Proxy, scripted_broker

from agent.model import Reading

pytestmark = pytest.mark.usefixtures(leaving_the_benches.__name__)


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


async def test_a_peer_that_never_ends_its_side_keeps_nobody_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.echo()
        await asyncio.Event().wait()

    async with scripted_broker(script) as port:
        bench = Bench(port, msgspec.structs.replace(QUICK, reply_deadline_s=2.0))
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
