"""Questions about the state of a line, to scripted brokers over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc
import pytest
from support.peers import Context, Peer, scripted_broker
from support.processes import PATIENCE_S
from support.spools import home_in_ram

from agent.codec import decode_standing
from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.inquiry import Inquiry
from agent.link import Link
from agent.model import Identity, Learning, Prediction, Reading, Sample, Session, Standing
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from quartet.address import Address
from wire import state_pb2

# Longer than any test.
_NEVER_S = 1e6

SESSION = Session(1, "0123456789abcdef" * 2, 100_000_000, 0)


def prediction(value: bool) -> Prediction:
    return Prediction(Sample(SESSION, 0, (0.0, 0.0, 0.0, 0.0), 0), value, 1)


class Teller:
    """Tells states in turn, the last one again and again; notes who asks."""

    def __init__(self, *states: state_pb2.StateResponse | grpc.StatusCode | bytes) -> None:
        self._states = states
        self._asked = asyncio.Event()
        self.who: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, context: Context) -> bytes:
        self.who.append(str(dict(context.invocation_metadata())["agent-id"]))
        self._asked.set()
        await self.may_answer.wait()
        state = self._states[min(len(self.who), len(self._states)) - 1]
        if isinstance(state, grpc.StatusCode):
            await context.abort(state, "not now")
        return state if isinstance(state, bytes) else state.SerializeToString()

    async def asked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.who) < times:
                self._asked.clear()
                await self._asked.wait()


def learning(seen: int) -> state_pb2.StateResponse:
    return state_pb2.StateResponse(learning=state_pb2.Learning(seen=seen, needed=300))


def alarm(reason: str) -> state_pb2.StateResponse:
    return state_pb2.StateResponse(alarm=state_pb2.Alarm(since_ns=5, reason=reason))


class Rests:
    """The rests between two questions: each ends when a test says so."""

    def __init__(self) -> None:
        self._begun = 0
        self._changed = asyncio.Event()
        self._end = asyncio.Event()

    async def sleep(self, _: float) -> None:
        self._begun += 1
        self._changed.set()
        self._end.clear()
        await self._end.wait()

    async def begun(self, times: int) -> None:
        """Wait until so many questions have come to their end."""
        async with asyncio.timeout(PATIENCE_S):
            while self._begun < times:
                self._changed.clear()
                await self._changed.wait()
        assert self._begun == times

    async def end(self) -> None:
        """End the present rest, and let all that follows at once happen."""
        self._end.set()
        await run_on()


async def run_on() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Noted:
    """A channel that counts the questions at their begin."""

    def __init__(self, port: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.asked = 0

    def unary_unary(self, path: str) -> object:
        self.asked += 1
        return self._channel.unary_unary(path)

    async def close(self) -> None:
        await self._channel.close()


class Bench:
    """An inquiry at work."""

    def __init__(self, deadline_s: float, again_s: float) -> None:
        self.rests = Rests()
        self.inquiry = Inquiry(
            "press-4", deadline_s=deadline_s, again_s=again_s, sleep=self.rests.sleep
        )
        self._channels: list[Noted] = []

    def open(self, port: int) -> Noted:
        """Have a stream be opened on a new channel to this broker."""
        channel = Noted(port)
        self._channels.append(channel)
        self.reopen(channel)
        return channel

    def reopen(self, channel: Noted) -> None:
        self.inquiry.opened(channel)  # type: ignore[arg-type] - all that it uses of one

    def predict(self, value: bool) -> None:
        self.inquiry.emit(prediction(value))

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def inquiring(
    deadline_s: float = PATIENCE_S, again_s: float = _NEVER_S
) -> AsyncIterator[Bench]:
    bench = Bench(deadline_s, again_s)
    running = asyncio.create_task(bench.inquiry.run())
    try:
        yield bench
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.close()


async def test_it_asks_on_opening_and_while_the_predictor_learns() -> None:
    teller = Teller(learning(1), learning(2), learning(300))
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        channel = bench.open(port)
        for times in (1, 2, 3):
            await bench.rests.begun(times)
            await bench.rests.end()
        assert bench.inquiry.standing.learning == Learning(300, 300)
        assert channel.asked == 3
        bench.reopen(channel)
        await bench.rests.begun(4)
    assert teller.who == ["press-4"] * 4


async def test_it_asks_when_the_prediction_changes_and_not_otherwise() -> None:
    teller = Teller(state_pb2.StateResponse(), alarm("sensor2"), state_pb2.StateResponse())
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        bench.predict(False)
        channel = bench.open(port)
        await bench.rests.begun(1)
        await bench.rests.end()
        bench.predict(False)
        await run_on()
        assert channel.asked == 1
        bench.predict(True)
        await bench.rests.begun(2)
        assert bench.inquiry.standing == Standing(None, 5, "sensor2")
        await bench.rests.end()
        bench.predict(True)
        await run_on()
        assert channel.asked == 2
        bench.predict(False)
        await bench.rests.begun(3)
        assert bench.inquiry.standing == Standing()


async def test_predictions_that_change_all_the_time_cost_one_question_at_a_time() -> None:
    async with scripted_broker(Peer.echo, Teller(alarm("x"))) as port, inquiring() as bench:
        channel = bench.open(port)
        await bench.rests.begun(1)
        for number in range(100):
            bench.predict(number % 2 == 0)
            await asyncio.sleep(0)
        assert channel.asked == 1
        await bench.rests.end()
        await bench.rests.begun(2)
        await bench.rests.end()
        assert channel.asked == 2


@pytest.mark.parametrize("answer", [grpc.StatusCode.UNIMPLEMENTED, b"<html>"])
async def test_a_broker_that_does_not_serve_it_is_asked_once_a_channel(
    answer: grpc.StatusCode | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_broker(Peer.echo, Teller(answer)) as port, inquiring() as bench:
        channel = bench.open(port)
        await bench.rests.begun(1)
        await bench.rests.end()
        bench.predict(True)
        bench.reopen(channel)
        await run_on()
        assert channel.asked == 1
        bench.open(port)
        await bench.rests.begun(2)
        assert bench.inquiry.standing == Standing()
    assert not caplog.records


@pytest.mark.parametrize(
    "failure", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE]
)
async def test_a_failure_is_silent_and_it_asks_again_after_the_usual_rest(
    failure: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    teller = Teller(failure, alarm("sensor3"))
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        channel = bench.open(port)
        await bench.rests.begun(1)
        assert channel.asked == 1
        await bench.rests.end()
        await bench.rests.begun(2)
        assert bench.inquiry.standing.reason == "sensor3"
        await bench.rests.end()
        assert channel.asked == 2
    assert not caplog.records


@pytest.mark.parametrize("later", [learning(149), alarm("sensor2 98%")])
async def test_it_asks_again_though_no_prediction_changes(later: state_pb2.StateResponse) -> None:
    """A predictor is reset while it says False; the reason of an alarm comes late."""
    teller = Teller(alarm(""), later)
    async with scripted_broker(Peer.echo, teller) as port, inquiring(again_s=0.01) as bench:
        bench.predict(True)
        bench.open(port)
        await bench.rests.begun(1)
        before = bench.inquiry.standing
        await bench.rests.end()
        await bench.rests.begun(2)
        assert bench.inquiry.standing == decode_standing(later.SerializeToString()) != before


async def test_a_new_alarm_has_nothing_of_the_one_before() -> None:
    teller = Teller(alarm("sensor1"), grpc.StatusCode.UNAVAILABLE, alarm("sensor4"))
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        bench.predict(True)
        bench.open(port)
        await bench.rests.begun(1)
        assert bench.inquiry.standing == Standing(None, 5, "sensor1")
        bench.predict(False)
        bench.predict(True)
        assert bench.inquiry.standing == Standing()
        await bench.rests.end()
        await bench.rests.begun(2)
        assert bench.inquiry.standing == Standing()
        await bench.rests.end()
        await bench.rests.begun(3)
        assert bench.inquiry.standing.reason == "sensor4"


async def test_an_answer_from_before_a_change_tells_of_no_alarm() -> None:
    teller = Teller(alarm("sensor1"), alarm("sensor4"))
    teller.may_answer.clear()
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        bench.predict(True)
        bench.open(port)
        await teller.asked(1)
        bench.predict(False)
        bench.predict(True)
        teller.may_answer.set()
        await bench.rests.begun(1)
        assert bench.inquiry.standing == Standing()
        await bench.rests.end()
        await bench.rests.begun(2)
        assert bench.inquiry.standing.reason == "sensor4"


async def test_a_question_that_nobody_answers_ends_at_its_deadline() -> None:
    teller = Teller(alarm("sensor1"))
    teller.may_answer.clear()
    async with (
        scripted_broker(Peer.echo, teller) as port,
        inquiring(deadline_s=0.1) as bench,
    ):
        bench.open(port)
        await bench.rests.begun(1)
        assert bench.inquiry.standing == Standing()
        await bench.rests.end()
        teller.may_answer.set()


async def test_a_channel_that_closes_under_a_question_ends_nothing() -> None:
    teller = Teller(learning(1), learning(2))
    async with scripted_broker(Peer.echo, teller) as port, inquiring() as bench:
        teller.may_answer.clear()
        first = bench.open(port)
        await teller.asked(1)
        await first.close()
        await bench.rests.begun(1)
        teller.may_answer.set()
        await bench.rests.end()
        bench.predict(True)  # of which nobody can be asked
        await run_on()
        assert first.asked == 1
        bench.open(port)
        await bench.rests.begun(2)
        assert bench.inquiry.standing.learning == Learning(2, 300)


async def test_a_channel_that_was_closed_between_two_questions_is_left() -> None:
    async with scripted_broker(Peer.echo, Teller(learning(1))) as port, inquiring() as bench:
        channel = bench.open(port)
        await bench.rests.begun(1)
        await channel.close()
        await bench.rests.end()
        await bench.rests.begun(2)
        await bench.rests.end()
        assert channel.asked == 2  # the one that found it closed, and no more


async def test_another_channel_forgets_what_the_former_broker_said() -> None:
    teller, silent = Teller(alarm("sensor2")), Teller(grpc.StatusCode.UNIMPLEMENTED)
    async with (
        scripted_broker(Peer.echo, teller) as port,
        scripted_broker(Peer.echo, silent) as other,
        inquiring() as bench,
    ):
        bench.open(port)
        await bench.rests.begun(1)
        assert bench.inquiry.standing.reason == "sensor2"
        bench.open(other)
        assert bench.inquiry.standing == Standing()
        await bench.rests.end()
        await bench.rests.begun(2)
        assert bench.inquiry.standing == Standing()


@asynccontextmanager
async def link_to(port: int, inquiry: Inquiry, home: Path) -> AsyncIterator[tuple[Link, Spool]]:
    directories = Directories(home / "hot", home / "cold")
    directories.hot.mkdir()
    directories.cold.mkdir()
    with closing(Spool(directories, SpoolSettings(), 0)) as spool:
        link = Link(
            *(Identity("press-4"), [Address("127.0.0.1", port)], LinkSettings(window=8)),
            *(spool, inquiry.emit),
            credentials=Plaintext(),
            opened=inquiry.opened,
        )
        yield link, spool


async def test_no_sample_waits_for_a_question() -> None:
    teller = Teller(alarm("sensor2"))
    teller.may_answer.clear()
    with home_in_ram() as home:
        async with (
            scripted_broker(Peer.echo, teller) as port,
            inquiring() as bench,
            link_to(port, bench.inquiry, home) as (link, spool),
        ):
            spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
            running = asyncio.create_task(link.run())
            await teller.asked(1)  # and never answered
            for _ in range(200):
                spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
            spool.finish()
            async with asyncio.timeout(PATIENCE_S):
                await running
            assert spool.answered == 201
    assert teller.who == ["press-4"]
