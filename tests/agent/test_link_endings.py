"""How a stream ends, and what the link does then: retries, refusals, and what it says of them."""

import asyncio
import logging

import grpc
import msgspec
import pytest
from support.clock import ManualClock
from support.link_bench import QUICK, Bench, by_parity, leaving_the_benches
from support.patience import PATIENCE_S
from support.peers import Peer, Proxy, scripted_broker

from agent.config import LinkSettings
from agent.link import RETRYABLE
from agent.state import LinkState
from agent.stream import Ending

pytestmark = pytest.mark.usefixtures(leaving_the_benches.__name__)


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
        bench = Bench(via, msgspec.structs.replace(QUICK, reply_deadline_s=2.0))
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
    assert "no answer for 2 s" in caplog.text
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
        bench = Bench(port, clock=clock)
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
        bench = Bench(port, clock=clock)
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


async def test_being_superseded_is_heard_behind_answers_while_samples_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    streams = 0

    async def script(peer: Peer) -> None:
        nonlocal streams
        streams += 1
        if streams <= 20:
            for _ in range(20):
                request = await peer.read()
                await peer.answer(request.id, request.id % 2 == 0)
            await peer.abort(grpc.StatusCode.ABORTED, "a newer stream", superseded_by="f" * 32)
        await peer.echo()

    async with scripted_broker(script) as port:
        bench = Bench(port, msgspec.structs.replace(QUICK, window=512))
        bench.sample(2000)
        await bench.run()
    assert bench.answers == by_parity(2000)
    assert caplog.text.count("give each device its own id") == 20


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
