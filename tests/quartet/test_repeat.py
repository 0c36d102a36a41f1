import asyncio
from contextlib import suppress

import pytest
from support.patience import PATIENCE_S

from quartet.repeat import beside, repeat


async def test_a_call_that_fails_is_said_and_does_not_end_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []
    enough = asyncio.Event()

    def call() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise RuntimeError("once")
        if len(calls) == 4:
            enough.set()

    repeating = asyncio.create_task(repeat(call, 0.001))
    await asyncio.wait_for(enough.wait(), PATIENCE_S)
    repeating.cancel()
    with suppress(asyncio.CancelledError):
        await repeating
    assert caplog.messages == ["internal error: please report it"]


async def test_what_runs_beside_ends_with_the_block() -> None:
    ended: list[str] = []
    running = asyncio.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with beside([work()], PATIENCE_S):
        await asyncio.wait_for(running.wait(), PATIENCE_S)
        assert not ended
    assert ended == ["work"]


async def test_a_work_that_does_not_end_is_left() -> None:
    enough = asyncio.Event()
    begun = asyncio.Event()

    async def stubborn() -> None:
        while not enough.is_set():
            begun.set()
            with suppress(asyncio.CancelledError):
                await enough.wait()

    async with beside([stubborn()], 0.01):
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
    enough.set()
