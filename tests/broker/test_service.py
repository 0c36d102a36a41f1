"""The life of a call, over the transport in memory; nothing here waits for a real one."""

import asyncio
import logging
import traceback
import weakref
from contextlib import suppress
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.served import Broker, answers, metadata, request, serving

from broker.config import LimitsSettings
from broker.model import Code, Ending, Sample
from broker.recorder.memory import Memory, MemoryRecorder
from broker.transport import Room
from broker.transport.inbox import PAUSE_AT
from broker.transport.memory import MemoryCall
from wire import METHOD_PATH

many = settings(derandomize=True, deadline=None, max_examples=60)


class Messages(list[bytes]):
    """They can be seen to be gone."""


class Watched(MemoryCall):
    """Notes with each read how many of the former ones' messages are still in memory."""

    def __init__(self) -> None:
        super().__init__(METHOD_PATH, metadata(), "1.2.3.4:5", None, PAUSE_AT)
        self.kept: list[int] = []
        self._read: list[weakref.ref[Messages]] = []

    async def read(self, room: Room | None = None) -> Messages:
        self.kept.append(sum(each() is not None for each in self._read))
        messages = Messages(await super().read(room))
        self._read.append(weakref.ref(messages))
        return messages


# The first sample


async def test_an_agent_that_sends_no_first_sample_is_not_waited_for() -> None:
    async with serving(first_sample_s=0.05) as broker:
        ending = await broker.call(metadata()).ending()
        assert ending == Ending(Code.DEADLINE_EXCEEDED, "no sample within 0.05 s")


async def test_after_its_first_sample_an_agent_may_take_its_time() -> None:
    async with serving(first_sample_s=1.0) as broker:
        call = broker.call(metadata())
        await call.send(request(0))
        assert await answers(call, 1) == [0]
        await asyncio.wait([asyncio.create_task(call.ending())], timeout=1.2)
        await call.send(request(1))
        assert await answers(call, 1) == [1]


async def test_a_plain_peer_may_take_its_time_before() -> None:
    async with serving(first_sample_s=0.0) as broker:
        call = broker.call()
        for _ in range(10):
            await asyncio.sleep(0)
        await call.send(request(3))
        assert await answers(call, 1) == [3]


# How a call ends


async def test_metadata_that_is_no_header_is_an_invalid_argument() -> None:
    async with serving() as broker:
        ending = await broker.call((("agent-id", "press-1"),)).ending()
        assert ending.code is Code.INVALID_ARGUMENT
        assert "session-id" in ending.reason


async def test_a_message_that_is_no_request_ends_the_call_behind_the_answers_before_it() -> None:
    async with serving() as broker:
        call = broker.call()
        await call.send(request(0), request(1), b"\xff\xff", request(2))
        assert await answers(call, 9) == [0, 1]
        assert await call.ending() == Ending(
            Code.INVALID_ARGUMENT, "2 bytes that are not a BrokerRequest"
        )


async def test_a_refused_sample_is_named_behind_the_answers_before_it() -> None:
    async with serving() as broker:
        call = broker.call(metadata())
        await call.send(request(0), request(1), request(1))
        assert await answers(call, 9) == [0, 1]
        assert await call.ending() == Ending(
            Code.INVALID_ARGUMENT, "sample 1: expected an id above 1", (("refused-id", "1"),)
        )


async def test_beyond_the_limit_a_stream_is_told_so_and_the_others_go_on() -> None:
    async with serving(limits=LimitsSettings(streams=1)) as broker:
        first, second = broker.call(), broker.call()
        assert await second.ending() == Ending(
            Code.RESOURCE_EXHAUSTED, "limits.streams is reached: 1"
        )
        await first.send(request(4))
        assert await answers(first, 1) == [4]


async def test_an_agent_that_begins_another_stream_has_not_disconnected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "broker.connections")
    async with serving() as broker:
        for id_ in range(3):
            call = broker.call(metadata(id_))
            await call.send(request(id_))
            call.done_sending()
            assert await call.ending() == Ending(Code.OK, "")
        assert caplog.messages == ["press-1 at 1.2.3.4:5: connected"]
        broker.connections.close()
    assert caplog.messages[1:] == [
        "press-1 at 1.2.3.4:5: disconnected: the agent ended it; 3 samples, 0 duplicates, 0 gaps"
    ]


@pytest.mark.parametrize("is_broken", [False, True])
async def test_an_agent_whose_stream_breaks_or_is_refused_has_disconnected(
    is_broken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "broker.connections")
    async with serving() as broker:
        call = broker.call(metadata())
        await call.send(request(0))
        assert await answers(call, 1) == [0]
        if is_broken:
            call.cancel()
        else:
            await call.send(request(0))
        await call.ending()
        reason = "the connection broke" if is_broken else "sample 0: expected an id above 0"
        assert f": disconnected: {reason}" in caplog.messages[-1]


