"""Streams that drain at once, and how many of their samples wait for their records."""

import asyncio

from support.scene import Gate
from support.served import Broker, answers, metadata, request, serving

from broker.model import Code, Ending
from broker.recorder.memory import Memory
from broker.transport.memory import MemoryCall


async def draining(broker: Broker, recorder: Gate) -> list[MemoryCall]:
    """Twenty streams that have sent 100 samples each, of which no record is made yet."""
    calls = [broker.call(metadata(agent=f"press-{number}")) for number in range(20)]
    for call in calls:
        await call.send(request(0))
        assert await answers(call, 1) == [0]
    recorder.closed_at = "commit"
    for call in calls:
        await call.send(*map(request, range(1, 101)))
    await recorder.reached.wait()
    return calls


async def test_messages_stay_as_they_came_while_enough_samples_wait_for_their_records() -> None:
    recorder = Gate(Memory())
    async with serving(recorder) as broker:
        calls = await draining(broker, recorder)
        late = broker.call(metadata(agent="press-late"))
        await late.send(*map(request, range(5)))
        for _ in range(100):
            await asyncio.sleep(0)
        recorded = recorder.recorded - len(calls)
        assert 512 <= recorded < 512 + 100
        assert recorded + sum(call._requests.size for call in calls) == 20 * 100  # noqa: SLF001
        recorder.opened.set()
        for call in calls:
            assert await answers(call, 100) == [*range(1, 101)]
        assert await answers(late, 5) == [*range(5)]


async def test_a_stream_that_is_cut_while_it_waits_for_room_holds_up_nobody() -> None:
    recorder = Gate(Memory())
    async with serving(recorder) as broker:
        calls = await draining(broker, recorder)
        for call in calls[::2]:
            call.cancel()
        recorder.opened.set()
        for call in calls[1::2]:
            assert await answers(call, 100) == [*range(1, 101)]
        assert broker.lines._backlog._samples == 0  # noqa: SLF001


async def test_a_call_without_a_message_waits_for_no_room() -> None:
    recorder = Gate(Memory())
    async with serving(recorder) as broker:
        calls = await draining(broker, recorder)
        silent = broker.call(metadata(agent="press-silent"))
        silent.done_sending()
        assert await silent.ending() == Ending(Code.OK)
        recorder.opened.set()
        for call in calls:
            assert await answers(call, 100) == [*range(1, 101)]
