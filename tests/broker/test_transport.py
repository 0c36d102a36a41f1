"""What each transport does with a call. One suite for all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest
from support.patience import PATIENCE_S
from support.transports import H2, Broker, Memory

from broker.errors import LostError
from broker.model import Code, Ending
from broker.transport import Call, Handler, Health
from broker.transport.inbox import PAUSE_AT
from wire import METHOD_PATH

OTHER_PATH = "/a.Package/Unary"

Serving = Callable[..., Awaitable[Broker]]


@pytest.fixture(params=[Memory, H2])
async def serving(request: pytest.FixtureRequest) -> AsyncIterator[Serving]:
    """Have a broker serve by these handlers; it is stopped at the end."""
    async with AsyncExitStack() as stack:

        async def serve(handlers: dict[str, Handler]) -> Broker:
            broker = await stack.enter_async_context(request.param())
            port = await broker.transport.start(handlers)
            stack.push_async_callback(broker.transport.stop, 0.0)
            if isinstance(broker, H2):
                await broker.connect(port)
            return broker

        async with asyncio.timeout(PATIENCE_S):
            yield serve


async def echo(call: Call) -> None:
    while messages := await call.read():
        await call.write(messages)


async def one(call: Call) -> None:
    (message,) = await call.read()
    await call.write([b"<" + message + b">"])


async def test_all_messages_come_once_in_order_both_ways(serving: Serving) -> None:
    broker = await serving({METHOD_PATH: echo})
    call = broker.call(METHOD_PATH, ())
    sent = [b"%d" % number for number in range(5000)]

    async def send() -> None:
        await call.send(*sent)
        await call.done_sending()

    sending = asyncio.create_task(send())
    assert [await call.receive() for _ in sent] == sent
    await sending
    assert await call.receive() is None
    assert await call.ending() == Ending(Code.OK)


async def test_messages_are_taken_once_there_is_room_for_them(serving: Serving) -> None:
    asked, is_room = asyncio.Event(), asyncio.Event()

    async def room() -> None:
        asked.set()
        await is_room.wait()

    async def serve(call: Call) -> None:
        while messages := await call.read(room):
            await call.write([b"%d" % len(messages), *messages])

    broker = await serving({METHOD_PATH: serve, OTHER_PATH: one})
    call = broker.call(METHOD_PATH, ())
    await call.send(b"0")
    await asked.wait()
    await call.send(b"1")
    other = broker.call(OTHER_PATH, ())  # behind it, on the same connection
    await other.send(b"ping")
    assert await other.receive() == b"<ping>"
    is_room.set()
    assert [await call.receive() for _ in range(3)] == [b"2", b"0", b"1"]
    await call.done_sending()
    assert await call.ending() == Ending(Code.OK)


async def test_an_end_needs_no_room(serving: Serving) -> None:
    asked: list[Call] = []

    async def serve(call: Call) -> None:
        async def room() -> None:
            asked.append(call)

        assert not await call.read(room)

    broker = await serving({METHOD_PATH: serve})
    call = broker.call(METHOD_PATH, ())
    await call.done_sending()
    assert await call.ending() == Ending(Code.OK)
    assert asked == []


async def test_a_handler_is_told_who_calls_what(serving: Serving) -> None:
    seen: list[Call] = []

    async def look(call: Call) -> None:
        seen.append(call)

    broker = await serving({METHOD_PATH: look, OTHER_PATH: look})
    metadata = (("agent-id", "press-1"), ("x", "y"))
    for method in (METHOD_PATH, OTHER_PATH):
        await broker.call(method, metadata).ending()
    assert [call.method for call in seen] == [METHOD_PATH, OTHER_PATH]
    for call in seen:
        host, _, port = call.peer.rpartition(":")
        assert (host, port.isdigit()) == ("127.0.0.1", True)
        assert set(metadata) <= set(call.metadata)
        assert call.certificate is None


async def test_a_unary_call_is_one_message_each_way(serving: Serving) -> None:
    broker = await serving({OTHER_PATH: one})
    call = broker.call(OTHER_PATH, ())
    await call.send(b"ping")
    assert await call.receive() == b"<ping>"
    assert await call.ending() == Ending(Code.OK)


async def test_a_method_that_is_not_served_is_unimplemented(serving: Serving) -> None:
    broker = await serving({METHOD_PATH: echo})
    ending = await broker.call(OTHER_PATH, ()).ending()
    assert ending.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_an_ending_reaches_the_peer_with_its_code_reason_and_trailing_metadata(
    serving: Serving, code: Code
) -> None:
    ending = Ending(code, "as é is said", (("refused-id", "7"),))

    async def refuse(call: Call) -> None:
        call.end(ending)

    broker = await serving({METHOD_PATH: refuse})
    assert await broker.call(METHOD_PATH, ()).ending() == ending


async def test_what_was_received_before_the_end_is_still_read_and_answered(
    serving: Serving,
) -> None:
    received, ended = asyncio.Event(), asyncio.Event()
    calls: list[Call] = []

    async def serve(call: Call) -> None:
        calls.append(call)
        await call.write(await call.read())
        received.set()
        await ended.wait()
        await echo(call)

    broker = await serving({METHOD_PATH: serve, OTHER_PATH: one})
    call = broker.call(METHOD_PATH, ())
    await call.send(b"0")
    assert await call.receive() == b"0"
    await received.wait()
    await call.send(b"1", b"2")
    other = broker.call(OTHER_PATH, ())  # behind them, on the same connection
    await other.send(b"ping")
    assert await other.receive() == b"<ping>"
    for reason in ("first", "second"):
        calls[0].end(Ending(Code.ABORTED, reason))
    ended.set()
    assert [await call.receive() for _ in range(3)] == [b"1", b"2", None]
    assert await call.ending() == Ending(Code.ABORTED, "first")


async def test_an_ending_wakes_a_handler_that_reads(serving: Serving) -> None:
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def serve(call: Call) -> None:
        calls.put_nowait(call)
        await echo(call)

    broker = await serving({METHOD_PATH: serve})
    call = broker.call(METHOD_PATH, ())
    (await calls.get()).end(Ending(Code.UNAVAILABLE, "stopping"))
    assert await call.ending() == Ending(Code.UNAVAILABLE, "stopping")


async def test_the_peers_end_is_an_end_and_no_ending(serving: Serving) -> None:
    async def serve(call: Call) -> None:
        while messages := await call.read():
            await call.write(messages)
        await call.write([b"last"])

    broker = await serving({METHOD_PATH: serve})
    call = broker.call(METHOD_PATH, ())
    await call.send(b"0")
    await call.done_sending()
    assert [await call.receive() for _ in range(3)] == [b"0", b"last", None]
    assert await call.ending() == Ending(Code.OK)


async def test_no_more_is_read_ahead_than_an_inbox_holds(serving: Serving) -> None:
    flooded = asyncio.Event()
    sizes: list[int] = []

    async def late(call: Call) -> None:
        await call.write([b"begun"])
        await flooded.wait()
        while messages := await call.read():
            sizes.append(len(messages))

    broker = await serving({METHOD_PATH: late})
    call = broker.call(METHOD_PATH, ())
    assert await call.receive() == b"begun"

    async def flood() -> None:
        for _ in range(PAUSE_AT):
            await call.send(bytes(30))
        flooded.set()
        for _ in range(3 * PAUSE_AT):
            await call.send(bytes(30))
        await call.done_sending()

    await asyncio.gather(flood(), call.ending())
    assert sum(sizes) == 4 * PAUSE_AT
    assert max(sizes) <= PAUSE_AT


async def test_a_connection_that_breaks_ends_the_handler(serving: Serving) -> None:
    ended = asyncio.Event()

    async def serve(call: Call) -> None:
        try:
            await echo(call)
        finally:
            ended.set()

    broker = await serving({METHOD_PATH: serve})
    call = broker.call(METHOD_PATH, ())
    await call.send(b"0")
    await call.receive()
    call.cancel()
    await ended.wait()


async def test_a_write_to_a_connection_that_broke_is_lost_and_no_mistake(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    lost = asyncio.Event()

    async def serve(call: Call) -> None:
        await call.write([b"begun"])
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await call.write([b"late"])
        except LostError:
            lost.set()
            raise

    broker = await serving({METHOD_PATH: serve, OTHER_PATH: one})
    call = broker.call(METHOD_PATH, ())
    await call.receive()
    call.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await lost.wait()
    other = broker.call(OTHER_PATH, ())
    await other.send(b"ping")
    assert await other.receive() == b"<ping>"
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_handler_that_is_cancelled_has_its_ending_told(serving: Serving) -> None:
    tasks: asyncio.Queue[tuple[Call, asyncio.Task[None]]] = asyncio.Queue()

    async def stay(call: Call) -> None:
        task = asyncio.current_task()
        assert task
        tasks.put_nowait((call, task))
        await asyncio.Event().wait()

    broker = await serving({METHOD_PATH: stay})
    for _ in range(3):
        call = broker.call(METHOD_PATH, ())
        served, task = await tasks.get()
        assert not task.done()
        served.end(Ending(Code.PERMISSION_DENIED, "revoked"))
        task.cancel()
        assert await call.ending() == Ending(Code.PERMISSION_DENIED, "revoked")


async def test_a_handler_that_fails_is_internal_and_logged(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(call: Call) -> None:
        if call.method == OTHER_PATH:
            call.end(Ending(Code.ABORTED, "before"))
        raise LookupError("secret")

    broker = await serving({METHOD_PATH: fail, OTHER_PATH: fail})
    ending = await broker.call(METHOD_PATH, ()).ending()
    assert ending == Ending(Code.INTERNAL, "the broker failed; its log says how")
    assert await broker.call(OTHER_PATH, ()).ending() == Ending(Code.ABORTED, "before")
    assert caplog.text.count("LookupError: secret") == 2


async def test_an_ending_may_be_ok(serving: Serving) -> None:
    async def serve(call: Call) -> None:
        call.end(Ending(Code.OK))

    broker = await serving({METHOD_PATH: serve})
    assert (await broker.call(METHOD_PATH, ()).ending()).code is Code.OK


async def test_nothing_runs_on_for_a_call_that_has_ended(serving: Serving) -> None:
    """Also where its inbox was full, so that reading waited for room."""
    flooded = asyncio.Event()

    async def leave(call: Call) -> None:
        await call.write([b"hello"])
        await flooded.wait()

    broker = await serving({METHOD_PATH: leave, OTHER_PATH: one})
    call = broker.call(METHOD_PATH, ())
    await call.receive()
    await call.send(*[b"0"] * (PAUSE_AT if isinstance(broker, Memory) else 2 * PAUSE_AT))
    other = broker.call(OTHER_PATH, ())  # behind them, on the same connection
    await other.send(b"ping")
    assert await other.receive() == b"<ping>"
    flooded.set()
    await call.ending()
    async with asyncio.timeout(PATIENCE_S):
        while left := [task for task in asyncio.all_tasks() if "Call._re" in repr(task.get_coro())]:
            await asyncio.wait(left)


async def test_a_broker_does_not_serve_before_it_says_so(serving: Serving) -> None:
    broker = await serving({METHOD_PATH: echo})
    assert await broker.health() is Health.NOT_SERVING


async def test_health_is_what_was_shown_last(serving: Serving) -> None:
    broker = await serving({METHOD_PATH: echo})
    for health in (Health.SERVING, Health.NOT_SERVING, Health.SERVING):
        await broker.transport.show(health)
        assert await broker.health() is health


async def test_a_call_that_is_cut_still_tells_the_ending_that_it_was_given(
    serving: Serving,
) -> None:
    begun = asyncio.Event()

    async def stay(call: Call) -> None:
        call.end(Ending(Code.UNAVAILABLE, "stopping"))
        begun.set()
        await asyncio.Event().wait()

    broker = await serving({METHOD_PATH: stay})
    late = broker.call(METHOD_PATH, ())
    await begun.wait()
    await broker.transport.stop(0.1)
    ending = await late.ending()
    assert (ending.code, ending.reason) == (Code.UNAVAILABLE, "stopping")


async def test_a_stop_waits_for_calls_that_end_in_time_and_cuts_the_others(
    serving: Serving,
) -> None:
    begun: asyncio.Queue[Call] = asyncio.Queue()
    cut = asyncio.Event()

    async def stay(call: Call) -> None:
        begun.put_nowait(call)
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    async def serve(call: Call) -> None:
        begun.put_nowait(call)
        await echo(call)

    broker = await serving({METHOD_PATH: serve, OTHER_PATH: stay})
    good, bad = broker.call(METHOD_PATH, ()), broker.call(OTHER_PATH, ())
    for _ in range(2):
        call = await begun.get()
        if call.method == METHOD_PATH:
            call.end(Ending(Code.UNAVAILABLE, "stopping"))
    await broker.transport.stop(0.1)
    await cut.wait()
    assert (await good.ending()).reason == "stopping"
    assert (await bad.ending()).code is Code.UNAVAILABLE