async def test_a_newer_stream_of_an_agent_supersedes_the_older_one() -> None:
    async with serving() as broker:
        older = broker.call(metadata())
        await older.send(request(0))
        assert await answers(older, 1) == [0]
        newer = broker.call(metadata(session=7))
        await newer.send(request(0))
        assert await answers(newer, 1) == [0]
        reason = "a newer stream of this agent id took over"
        assert await older.ending() == Ending(
            Code.ABORTED, reason, (("superseded-by", f"{7:032x}"),)
        )


@pytest.mark.parametrize(
    "labels", [b"{", b"\xff\xfe", b"[" * 1024, b"x" * 4000, "text", b'[{"name":"\x1b[2J"},1,2,3]']
)
async def test_malformed_labels_are_ignored_and_said_once_and_the_stream_goes_on(
    labels: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as broker:
        for session in range(3):
            call = broker.call((*metadata(session=session), ("sensors-bin", labels)))
            for id_ in range(2):
                await call.send(request(id_))
                assert await answers(call, 1) == [id_]
            call.done_sending()
            assert (await call.ending()).code is Code.OK
    (said,) = [each for each in caplog.messages if "sensors" in each]
    assert said.startswith("press-1: its names of sensors are ignored: metadata sensors-bin: ")
    assert said.isprintable()


# The way of a sample


class Looking(Chain):
    """Looks at who called, down from the service."""

    calls: ClassVar[list[str]] = []

    def predict(self, sample: Sample) -> bool:
        names = [frame.name for frame in traceback.extract_stack()]
        Looking.calls = names[names.index("_stream") :]
        return super().predict(sample)


async def test_a_sample_is_at_its_black_box_within_five_calls() -> None:
    async with serving(make=Looking) as broker:
        call = broker.call(metadata())
        await call.send(request(0))
        assert await answers(call, 1) == [0]
    assert Looking.calls == ["_stream", "answer", "run", "answer", "ask", "predict"]


# Every reason to end a call, in every phase of a call: tests/broker/test_endings.py


def delist(broker: Broker) -> Ending:
    broker.access.admit_only({"press-9"})
    return Ending(Code.PERMISSION_DENIED, "press-1 is not in access.agents")


def stop(broker: Broker) -> None:
    broker.service.stop()


async def test_a_call_that_comes_during_a_stop_is_ended() -> None:
    async with serving() as broker:
        broker.service.stop()
        call = broker.call(metadata())
        assert await call.ending() == Ending(Code.UNAVAILABLE, "the broker is stopping")


async def test_the_first_reason_wins() -> None:
    async with serving() as broker:
        call = broker.call(metadata())
        await call.send(request(0))
        assert await answers(call, 1) == [0]
        wanted = delist(broker)
        stop(broker)
        assert await call.ending() == wanted


async def test_a_call_whose_peer_does_not_read_is_cut_after_5_s() -> None:
    async with serving() as broker:
        call = broker.call(metadata())
        sending = asyncio.create_task(call.send(*map(request, range(5000))))
        while call.unread < PAUSE_AT:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        wanted = delist(broker)
        broker.clock.advance(5.0)
        broker.access.sweep()
        assert await call.ending() == wanted
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


# Two brokers that share their records


@many
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5)), min_size=1, max_size=8))
async def test_an_agent_that_goes_from_broker_to_broker_is_served_at_its_first_try(
    visits: list[tuple[int, int]],
) -> None:
    memory = Memory()
    async with (
        serving(MemoryRecorder(memory)) as one,
        serving(MemoryRecorder(memory)) as other,
    ):
        next_id = 0
        for which, count in visits:
            call = (one, other)[which].call(metadata(next_id))
            await call.send(*map(request, range(next_id, next_id + count)))
            assert await answers(call, count) == [*range(next_id, next_id + count)]
            next_id += count
            call.done_sending()
            assert await call.ending() == Ending(Code.OK)


@pytest.mark.parametrize(
    ("session", "own"),
    [
        (0, (Code.UNAVAILABLE, ())),
        (3, (Code.ABORTED, (("superseded-by", f"{3:032x}"),))),
    ],
)
async def test_a_stream_whose_line_another_broker_has_claimed_records_nothing_more(
    session: int, own: tuple[Code, object], caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory()
    async with (
        serving(MemoryRecorder(memory)) as one,
        serving(MemoryRecorder(memory)) as other,
    ):
        stale = one.call(metadata())
        await stale.send(request(0))
        assert await answers(stale, 1) == [0]
        fresh = other.call(metadata(1, session))
        await fresh.send(request(1))
        assert await answers(fresh, 1) == [1]
        await stale.send(request(1))
        assert await answers(stale, 1) == []
        ending = await stale.ending()
        assert (ending.code, ending.trailing) == own
        await fresh.send(request(2))
        assert await answers(fresh, 1) == [2]
    assert "press-1 at 1.2.3.4:5: another broker has taken the line over" in caplog.messages


async def test_an_idle_stream_keeps_none_of_the_messages_that_were_answered() -> None:
    async with serving() as broker:
        call = Watched()
        call.serve(broker.service.serve)
        for id_ in range(3):
            await call.send(request(id_))
            assert await answers(call, 1) == [id_]
        call.done_sending()
        assert await call.ending() == Ending(Code.OK)
    assert call.kept == [0, 0, 0, 0]
