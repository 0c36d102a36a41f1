"""What a store keeps of the streams of a line: how they ended, and their certificates."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from support.certificates import Ca
from support.chain import Chain
from support.clock import ManualClock
from support.events import LONG_S, events, state
from support.patience import PATIENCE_S
from support.read import Place
from support.scene import AGENT, request
from support.scene import header as agents_header
from support.store import (
    header,
    sample,
)

from broker.access import Access
from broker.config import LimitsSettings
from broker.lines import Lines
from broker.model import Answer
from broker.predictors import BlackBox, Predictor
from broker.recorder.reader import RecordedEvent, Span
from broker.records import MAX_NS, Batch, Event, EventKind, Opened
from broker.service import Service
from broker.transport.memory import MemoryCall, MemoryTransport
from wire import METHOD_PATH


@asynccontextmanager
async def serving(
    place: Place, clock: ManualClock, make: Callable[[], Predictor] = Chain
) -> AsyncIterator[Callable[..., MemoryCall]]:
    """A broker with a store; gives what opens a call."""
    async with place.recorder(clock) as recorder:
        access = Access(None, LimitsSettings(), None, clock)
        service = Service(Lines(BlackBox(make, "d"), recorder), access)
        transport = MemoryTransport()
        await transport.start({METHOD_PATH: service.serve})

        def call(session: int = 0, first_id: int = 0, **more: object) -> MemoryCall:
            metadata = agents_header(session, first_id).to_metadata()
            return transport.call(METHOD_PATH, metadata, peer="1.2.3.4:5", **more)

        async with asyncio.timeout(PATIENCE_S):
            yield call
            service.stop()
            await transport.stop(1.0)


async def answered(call: MemoryCall, id_: int) -> None:
    await call.send(request(id_))
    assert await call.receive()


async def test_each_stream_is_on_record_with_why_it_ended(place: Place) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        first = call()
        await answered(first, 0)
        clock.advance(1.0)
        first.done_sending()
        await first.ending()
        clock.advance(1.0)
        second = call(1)
        await answered(second, 0)
        clock.advance(1.0)
        second.cancel()
        await second.ending()
        clock.advance(1.0)
        third = call(2)
        await answered(third, 0)
        await third.send(request(0))
        await third.ending()
        clock.advance(1.0)
        fourth = call(3)
        await answered(fourth, 0)
    assert await events(place, AGENT) == [
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the agent ended it"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the connection broke"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "sample 0: expected an id above 0 (INVALID_ARGUMENT)"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the broker is stopping (UNAVAILABLE)"),
    ]
    found = (await place.reader.events(AGENT, Span()))[1]
    at_ns = clock.time_ns() - 4 * 10**9
    assert found == RecordedEvent(at_ns, EventKind.ENDED, "the agent ended it")


async def test_an_older_stream_of_the_agent_is_superseded_and_the_newer_is_the_latest(
    place: Place,
) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        older = call()
        await answered(older, 0)
        clock.advance(1.0)
        newer = call(1)
        await answered(newer, 0)
        await older.ending()
        opened_ns = clock.time_ns()
        while "superseded" not in dict(await events(place, AGENT)):
            clock.advance(1.0)
            await asyncio.sleep(0.01)
        stream = (await state(place, AGENT)).stream
        assert stream
        assert (stream.kind, stream.at_ns) == (EventKind.OPENED, opened_ns)
    reason = "a newer stream of this agent id took over (ABORTED)"
    assert ("superseded", reason) in await events(place, AGENT)


async def test_the_end_of_a_stream_is_on_record_before_the_opening_of_the_next(
    place: Place,
) -> None:
    clock = ManualClock()
    async with place.recorder(clock, LONG_S) as recorder:
        claim = await recorder.claim(header(), "here")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, False)], opened=Opened()))
        clock.advance(1.0)
        recorder.release(claim, Event(EventKind.ENDED, "1"))
        clock.now_s -= 3600.0
        claim = await recorder.claim(header(session=1), "there")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, False)], opened=Opened()))
        stream = (await state(place)).stream
        assert stream
        assert (stream.kind, stream.text) == (EventKind.OPENED, "from there")
    texts = await place.select("SELECT text FROM events ORDER BY event")
    assert texts == [("from here",), ("1",), ("from there",)]


async def test_a_stream_that_only_opens_costs_no_commit_and_leaves_no_event(place: Place) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        before = await place.select("SELECT count(*) FROM events")
        opened = call()
        opened.done_sending()
        await opened.ending()
        clock.advance(5.0)
        await answered(call(1), 0)
        assert await place.select("SELECT count(*) FROM lines") == [(1,)]
        assert before == [(0,)]
    assert await events(place, AGENT) == [
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the broker is stopping (UNAVAILABLE)"),
    ]


async def test_streams_without_a_sample_leave_no_end_unless_they_took_the_line_over(
    place: Place,
) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        first = call()
        await answered(first, 0)
        first.done_sending()
        await first.ending()
        for session in range(1, 30):
            idle = call(session)
            idle.done_sending()
            await idle.ending()
        clock.advance(2.0)  # else it would count as one with the first
        stalled = call(30)
        await answered(stalled, 0)
        newest = call(31)
        await stalled.ending()
        newest.done_sending()
        await newest.ending()
        while (await events(place, AGENT))[-1][0] != "ended":
            clock.advance(1.0)
            await asyncio.sleep(0.01)
    assert [kind for kind, _ in await events(place, AGENT)] == [
        *("opened", "ended", "opened", "superseded", "ended")
    ]


async def test_the_latest_stream_tells_until_when_its_certificate_is_valid(
    place: Place, tmp_path: Path
) -> None:
    ca = Ca(tmp_path)
    async with serving(place, ManualClock()) as call:
        for session, days in enumerate((90, 9, 2_000_000)):
            pem = Path(ca.issue(AGENT, days=days).certificate).read_bytes()  # noqa: ASYNC240
            stream = call(session, certificate=pem)
            await answered(stream, 0)
            until_ns = (await state(place, AGENT)).certificate_until_ns
            assert until_ns is not None
            assert until_ns <= MAX_NS
        await answered(call(9), 0)
        assert (await state(place, AGENT)).certificate_until_ns is None
