import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.inbox import Inbox

many = settings(derandomize=True, deadline=None, max_examples=60)

END = object()  # as grpc.aio.EOF, anything that is no bytes


class Script:
    """A stream of messages; `None` is a moment in which nothing has arrived."""

    def __init__(self, messages: Sequence[bytes | None]) -> None:
        self._messages = list(messages)
        self.reads = 0

    async def read(self) -> object:
        while self._messages and self._messages[0] is None:
            self._messages.pop(0)
            await asyncio.sleep(0)
        self.reads += 1
        return self._messages.pop(0) if self._messages else END


class Endless:
    """A stream that always has a next message."""

    def __init__(self) -> None:
        self.reads = 0

    async def read(self) -> object:
        self.reads += 1
        return b"%d" % (self.reads - 1)


class Pipe:
    """A stream that a test feeds."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[object] = asyncio.Queue()
        self.cancelled = asyncio.Event()

    async def read(self) -> object:
        try:
            return await self.messages.get()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@many
@given(
    st.lists(st.none() | st.binary(max_size=2), max_size=40),
    st.integers(1, 8),
    st.lists(st.integers(0, 3), max_size=40),
)
async def test_every_message_is_taken_once_and_in_order(
    messages: list[bytes | None], pause_at: int, delays: list[int]
) -> None:
    script = Script(messages)
    sent = [message for message in messages if message is not None]
    got: list[bytes] = []
    waits = iter(delays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.inbox._PAUSE_AT", pause_at)
        async with asyncio.timeout(10):
            with Inbox(script) as inbox:
                while taken := await inbox.take():
                    assert 1 <= len(taken) <= pause_at
                    got += taken
                    assert script.reads - len(got) <= pause_at + 1
                    for _ in range(next(waits, 0)):
                        await asyncio.sleep(0)
                assert await inbox.take() == []
    assert got == sent


async def test_reading_pauses_until_something_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.inbox._PAUSE_AT", 5)
    endless = Endless()
    with Inbox(endless) as inbox:
        assert await inbox.take() == [b"0", b"1", b"2", b"3", b"4"]
        assert endless.reads == 5
        assert await inbox.take() == [b"5", b"6", b"7", b"8", b"9"]
        for _ in range(100):
            await asyncio.sleep(0)
        assert endless.reads == 15
        assert len(await inbox.take()) == 5


async def test_a_flood_is_held_at_twice_the_window_of_an_agent() -> None:
    endless = Endless()
    with Inbox(endless) as inbox:
        taken = await inbox.take()
    assert len(taken) == endless.reads == 1024


async def test_take_waits_for_a_message() -> None:
    pipe = Pipe()
    with Inbox(pipe) as inbox:
        taking = asyncio.create_task(inbox.take())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not taking.done()
        pipe.messages.put_nowait(b"one")
        assert await asyncio.wait_for(taking, 10) == [b"one"]


async def test_the_end_wakes_who_waits_and_stays_the_end() -> None:
    pipe = Pipe()
    with Inbox(pipe) as inbox:
        taking = asyncio.create_task(inbox.take())
        await asyncio.sleep(0)
        pipe.messages.put_nowait(END)
        assert await asyncio.wait_for(taking, 10) == []
        assert await asyncio.wait_for(inbox.take(), 10) == []


async def test_after_close_what_was_received_is_given_and_then_the_end() -> None:
    pipe = Pipe()
    with Inbox(pipe) as inbox:
        for message in (b"0", b"1", b"2"):
            pipe.messages.put_nowait(message)
        for _ in range(10):
            await asyncio.sleep(0)
        inbox.close()
        assert await asyncio.wait_for(inbox.take(), 10) == [b"0", b"1", b"2"]
        assert await asyncio.wait_for(inbox.take(), 10) == []
        await asyncio.wait_for(pipe.cancelled.wait(), 10)


async def test_a_read_that_fails_is_passed_on_after_what_came_before() -> None:
    class Broken(Script):
        async def read(self) -> object:
            message = await super().read()
            if message is END:
                raise OSError("transport")
            return message

    got: list[bytes] = []

    async def take_all(inbox: Inbox) -> None:
        while taken := await inbox.take():
            got.extend(taken)

    with Inbox(Broken([b"0", None, b"1"])) as inbox, pytest.raises(OSError, match="transport"):
        await asyncio.wait_for(take_all(inbox), 10)
    assert got == [b"0", b"1"]


async def test_close_wakes_who_waits() -> None:
    with Inbox(Pipe()) as inbox:
        taking = asyncio.create_task(inbox.take())
        await asyncio.sleep(0)
        inbox.close()
        assert await asyncio.wait_for(taking, 10) == []


async def test_its_owner_ends_the_reading() -> None:
    pipe = Pipe()
    with Inbox(pipe):
        await asyncio.sleep(0)
    await asyncio.wait_for(pipe.cancelled.wait(), 10)


async def test_reading_that_pauses_ends_with_its_owner() -> None:
    endless = Endless()
    tasks = asyncio.all_tasks()
    with Inbox(endless) as inbox:
        await inbox.take()
        for _ in range(10):
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert endless.reads == 2048
