"""How many samples wait for their records at a time, and which stream comes next."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.patience import PATIENCE_S

from broker.backlog import Backlog

many = settings(derandomize=True, deadline=None, max_examples=200)
MOST = 8


@contextmanager
def waiting_in(backlog: Backlog, samples: int) -> Iterator[None]:
    since_s = backlog.add(samples)
    try:
        yield
    finally:
        backlog.remove(samples, since_s)


async def steps(count: int = 10) -> None:
    """Let all that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def backlog() -> AsyncIterator[Backlog]:
    async with asyncio.timeout(PATIENCE_S):
        yield Backlog(ManualClock(), MOST)


@many
@given(
    st.lists(st.lists(st.tuples(st.integers(0, MOST), st.integers(0, 5)), max_size=6), max_size=8),
    st.sets(st.integers(0, 7)),
    st.integers(0, 12),
)
async def test_each_stream_goes_on_and_few_samples_wait_whoever_is_cut(
    streams: list[list[tuple[int, int]]], cut: set[int], cut_after: int
) -> None:
    """A piece of a stream is a number of samples, and the turns of the loop until its commit."""
    backlog = Backlog(ManualClock(), MOST)
    waiting, most = 0, 0

    async def stream(pieces: list[tuple[int, int]]) -> None:
        nonlocal waiting, most
        for samples, turns in pieces:
            await backlog.room()
            with waiting_in(backlog, samples):
                waiting += samples
                most = max(most, waiting)
                try:
                    await steps(turns)
                finally:
                    waiting -= samples

    tasks = [asyncio.create_task(stream(pieces)) for pieces in streams]
    await steps(cut_after)
    for place in cut:
        if place < len(tasks):
            tasks[place].cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*tasks, return_exceptions=True)
        await backlog.room()
    assert waiting == 0
    assert most < 2 * MOST


async def test_streams_that_wait_go_on_in_their_order(backlog: Backlog) -> None:
    came: list[int] = []

    async def stream(number: int) -> None:
        await backlog.room()
        came.append(number)
        with waiting_in(backlog, MOST):
            await steps(number % 3)

    with waiting_in(backlog, MOST):
        tasks = [asyncio.create_task(stream(number)) for number in range(6)]
        await steps()
        assert not came
    await asyncio.gather(*tasks)
    assert came == [*range(6)]


async def test_who_comes_later_does_not_overtake_those_that_wait(backlog: Backlog) -> None:
    came: list[str] = []

    async def stream(name: str) -> None:
        await backlog.room()
        came.append(name)

    with waiting_in(backlog, MOST):
        first = asyncio.create_task(stream("first"))
        await steps()
    later = asyncio.create_task(stream("later"))
    await asyncio.gather(first, later)
    assert came == ["first", "later"]


async def test_where_there_is_room_nobody_waits(backlog: Backlog) -> None:
    with waiting_in(backlog, MOST - 1):
        room = backlog.room()
        with pytest.raises(StopIteration):
            room.send(None)


async def test_more_may_wait_while_commits_are_slow() -> None:
    clock = ManualClock()
    backlog = Backlog(clock, MOST)

    async def fits(samples: int) -> bool:
        with waiting_in(backlog, samples):
            room = asyncio.create_task(backlog.room())
            await steps()
            went_on = room.done()
            room.cancel()
            await asyncio.wait([room])
            return went_on

    assert not await fits(MOST)
    with waiting_in(backlog, 1):
        clock.advance(0.03)
    assert await fits(MOST)
    assert not await fits(MOST)  # as the wait before was short
