"""The second service: how an agent's own line stands, over each transport."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from support.certificates import Ca
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.pupil import Pupil
from support.store import OpenLines, header, send_on

from broker import model
from broker.access import Access
from broker.config import LimitsSettings
from broker.model import Code, Ending, Sample
from broker.predictors import Predictor
from broker.states import States
from broker.transport.h2.transport import H2Transport
from broker.transport.memory import MemoryTransport, Metadata
from quartet.address import Address
from wire import STATE_METHOD_PATH
from wire.state_pb2 import Alarm, Learning, StateRequest, StateResponse

Ask = Callable[[Metadata], Awaitable[StateResponse | Ending]]


@asynccontextmanager
async def in_memory(states: States) -> AsyncIterator[Ask]:
    transport = MemoryTransport()
    await transport.start({STATE_METHOD_PATH: states.serve})

    async def ask(metadata: Metadata) -> StateResponse | Ending:
        call = transport.call(STATE_METHOD_PATH, metadata)
        await call.send(StateRequest().SerializeToString())
        call.done_sending()
        messages = await call.receive()
        ending = await call.ending()
        return StateResponse.FromString(messages[0]) if messages else ending

    yield ask
    await transport.stop(0.0)


@asynccontextmanager
async def over_grpc(states: States) -> AsyncIterator[Ask]:
    transport = H2Transport(Address("127.0.0.1", 0), None)
    port = await transport.start({STATE_METHOD_PATH: states.serve})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        get_state = channel.unary_unary(
            STATE_METHOD_PATH, StateRequest.SerializeToString, StateResponse.FromString
        )

        async def ask(metadata: Metadata) -> StateResponse | Ending:
            try:
                return await get_state(StateRequest(), metadata=tuple(metadata))
            except grpc.aio.AioRpcError as error:
                return Ending(Code(error.code().value[0]), error.details() or "")

        yield ask
    await transport.stop(0.0)


TRANSPORTS = [in_memory, over_grpc]
Door = Callable[[States], "asynccontextmanager[Ask]"]


def states_of(lines: OpenLines, *agents: str, **bounds: float) -> States:
    access = Access(agents or None, LimitsSettings(streams=1), None, ManualClock())
    return States(lines, access, **bounds)


def name(agent_id: str) -> Metadata:
    return (("agent-id", agent_id),)


def rows(first_id: int, *values: float) -> list[Sample]:
    """Samples whose second sensor has these values."""
    return [Sample(id_, (0.0, value, 0.0, 0.0)) for id_, value in enumerate(values, first_id)]


@pytest.mark.parametrize("door", TRANSPORTS)
async def test_an_agent_hears_how_far_learning_is_and_since_when_and_why_it_is_in_alarm(
    door: Door,
) -> None:
    lines = OpenLines(Pupil)
    opened = header(0, agent="press-1", at_ns=1000, period_ns=10)
    async with asyncio.timeout(PATIENCE_S), door(states_of(lines)) as ask:
        with await lines.open(opened) as stream:
            assert await ask(name("press-1")) == StateResponse()
            await send_on(stream, rows(0, 0.0, 0.0))
            assert await ask(name("press-1")) == StateResponse(learning=Learning(seen=2, needed=3))
            await send_on(stream, rows(2, 0.0))
            assert await ask(name("press-1")) == StateResponse()
            await send_on(stream, rows(3, 0.0, 6.0, 7.0, 8.0))
            alarm = Alarm(since_ns=1040, reason="sensor2 at 6")
            assert await ask(name("press-1")) == StateResponse(alarm=alarm)
        assert await ask(name("press-1")) == StateResponse(alarm=alarm)  # its stream is over
        assert await ask(name("press-2")) == StateResponse()  # nobody knows it
        with await lines.open(header(7, agent="press-1", at_ns=2000, period_ns=10)) as stream:
            await send_on(stream, rows(7, 9.0))
            assert await ask(name("press-1")) == StateResponse(alarm=alarm)
            await send_on(stream, rows(8, 0.0))
            assert await ask(name("press-1")) == StateResponse()


@pytest.mark.parametrize("door", TRANSPORTS)
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [((), "metadata agent-id missing"), (name("press 1"), "agent-id"), (name(""), "agent-id")],
)
async def test_who_does_not_say_its_name_is_an_invalid_argument(
    door: Door, metadata: Metadata, reason: str
) -> None:
    async with asyncio.timeout(PATIENCE_S), door(states_of(OpenLines(Pupil))) as ask:
        ending = await ask(metadata)
    assert isinstance(ending, Ending)
    assert ending.code is Code.INVALID_ARGUMENT
    assert reason in ending.reason


@pytest.mark.parametrize("door", TRANSPORTS)
async def test_who_may_not_stream_under_a_name_hears_nothing_of_its_line(door: Door) -> None:
    lines = OpenLines(Pupil)
    async with asyncio.timeout(PATIENCE_S), door(states_of(lines, "press-2")) as ask:
        with await lines.open(header(0, agent="press-1")) as stream:
            await send_on(stream, rows(0, 0.0))
        ending = await ask(name("press-1"))
        assert ending == Ending(Code.PERMISSION_DENIED, "press-1 is not in access.agents")
        assert await ask(name("press-2")) == StateResponse()


async def test_the_line_is_one_that_the_certificate_names(tmp_path: Path) -> None:
    certificate = Path(Ca(tmp_path).issue("press-2").certificate).read_bytes()  # noqa: ASYNC240
    transport = MemoryTransport()
    await transport.start({STATE_METHOD_PATH: states_of(OpenLines(Pupil)).serve})
    async with asyncio.timeout(PATIENCE_S):
        for agent_id, code in (
            ("press-2", Code.OK),
            ("press-1", Code.PERMISSION_DENIED),
        ):
            call = transport.call(STATE_METHOD_PATH, name(agent_id), certificate=certificate)
            await call.send(b"")
            assert (await call.ending()).code is code
        call = transport.call(STATE_METHOD_PATH, name("press-2"), certificate=b"noise")
        assert (await call.ending()).code is Code.PERMISSION_DENIED


async def test_a_question_takes_no_room_of_streams() -> None:
    lines = OpenLines(Pupil)
    access = Access(None, LimitsSettings(streams=1), None, ManualClock())
    async with asyncio.timeout(PATIENCE_S), in_memory(States(lines, access)) as ask:
        assert await ask(name("press-1")) == StateResponse()
        assert access.streams == 0


async def test_who_keeps_its_question_back_is_not_waited_for_and_open_ones_are_bounded() -> None:
    transport = MemoryTransport()
    states = states_of(OpenLines(Pupil), question_s=0.05, most_open=2)
    await transport.start({STATE_METHOD_PATH: states.serve})
    async with asyncio.timeout(PATIENCE_S):
        first, second, third = (
            transport.call(STATE_METHOD_PATH, name("press-1")) for _ in range(3)
        )
        assert (await third.ending()).code is Code.RESOURCE_EXHAUSTED
        for call in (first, second):
            assert await call.ending() == Ending(
                Code.DEADLINE_EXCEEDED, "no question within 0.05 s"
            )
        call = transport.call(STATE_METHOD_PATH, name("press-1"))
        await call.send(b"")
        assert await call.ending() == Ending(Code.OK)


async def test_a_question_that_is_held_back_ends_with_the_broker() -> None:
    states = states_of(OpenLines(Pupil))
    transport = MemoryTransport()
    await transport.start({STATE_METHOD_PATH: states.serve})
    held = transport.call(STATE_METHOD_PATH, name("press-1"))
    await asyncio.sleep(0)
    states.stop()
    late = transport.call(STATE_METHOD_PATH, name("press-1"))
    async with asyncio.timeout(PATIENCE_S):
        for call in (held, late):
            assert await call.ending() == Ending(Code.UNAVAILABLE, "the broker is stopping")
        await transport.stop(PATIENCE_S)


# What a predictor tells


class Odd(Pupil):
    """Tells how far it is in a way that cannot be."""

    told: object = None

    def learning(self) -> tuple[int, int] | None:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told  # type: ignore[return-value]


class Wanderer(Pupil):
    """Cannot tell how far it has followed its machine."""

    def shift(self) -> str | None:
        raise KeyError("x")


async def test_a_predictor_that_cannot_tell_its_shift_goes_on_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = OpenLines(Wanderer)
    with await lines.open(header(0, agent="press-1")) as stream:
        for id_ in range(3):
            answers, refusal = await send_on(stream, rows(id_, 0.0))
            assert (len(answers), refusal) == (1, None)
    assert lines.standing("press-1").shift is None
    said = [each for each in caplog.messages if "how far it has followed its machine" in each]
    assert len(said) == 1


@pytest.mark.parametrize("told", [(3, 3), (4, 3), (0, 0)])
async def test_a_predictor_that_has_seen_what_it_needs_has_learned(told: tuple[int, int]) -> None:
    odd = Odd()
    odd.told = told
    lines = OpenLines(lambda: odd)
    with await lines.open(header(0, agent="press-1")) as stream:
        await send_on(stream, rows(0, 0.0))
        assert lines.standing("press-1").learning is None
        odd.told = (1, 3)
        await send_on(stream, rows(1, 0.0))
        assert lines.standing("press-1").learning == model.Learning(1, 3)


@pytest.mark.parametrize(
    "told", [(-1, 3), (1, 2**63), ("1", 3), 7, (1, 2, 3), (float("nan"), 1), KeyError("x")]
)
async def test_a_predictor_that_cannot_tell_how_far_it_is_goes_on_without(
    told: object, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> Predictor:
        odd = Odd()
        odd.told = told
        return odd

    lines = OpenLines(make)
    with await lines.open(header(0, agent="press-1")) as stream:
        for id_ in range(3):
            answers, refusal = await send_on(stream, rows(id_, 0.0))
            assert (len(answers), refusal) == (1, None)
    assert lines.standing("press-1").learning is None
    said = [each.getMessage() for each in caplog.records if "cannot tell" in each.getMessage()]
    assert len(said) == 1
