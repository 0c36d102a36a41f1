"""What a transport puts and a handler takes."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S

from broker.model import Code, Ending
from broker.transport.inbox import PAUSE_AT, Inbox

many = settings(derandomize=True, deadline=None, max_examples=100)


async def steps(count: int = 10) -> None:
    """Let all that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


@many
@given(
    st.lists(st.binary(max_size=2), max_size=40),
    st.integers(1, 8),
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.integers(0, 3), max_size=40),
)
async def test_every_message_is_taken_once_in_order_and_no_more_are_held_than_the_bound(
    messages: list[bytes], pause_at: int, puts: list[int], takes: list[int]
) -> None:
    inbox = Inbox(pause_at)
    got: list[bytes] = []

    async def put() -> None:
        waits = iter(puts)
        for message in messages:
            await inbox.room()
            inbox.put(message)
            await steps(next(waits, 0))
        inbox.close()

    async def take() -> None:
        waits = iter(takes)
        while taken := await inbox.take():
            assert 1 <= len(taken) <= pause_at
            got.extend(taken)
            await steps(next(waits, 0))
        assert await inbox.take() == []

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(put(), take())
    assert got == messages


async def test_a_flood_is_held_at_twice_the_window_of_an_agent() -> None:
    inbox = Inbox()
    full = [inbox.put(b"%d" % number) for number in range(PAUSE_AT)]
    assert PAUSE_AT == 1024
    assert full == [False] * 1023 + [True]
    waiting = asyncio.create_task(inbox.room())
    await steps()
    assert not waiting.done()
    assert len(await inbox.take()) == PAUSE_AT
    await asyncio.wait_for(waiting, PATIENCE_S)


async def test_take_waits_for_a_message() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take())
    await steps()
    assert not taking.done()
    inbox.put(b"one")
    assert await asyncio.wait_for(taking, PATIENCE_S) == [b"one"]


@pytest.mark.parametrize("how", [Inbox.close, lambda inbox: inbox.end(Ending(Code.ABORTED))])
async def test_the_end_wakes_both_sides_and_stays_the_end(how: object) -> None:
    inbox = Inbox(1)
    inbox.put(b"0")
    room = asyncio.create_task(inbox.room())
    await steps()
    assert not room.done()
    how(inbox)
    await asyncio.wait_for(room, PATIENCE_S)
    inbox.put(b"late")
    assert await asyncio.wait_for(inbox.take(), PATIENCE_S) == [b"0"]
    for _ in range(2):
        assert await asyncio.wait_for(inbox.take(), PATIENCE_S) == []


async def test_the_end_wakes_who_takes() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take())
    await steps()
    inbox.close()
    assert await asyncio.wait_for(taking, PATIENCE_S) == []


async def test_a_connection_that_fails_is_told_after_what_came_before() -> None:
    inbox = Inbox()
    inbox.put(b"0")
    inbox.close(OSError("reset"))
    assert await inbox.take() == [b"0"]
    with pytest.raises(OSError, match="reset"):
        await inbox.take()


async def test_an_inbox_that_was_ended_does_not_tell_of_a_failure_that_follows() -> None:
    inbox = Inbox()
    inbox.end(Ending(Code.ABORTED))
    inbox.close(OSError("reset"))
    assert await inbox.take() == []


async def test_the_first_ending_wins_also_after_the_peer_has_ended() -> None:
    inbox = Inbox()
    assert inbox.ending is None
    inbox.close()
    for reason in ("first", "second"):
        inbox.end(Ending(Code.ABORTED, reason))
        assert inbox.ending == Ending(Code.ABORTED, "first")
